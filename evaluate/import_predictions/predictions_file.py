"""The file of predictions: which columns hold what, and its rows as keys in DuckDB and logits in a scratch file.

The file is read once, batch by batch, with page checksums, and never held whole. Keys (image, corruption, severity,
label) go into a temporary database, where `checks` finds what is wrong with them; logits (N, C) float32 go into an
anonymous file in the study's output folder, which is gone with the process however that ends.
"""

import difflib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet as pq

from failmodes.warehouse.errors import DataError, StorageError, first_line
from failmodes.warehouse.storage.files import make_folder, storage_errors

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them

OutputKind = Literal["logits", "probabilities"]
ProgressCallback = Callable[[str, int, int | None], None]  # ("rows" or "cells", how many are done, of how many)
KEYS = ("image_id", "corruption", "severity")
LABEL = "label"
COLUMN_PREFIXES: dict[OutputKind, str] = {"logits": "logit_", "probabilities": "probability_"}

EXPECTED = (
    "expected image_id, corruption, severity, and either a list column 'logits' or 'probabilities' (Parquet) or one "
    "column a class: logit_0, logit_1 … or probability_0 …, or with class names behind the underscore"
)

PARQUET_SUFFIXES, CSV_SUFFIXES = (".parquet", ".pq"), (".csv", ".csv.gz")
BATCH_VALUES = 1 << 21  # logits a batch: 16 MiB in double precision
CSV_BLOCK_BYTES = 1 << 22
READ_BUFFER_BYTES = 1 << 20
MEMORY_LIMIT = "512MB"  # of the temporary database; beyond it DuckDB works on disk
SMALLEST_PROBABILITY = float(np.finfo(np.float32).smallest_subnormal)


class PredictionColumns(NamedTuple):
    """Which columns hold a row's numbers.

    Attributes:
        kind: what they are.
        values: one list column, or a column a class in the data set's order of classes.
        as_list: whether it is one list column.
        label: whether there are labels to compare.
    """

    kind: OutputKind
    values: tuple[str, ...]
    as_list: bool
    label: bool


class Predictions(NamedTuple):
    """The rows of a file, unchecked.

    Attributes:
        path: the file.
        columns: its columns.
        types: Arrow type of each column of keys.
        keys: a database with the table `given`, one row a row of the file: file_row (from 1), image_id, corruption,
            severity and label as they stand in the file, length (numbers in the row), finite (whether all are); of
            probabilities also total (their sum) and extreme (the one farthest from 0.5), null for logits.
        logits: (N, C) float32 by row; log p of probabilities.
    """

    path: Path
    columns: PredictionColumns
    types: dict[str, pa.DataType]
    keys: duckdb.DuckDBPyConnection
    logits: np.ndarray


@contextmanager
def read_predictions(
    path: Path, class_names: tuple[str, ...], scratch: Path, on_progress: ProgressCallback
) -> Iterator[Predictions]:
    """Read the file once.

    Args:
        path: the file, Parquet or CSV.
        class_names: classes of the data set, in order.
        scratch: folder for the logits.
        on_progress: called with the number of rows read.

    Raises:
        DataError: the file is damaged, a column is missing, or holds no numbers.
        StorageError: the folder cannot be written.
    """
    columns, batches = _open(path, class_names)
    class_count, rows = len(class_names), 0
    types: dict[str, pa.DataType] = {}
    with (
        tempfile.TemporaryDirectory(prefix="failmodes-") as folder,
        duckdb.connect(f"{folder}/keys.duckdb", config={"memory_limit": MEMORY_LIMIT}) as con,
        _scratch_file(scratch) as file,
    ):
        con.execute("begin")  # never committed: nothing of it outlives the connection
        with readable(path):
            for batch in batches:
                if not batch.num_rows:
                    continue
                values, lengths = _values(path, batch, columns, class_count)
                logits = _as_logits(values, columns.kind)
                con.register("batch", _keys(batch, columns, values, lengths, logits, rows))
                con.execute("insert into given from batch" if rows else "create table given as from batch")
                with storage_errors(scratch):
                    file.write(logits.tobytes())
                rows += batch.num_rows
                types = dict(zip(batch.schema.names, batch.schema.types, strict=True))
                on_progress("rows", rows, None)
        if not rows:
            raise DataError(f"{path} has no rows")
        file.flush()
        yield Predictions(path, columns, types, con, np.memmap(file, np.float32, "r", shape=(rows, class_count)))


def _scratch_file(folder: Path) -> IO[bytes]:
    with storage_errors(folder):
        return tempfile.TemporaryFile(dir=make_folder(folder))


def find_columns(path: Path, names: Sequence[str], class_names: tuple[str, ...], *, csv: bool) -> PredictionColumns:
    """Find the columns; logits are taken where there are probabilities too, for they say more.

    Args:
        path: the file, for messages.
        names: its columns.
        class_names: classes of the data set, in order.
        csv: whether it is a CSV file, which cannot hold lists.

    Raises:
        DataError: a column is missing (with the nearest name), stands twice, or there is not one number a class.
    """
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"{path}: column {twice[0]!r} stands twice: leave one out")
    lacking = [key for key in KEYS if key not in names]
    if lacking:
        raise DataError(f"{path}: no column {lacking[0]!r}{_nearest(lacking[0], names)}; {EXPECTED}")
    for kind, prefix in COLUMN_PREFIXES.items():
        spread = [name for name in names if name.startswith(prefix)]
        if kind in names and not csv:
            return PredictionColumns(kind, (kind,), True, LABEL in names)
        if spread:
            return PredictionColumns(kind, _in_order(path, spread, prefix, class_names), False, LABEL in names)
        if kind in names:
            raise DataError(f"{path}: a CSV file holds no lists: give one column a class, {prefix}0, {prefix}1 …")
    raise DataError(f"{path}: no logits or probabilities{_nearest('probabilities', names)}; {EXPECTED}")


def _in_order(path: Path, spread: list[str], prefix: str, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """The columns in the order of the classes, by index or by class name."""
    count = len(class_names)
    if len(spread) != count:
        raise DataError(
            f"{path} has {len(spread)} columns {prefix}…, but the data set has {count} classes: expected one a class"
        )
    by_index = tuple(f"{prefix}{index}" for index in range(count))
    by_name = tuple(f"{prefix}{name}" for name in class_names)
    fits_index, fits_name = set(by_index) == set(spread), set(by_name) == set(spread)
    if fits_index and fits_name and by_index != by_name:
        raise DataError(
            f"{path}: {prefix}0 … may mean a class's number or its name (classes are called "
            f"{', '.join(class_names[:3])} …): give a list column in Parquet instead"
        )
    if fits_index or fits_name:
        return by_index if fits_index else by_name
    known = by_index if spread[0].removeprefix(prefix).isdigit() else by_name
    foreign = next(name for name in spread if name not in known)
    raise DataError(f"{path}: column {foreign!r} is no class of the data set{_nearest(foreign, known)}")


def _nearest(name: str, known: Sequence[str]) -> str:
    if len(known) == 1 and any(mark in known[0] for mark in ";\t"):
        return " (columns must be separated by commas)"
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" (the nearest is {near[0]!r})" if near else f" (there are {', '.join(map(repr, known[:8]))})"


def _open(path: Path, class_names: tuple[str, ...]) -> tuple[PredictionColumns, Iterator[pa.RecordBatch]]:
    """Columns and batches of a file, whose name says whether it is CSV.

    Raises:
        DataError: it is neither Parquet nor CSV, no file at all, damaged, or a column is missing.
    """
    if not path.is_file():
        state = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {state}: expected one file of predictions, .parquet or .csv")
    csv = path.name.lower().endswith(CSV_SUFFIXES)
    if not csv and not path.name.lower().endswith(PARQUET_SUFFIXES):
        raise DataError(f"{path} has a name of neither kind: expected {', '.join(PARQUET_SUFFIXES + CSV_SUFFIXES)}")
    with readable(path):
        if not csv:
            parquet = pq.ParquetFile(path, buffer_size=READ_BUFFER_BYTES, page_checksum_verification=True)
            columns = find_columns(path, parquet.schema_arrow.names, class_names, csv=False)
            return columns, parquet.iter_batches(max(1, BATCH_VALUES // len(class_names)), columns=_to_read(columns))
        blocks = pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES)
        with pyarrow.csv.open_csv(path, blocks) as reader:
            columns = find_columns(path, reader.schema.names, class_names, csv=True)
        types = dict(zip(KEYS, (pa.int64(), pa.string(), pa.float64()), strict=True))
        types |= dict.fromkeys(columns.values, pa.float64())
        options = pyarrow.csv.ConvertOptions(column_types=types, include_columns=_to_read(columns))
        return columns, pyarrow.csv.open_csv(path, read_options=blocks, convert_options=options)


def _to_read(columns: PredictionColumns) -> list[str]:
    return [*KEYS, *columns.values, *([LABEL] if columns.label else [])]


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what reading or converting a damaged or foreign file raises into a DataError of one line."""
    try:
        yield
    except duckdb.IOException as error:
        raise StorageError(f"cannot write the temporary database of an import: {first_line(error)}") from error
    except (pa.ArrowException, OSError, UnicodeDecodeError, duckdb.Error) as error:
        raise DataError(f"{path} cannot be read as predictions: {first_line(error)}") from error


def _values(
    path: Path, batch: pa.RecordBatch, columns: PredictionColumns, class_count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (N, C) float64 and how many each row holds (N,); a null is NaN, and so is a row of another length.

    Raises:
        DataError: a column holds anything but numbers, or lists of them.
    """
    if not columns.as_list:
        spread = [_floats(path, batch.column(name), name) for name in columns.values]
        return np.stack(spread, axis=1), np.full(batch.num_rows, class_count)
    column, kind = batch.column(columns.values[0]), columns.kind
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
            or pa.types.is_fixed_size_list(column.type)):  # fmt: skip
        raise DataError(f"{path}, row 1: {kind} is a {column.type} column: expected a list of {class_count} numbers")
    lengths = pc.list_value_length(column).fill_null(class_count).to_numpy(zero_copy_only=False)
    usable = column.is_valid().to_numpy(zero_copy_only=False) & (lengths == class_count)
    values = np.full((len(column), class_count), np.nan)
    values[usable] = _floats(path, column.filter(pa.array(usable)).flatten(), kind).reshape(-1, class_count)
    return values, lengths


def _floats(path: Path, column: pa.Array, name: str) -> np.ndarray:
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        raise DataError(f"{path}, row 1: {name} holds {kind}: expected numbers")
    found: np.ndarray = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return found


def _keys(
    batch: pa.RecordBatch,
    columns: PredictionColumns,
    values: np.ndarray,
    lengths: np.ndarray,
    logits: np.ndarray,
    first: int,
) -> pa.Table:
    """Rows of the table `given`; the batch begins at row `first` (from 0)."""
    count = len(values)
    keys = {name: batch.column(name) for name in KEYS}
    keys[LABEL] = batch.column(LABEL) if columns.label else pa.nulls(count, pa.int64())
    total, extreme = pa.nulls(count, pa.float64()), pa.nulls(count, pa.float64())
    if columns.kind == "probabilities":
        total, extreme = values.sum(1), values[np.arange(count), np.abs(values - 0.5).argmax(1)]
    finite = np.isfinite(logits).all(1)
    numbers = np.arange(first + 1, first + 1 + count)
    return pa.table(
        {"file_row": numbers, **keys, "length": lengths, "finite": finite, "total": total, "extreme": extreme}
    )


def _as_logits(values: np.ndarray, kind: OutputKind) -> np.ndarray:
    """Logits (N, C) float32 of values (N, C) float64: log p of probabilities, floored at the smallest positive float32.

    A softmax of log p gives p back; a constant, which no probability shows, is lost. Rows with a value that is not
    finite pass as they are; a logit beyond float32 is infinite, hence not finite.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        if kind == "probabilities":
            values = np.log(np.maximum(values, SMALLEST_PROBABILITY))
        return values.astype(np.float32)
