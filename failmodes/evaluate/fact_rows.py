"""Columns of facts as Arrow rows, in the types of their table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from failmodes.warehouse.schema import PARTITIONS, Table


def fact_rows(table: Table, columns: dict[str, Any], without: Sequence[str] = ()) -> pa.RecordBatch:
    """Rows of a fact table, without its partitions.

    Args:
        table: the fact table.
        columns: one NumPy array per column (masked entries are null); a column that is None or missing is null.
        without: nullable columns that the shard omits.
    """
    schema = table.arrow(without=(*PARTITIONS, *without))
    count = len(columns["image_id"])
    return pa.record_batch([to_arrow(columns.get(field.name), field.type, count) for field in schema], schema=schema)


def to_arrow(column: np.ndarray | None, kind: pa.DataType, count: int = 0) -> pa.Array:
    """Convert an array (N,), or (N, L) as lists, to a type; masked entries are null, and None gives `count` nulls."""
    if column is None:
        return pa.nulls(count, kind)
    if column.ndim == 1:
        return pa.array(column).cast(kind)
    values = to_arrow(column.reshape(-1), kind.value_type)
    return pa.FixedSizeListArray.from_arrays(values, column.shape[1]).cast(kind)
