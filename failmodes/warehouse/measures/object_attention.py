"""Measures of attention on objects, from shares and hits of the maps of one cell and target."""

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.measures.columns import Row, Values, mean, places_of

Doubles = NDArray[np.float64]


def measure_objects(own: Values, even: Values, null: Values, own_hits: Values, null_hits: Values) -> Row:
    """A row of cell_object_attention, without its keys.

    Args:
        own: (N,) share of each image's map inside its object.
        even: (N,) that of an even map.
        null: (N,) that of another image's map; NaN where there is none.
        own_hits: (N,) whether the map points at the object, 1 or 0; NaN where it is not known.
        null_hits: (N,) whether the other image's map does.
    """
    shares = (values.astype(np.float64) for values in (own, even, null))
    return _of_shares(*shares) | _of_pointing(own_hits, null_hits)


def _of_shares(own: Doubles, even: Doubles, null: Doubles) -> Row:
    share, share_deviation = _mean_and_deviation(own)
    _, deviation_over_even = _mean_and_deviation(own - even)
    over_null, deviation_over_null = _mean_and_deviation(own - null)
    return {
        "object_count": len(own),
        "mean_mask_share": share,
        "sd_mask_share": share_deviation,
        "even_mask_share": mean(even),
        "sd_over_even": deviation_over_even,
        "null_count": np.count_nonzero(~np.isnan(null)),
        "null_mean_mask_share": mean(null),
        "mean_over_null": over_null,
        "sd_over_null": deviation_over_null,
    }


def _of_pointing(own: Values, null: Values) -> Row:
    own_hits, null_hits = own == 1, null == 1
    return {
        "pointing_count": np.count_nonzero(~np.isnan(own)),
        "pointing_hit_count": np.count_nonzero(own_hits),
        "null_pointing_count": np.count_nonzero(~np.isnan(null)),
        "both_hit_count": np.count_nonzero(own_hits & null_hits),
        "only_own_hit_count": np.count_nonzero(own_hits & (null == 0)),
        "only_null_hit_count": np.count_nonzero((own == 0) & null_hits),
    }


def _mean_and_deviation(values: Doubles) -> tuple[float | None, float | None]:
    """Of the values that are known; the deviation is NumPy's `std`, which would sum them once more."""
    known = values[places_of(~np.isnan(values))]
    center = mean(known)
    if center is None or len(known) < 2:
        return center, None
    gaps = known - center
    return center, float(np.sqrt((gaps * gaps).sum() / (len(known) - 1)))
