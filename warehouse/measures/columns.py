"""Columns of a shard's rows as NumPy arrays, and means and quantiles of what is known of them."""

from collections.abc import Mapping
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


def mean(values: Values) -> float | None:
    """Mean of the values that are known, in double precision; None where none is."""
    known = values[~np.isnan(values)]
    return float(known.mean(dtype=np.float64)) if len(known) else None


def quantiles(values: Values, shares: Mapping[str, float]) -> Row:
    """Quantiles of the values that are known, interpolated, by name; None where none is known."""
    known = values[~np.isnan(values)]
    if not len(known):
        return dict.fromkeys(shares)
    return dict(zip(shares, np.quantile(known, list(shares.values())).tolist(), strict=True))
