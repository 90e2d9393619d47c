"""Columns of a shard's rows as NumPy arrays."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from failmodes.warehouse.schema import TARGETS

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them

Row = dict[str, Any]
Values = NDArray[np.float32]
OTHER = -1  # in place of a null: no class of the data set, or no output at all


def whole_numbers(rows: pa.Table, name: str, kind: type[Any]) -> NDArray[Any]:
    """A column of whole numbers; OTHER in place of nulls."""
    return np.asarray(rows[name].fill_null(OTHER).to_numpy(), dtype=kind)


def flags(rows: pa.Table, name: str) -> NDArray[np.bool_]:
    """A column of flags."""
    return np.asarray(rows[name].to_numpy(zero_copy_only=False), dtype=np.bool_)


def numbers(rows: pa.Table, name: str) -> Values:
    """A column of numbers; NaN in place of nulls."""
    return np.asarray(rows[name].to_numpy(zero_copy_only=False), dtype=np.float32)


def targets_of(rows: pa.Table) -> NDArray[np.int64]:
    """(N,) position of each row's target in TARGETS."""
    return np.where(np.asarray(pc.equal(rows["target"], TARGETS[0])), 0, 1)
