"""Which columns hold what: image, corruption, severity, and a number a class.

The file from outside: its column names, and its rows batch by batch, without ever holding it whole.

Rows sorted into cells on disk: one anonymous file, which goes with the process however that ends.
"""

import difflib
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from failmodes.warehouse.errors import DataError
from failmodes.warehouse.shards.format import Cell
from failmodes.warehouse.storage.files import make_folder, storage_errors

OutputKind = Literal["logits", "probabilities"]

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


class PredictionColumns(NamedTuple):
    """Where a row's numbers stand.

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

    @property
    def columns(self) -> list[str]:
        """All columns to read."""
        return [*KEYS, *self.values, *([LABEL] if self.label else [])]

    @property
    def csv_types(self) -> dict[str, pa.DataType]:
        """Types of the columns in a CSV file."""
        keys = dict(zip(KEYS, (pa.int64(), pa.string(), pa.float64()), strict=True))
        return keys | dict.fromkeys(self.values, pa.float64())


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
    _check_names(path, names)
    for kind, stem in COLUMN_PREFIXES.items():
        spread = [name for name in names if name.startswith(stem)]
        if kind in names and not csv:
            return PredictionColumns(kind, (kind,), True, LABEL in names)
        if spread:
            return PredictionColumns(kind, _in_order(path, spread, stem, class_names), False, LABEL in names)
        if kind in names:
            raise DataError(f"{path}: a CSV file holds no lists: give one column a class, {stem}0, {stem}1 …")
    raise DataError(f"{path}: no logits or probabilities{_nearest('probabilities', names)}; {EXPECTED}")


def _check_names(path: Path, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path}: column {name!r} stands twice: leave one out")
    for key in KEYS:
        if key not in names:
            raise DataError(f"{path}: no column {key!r}{_nearest(key, names)}; {EXPECTED}")


def _in_order(path: Path, spread: list[str], stem: str, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """The columns in the order of the classes, by index or by class name."""
    count = len(class_names)
    if len(spread) != count:
        raise DataError(
            f"{path} has {len(spread)} columns {stem}…, but the data set has {count} classes: expected one a class"
        )
    by_index = tuple(f"{stem}{index}" for index in range(count))
    by_name = tuple(f"{stem}{name}" for name in class_names)
    fits_index, fits_name = set(by_index) == set(spread), set(by_name) == set(spread)
    if fits_index and fits_name and by_index != by_name:
        raise DataError(
            f"{path}: {stem}0 … may mean a class's number or its name (classes are called {', '.join(class_names[:3])} "
            "…): give a list column in Parquet instead"
        )
    if fits_index or fits_name:
        return by_index if fits_index else by_name
    known = by_index if spread[0].removeprefix(stem).isdigit() else by_name
    foreign = next(name for name in spread if name not in known)
    raise DataError(f"{path}: column {foreign!r} is no class of the data set{_nearest(foreign, known)}")


def _nearest(wanted: str, names: Sequence[str]) -> str:
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):
        return " (columns must be separated by commas)"
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    return f" (the nearest is {near[0]!r})" if near else f" (there are {', '.join(map(repr, names[:8]))})"


def is_csv(path: Path) -> bool:
    """Whether the file is read as CSV; by its name.

    Raises:
        DataError: it is neither Parquet nor CSV, or no file at all.
    """
    if not path.is_file():
        state = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {state}: expected one file of predictions, .parquet or .csv")
    name = path.name.lower()
    if name.endswith(CSV_SUFFIXES):
        return True
    if name.endswith(PARQUET_SUFFIXES):
        return False
    raise DataError(f"{path} has a name of neither kind: expected {', '.join(PARQUET_SUFFIXES + CSV_SUFFIXES)}")


def column_names(path: Path) -> list[str]:
    """Names of the columns, in order.

    Raises:
        DataError: the file is missing, damaged or of another kind.
    """
    csv = is_csv(path)
    with readable(path):
        if csv:
            with pyarrow.csv.open_csv(path, pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES)) as reader:
                return list(reader.schema.names)
        with pq.ParquetFile(path) as file:
            return list(file.schema_arrow.names)


def batches(
    path: Path, columns: Sequence[str], csv_types: dict[str, pa.DataType], class_count: int
) -> Iterator[pa.RecordBatch]:
    """The rows, with just `columns`, in the order of the file.

    Args:
        path: the file.
        columns: names to read.
        csv_types: types of columns in a CSV file; others are guessed from its first block.
        class_count: numbers a row, by which the size of a batch is chosen.

    Raises:
        DataError: the file is damaged, or a CSV value is not of its column's type.
    """
    csv = is_csv(path)
    with readable(path):
        if csv:
            options = pyarrow.csv.ConvertOptions(column_types=csv_types, include_columns=list(columns))
            blocks = pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES)
            with pyarrow.csv.open_csv(path, read_options=blocks, convert_options=options) as reader:
                yield from reader
            return
        rows = max(1, BATCH_VALUES // class_count)
        with pq.ParquetFile(path, buffer_size=READ_BUFFER_BYTES, page_checksum_verification=True) as file:
            yield from file.iter_batches(rows, columns=list(columns))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what reading or converting a damaged or foreign file raises into a DataError of one line."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} cannot be read as predictions: {said}") from error


class Scratch:
    """Rows by cell: row number in the file, image and float32 numbers a class; a context manager.

    Memory does not grow with the rows, but for 24 bytes a batch and cell.
    """

    def __init__(self, folder: Path, class_count: int) -> None:
        self.folder = make_folder(folder)
        self.dtype = np.dtype([("row", "<i8"), ("image_id", "<i8"), ("values", "<f4", (class_count,))])
        self._blocks: dict[Cell, list[tuple[int, int]]] = defaultdict(list)
        self._end = 0
        with storage_errors(folder):
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by __exit__)

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def cells(self) -> set[Cell]:
        """Cells that have rows."""
        return set(self._blocks)

    def add(self, cell: Cell, rows: np.ndarray, image_ids: np.ndarray, values: np.ndarray) -> None:
        """Append rows: numbers (N,) and images (N,) int64, values (N, C) float32."""
        block = np.empty(len(rows), self.dtype)
        block["row"], block["image_id"] = rows, image_ids
        block["values"] = values
        with storage_errors(self.folder):
            self._file.seek(self._end)
            self._file.write(block.tobytes())
        self._blocks[cell].append((self._end, len(block)))
        self._end += block.nbytes

    def read(self, cell: Cell) -> np.ndarray:
        """All rows of a cell, by rising image (stable): structured, with fields row, image_id and values."""
        blocks = self._blocks[cell]
        found = np.empty(sum(count for _, count in blocks), self.dtype)
        start = 0
        for offset, count in blocks:
            self._file.seek(offset)
            found[start : start + count] = np.frombuffer(self._file.read(count * self.dtype.itemsize), self.dtype)
            start += count
        return found[np.argsort(found["image_id"], kind="stable")]
