"""Columns of a shard's rows as NumPy arrays, and means and quantiles of what is known of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Row = dict[str, Any]
Values = NDArray[np.float32]
BINS = 15  # of confidence, equally wide
OTHER = -1  # in place of a null: no class of the data set, or no output at all
Places = NDArray[np.intp] | slice  # of all values a slice: what it takes is no copy


def whole_numbers(rows: pa.Table, name: str, kind: type[Any]) -> NDArray[Any]:
    """A column of whole numbers; OTHER in place of nulls."""
    column = rows[name]
    return np.asarray((column.fill_null(OTHER) if column.null_count else column).to_numpy(), dtype=kind)


def flags(rows: pa.Table, name: str) -> NDArray[np.bool_]:
    """A column of flags."""
    return np.asarray(rows[name].to_numpy(zero_copy_only=False), dtype=np.bool_)


def numbers(rows: pa.Table, name: str) -> Values:
    """A column of numbers, flags as 0 and 1; NaN in place of nulls."""
    column = rows[name]
    if column.null_count and pa.types.is_boolean(column.type):  # Arrow would make objects of them
        column = column.cast(pa.float32())
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float32)


def places_of(is_chosen: NDArray[np.bool_]) -> Places:
    """Where the chosen values of a column are; taking by place is several times as fast as by flags that vary."""
    return slice(None) if is_chosen.all() else np.flatnonzero(is_chosen)


def lists(rows: pa.Table, name: str) -> tuple[Values, NDArray[np.int64], NDArray[np.int64]]:
    """A column of lists of numbers: (M,) all values, (N,) where each list begins, (N,) how long it is, 0 for a null."""
    column = rows[name]
    column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    lengths = column.value_lengths()
    counts = np.asarray(lengths.fill_null(0) if lengths.null_count else lengths, np.int64)
    return np.asarray(column.flatten(), np.float32), np.cumsum(counts) - counts, counts


def list_items(
    values: Values, starts: NDArray[np.int64], counts: NDArray[np.int64], chosen: NDArray[np.intp]
) -> Values:
    """(K, M) the items of some lists of equal length K, from what `lists` gives.

    Args:
        values: (V,) all values.
        starts: (N,) where each list begins.
        counts: (N,) how long it is.
        chosen: (M,) which lists, at least one.
    """
    length = int(counts[chosen[0]])
    if len(chosen) == len(starts) and len(values) == length * len(starts):  # all of them: no place to look up
        return np.ascontiguousarray(values.reshape(-1, length).T)
    items: Values = values[starts[chosen] + np.arange(length)[:, None]]
    return items


def bins_of(confidence: NDArray[np.float64], count: int = BINS) -> NDArray[np.int64]:
    """(N,) equal bin of each confidence, [low, high), 1.0 in the last; a value beyond is in the nearest."""
    return np.clip(np.floor(confidence * count), 0, count - 1).astype(np.int64)


def mean(values: Values | NDArray[np.float64]) -> float | None:
    """Mean of the values that are known, in double precision; None where none is."""
    found = np.add.reduce(values, dtype=np.float64) / len(values) if len(values) else np.nan
    if not np.isnan(found):  # so none is unknown
        return float(found)
    known = values[~np.isnan(values)]
    return float(known.mean(dtype=np.float64)) if len(known) else None


def quantiles(values: Values, shares: Mapping[str, float]) -> Row:
    """Quantiles of the values that are known, interpolated, by name; None where none is known.

    They are NumPy's, to the last bit; its `quantile` takes several times as long for a cell.
    """
    known = values[places_of(~np.isnan(values))]
    if not len(known):
        return dict.fromkeys(shares)
    last = len(known) - 1
    places = {name: min(int(share * last), last) for name, share in shares.items()}
    if (known[1:] < known[:-1]).any():  # not sorted
        known, start = known.copy(), 0
        for place in sorted(set(places.values())):  # one by one: NumPy takes several times as long for two at once
            known[start:].partition(place - start)
            start = place + 1
    return {name: _between(known[place], known[min(place + 1, last) :].min(), shares[name] * last - place)
            for name, place in places.items()}  # fmt: skip


def _between(lower: np.float32, upper: np.float32, share: float) -> float:
    """The value at a share of the way between two neighbors, reckoned from the nearer one."""
    with np.errstate(invalid="ignore"):  # of infinities, which a check will find
        gap = float(upper - lower)
    return float(lower) + gap * share if share < 0.5 else float(upper) - gap * (1 - share)
