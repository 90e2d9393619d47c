"""Columns of Arrow tables as NumPy arrays, with something in place of nulls."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Row = dict[str, Any]
BINS = 15  # of confidence, equally wide
OTHER = -1  # in place of a null: no class of the dataset, or no output at all
ALWAYS = ("predicted", "confidence")  # of every record: null throughout where no logits of a cell are finite


class Undefined(Exception):
    """A metric that is not defined in a cell; its text says why."""


class NotOnRecord(Undefined):
    """A column that the record lacks, or that is null throughout."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not on record")


def column_of(rows: pa.Table, name: str) -> NDArray[Any]:
    """A column as an array: of flags and whole numbers (null: -1), else float32 (null: NaN); lists as (N, K).

    Raises:
        NotOnRecord: there is no such column, or all of it is null, but for those that are ALWAYS on record.
    """
    if name not in rows.column_names:
        raise NotOnRecord(name)
    if rows.num_rows and rows[name].null_count == rows.num_rows and name not in ALWAYS:
        raise NotOnRecord(name)
    column = rows[name].combine_chunks()
    if pa.types.is_list(column.type):
        return _matrix(column)
    if pa.types.is_integer(column.type):
        whole = column.fill_null(OTHER) if column.null_count else column
        return np.asarray(whole.to_numpy(zero_copy_only=False))
    if pa.types.is_boolean(column.type) and not column.null_count:
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.bool_)
    if pa.types.is_boolean(column.type):  # Arrow would make objects of them
        column = column.cast(pa.float32())
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float32)


def _matrix(column: Any) -> NDArray[np.float32]:
    """(N, K) a column of lists of numbers; NaN beyond the end of a shorter one."""
    lengths = np.asarray(column.value_lengths().fill_null(0), np.int64)
    values = np.asarray(column.flatten(), np.float32)
    width = int(lengths.max(initial=0))
    if len(values) == width * len(lengths):
        return values.reshape(len(lengths), width)
    found = np.full((len(lengths), width), np.nan, np.float32)
    found[np.arange(width) < lengths[:, None]] = values
    return found


def bins_of(confidence: NDArray[np.float64], count: int = BINS) -> NDArray[np.int64]:
    """(N,) equal bin of each confidence, [low, high), 1.0 in the last; a value beyond is in the nearest."""
    return np.clip(np.floor(confidence * count), 0, count - 1).astype(np.int64)
