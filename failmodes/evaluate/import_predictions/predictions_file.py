"""The rows of a file of predictions, as keys in DuckDB and logits in a scratch file.

The file is read once, batch by batch, with page checksums, and never held whole. Keys (image, corruption, severity,
label) go into a temporary database, where `checks` finds what is wrong with them; logits (N, C) float32 go into an
anonymous file in the study's output folder, which is gone with the process however that ends.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute

from failmodes.evaluate.import_predictions.columns import KEYS, LABEL, PredictionColumns
from failmodes.evaluate.import_predictions.file_batches import open_batches, readable
from failmodes.evaluate.models.outputs import SMALLEST_PROBABILITY
from failmodes.evaluate.study.study_schema import OutputKind
from failmodes.warehouse.errors import DataError, StorageError
from failmodes.warehouse.storage.files import make_folder, reason_of, storage_errors

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them

ProgressCallback = Callable[[str, int, int | None], None]  # ("rows" or "cells", how many are done, of how many)
MEMORY_LIMIT = "512MB"  # of the temporary database; beyond it DuckDB works on disk


class Predictions(NamedTuple):
    """The rows of a file, unchecked.

    Attributes:
        path: the file.
        columns: its columns.
        types: Arrow type of each column of keys.
        keys: a database with the table `given`, one row a row of the file: file_row (from 1), image_id, corruption,
            severity and label as they stand in the file, length (numbers in the row), finite (whether all are), total
            (their sum) and extreme (the one farthest from 0.5).
        logits: (N, C) float32 by row; log p of probabilities.
        complete: whether these are all rows of the file.
    """

    path: Path
    columns: PredictionColumns
    types: dict[str, pa.DataType]
    keys: duckdb.DuckDBPyConnection
    logits: np.ndarray
    complete: bool


@contextmanager
def read_predictions(
    path: Path, class_names: tuple[str, ...], scratch: Path, most_rows: int, on_progress: ProgressCallback
) -> Iterator[Predictions]:
    """Read the file once.

    Args:
        path: the file, Parquet or CSV.
        class_names: classes of the data set, in order.
        scratch: folder for the logits.
        most_rows: where the file has more, no further ones are read.
        on_progress: called with the number of rows read.

    Raises:
        DataError: the file is damaged, a column is missing, or holds no numbers.
        StorageError: the file cannot be read, or a folder cannot be written.
    """
    columns, types, batches = open_batches(path, class_names)
    class_count, rows = len(class_names), 0
    with (
        tempfile.TemporaryDirectory(prefix="failmodes-", ignore_cleanup_errors=True) as folder,
        _database(folder) as con,
        _Scratch(scratch) as file,
    ):
        with readable(path):
            for batch in batches:
                if not batch.num_rows:
                    continue
                values, lengths = _values(batch, columns, class_count)
                logits = _as_logits(values, columns.kind)
                con.register("batch", _keys(batch, columns, values, lengths, logits, rows))
                con.execute("insert into given from batch" if rows else "create table given as from batch")
                file.write(logits)
                rows += batch.num_rows
                on_progress("rows", rows, None)
                if rows > most_rows:
                    break
        if not rows:
            raise DataError(f"{path} has no rows")
        yield Predictions(path, columns, types, con, file.read((rows, class_count)), rows <= most_rows)


@contextmanager
def _database(folder: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A temporary database; nothing of it outlives the connection, for nothing is committed."""
    try:
        con = duckdb.connect(f"{folder}/keys.duckdb", config={"memory_limit": MEMORY_LIMIT})
    except duckdb.Error as error:
        raise StorageError(f"cannot make the temporary database of an import: {reason_of(error)}") from error
    with con:
        con.execute("begin")
        yield con


class _Scratch:
    """An anonymous file in a folder, for numbers that memory need not hold; it goes with the process.

    It has no buffer: on a full disk that would be written once more, when the file is closed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> "_Scratch":
        with storage_errors(self.folder):
            self.file = tempfile.TemporaryFile(dir=make_folder(self.folder), buffering=0)  # noqa: SIM115
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, numbers: np.ndarray) -> None:
        """Append float32 numbers."""
        left = np.ascontiguousarray(numbers, np.float32).data.cast("B")
        with storage_errors(self.folder):
            while left:
                left = left[self.file.write(left) :]

    def read(self, shape: tuple[int, int]) -> np.ndarray:
        """All numbers, mapped."""
        return np.memmap(self.file, np.float32, "r", shape=shape)


def _values(batch: pa.RecordBatch, columns: PredictionColumns, class_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (N, C) float64 and how many each row holds (N,); a null is NaN, and so is a row of another length."""
    if not columns.as_list:
        spread = [_floats(batch.column(name)) for name in columns.values]
        return np.stack(spread, axis=1), np.full(batch.num_rows, class_count)
    column = batch.column(columns.values[0])
    lengths = pc.list_value_length(column).fill_null(class_count).to_numpy(zero_copy_only=False)
    usable = column.is_valid().to_numpy(zero_copy_only=False) & (lengths == class_count)
    values = np.full((len(column), class_count), np.nan)
    values[usable] = _floats(column.filter(pa.array(usable)).flatten()).reshape(-1, class_count)
    return values, lengths


def _floats(column: pa.Array) -> np.ndarray:
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
    with np.errstate(invalid="ignore", over="ignore"):
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
