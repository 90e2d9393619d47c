"""Ranks with intervals that hold for all of them together (Mogstad, Romano, Shaikh and Wilhelm 2024).

Each pair is compared by an interval of its difference, and all of these intervals hold together. A rank then reaches
from one more than the number of those that are shown to be larger, to the number of all less those that are shown to
be smaller. Equal values share a rank, so that ties are never told apart by chance. See "Inference for Ranks with
Applications to Mobility across Neighborhoods and Academic Achievement across Countries", Review of Economic Studies
91, 476-518.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from failmodes.analysis.statistics.bootstrap import Float64Array

Ranks = NDArray[np.intp]
EQUAL = 1e-9  # shares of images that differ by less were added up in another order


class RankIntervals(NamedTuple):
    """Ranks from 1, the largest value first, with the ends of their intervals, each (K,)."""

    rank: Ranks
    low: Ranks
    high: Ranks


def rank_intervals(values: ArrayLike, errors: ArrayLike, quantiles: ArrayLike) -> RankIntervals:
    """Ranks of values with intervals that hold for all together.

    Args:
        values: (K,) what is ranked, the largest first.
        errors: (K, K) standard errors of the difference of each pair; the diagonal is not looked at.
        quantiles: (K, K) or one number: half-widths of the intervals of all differences, in standard errors.
    """
    value = np.asarray(values, dtype=np.float64)
    difference = value[:, None] - value[None, :]
    is_above = difference > np.asarray(quantiles) * np.asarray(errors, dtype=np.float64)
    np.fill_diagonal(is_above, val=False)
    rank = 1 + (difference < -EQUAL).sum(axis=1)
    return RankIntervals(rank, 1 + is_above.sum(axis=0), len(value) - is_above.sum(axis=1))


def quantiles_of_pairs(images: ArrayLike, level: float = 0.95) -> Float64Array:
    """Half-widths, in standard errors, of Student's intervals that hold for the differences of all pairs (Bonferroni).

    A bootstrap of the largest difference gives intervals 3 % shorter, which are too short for 50 images.

    Args:
        images: (K, K) images behind the difference of each pair, at least 2.
        level: with this chance all hold.
    """
    from scipy.special import stdtrit  # here: it takes .2 s, and most charts do without

    counts = np.asarray(images)
    pairs = max(1, len(counts) * (len(counts) - 1) // 2)
    different, place = np.unique(counts, return_inverse=True)
    quantiles: Float64Array = stdtrit(different - 1, 1 - (1 - level) / 2 / pairs)[place].reshape(counts.shape)
    return quantiles


def errors_of_pairs(values: ArrayLike) -> Float64Array:
    """Standard errors of the differences of means over the same images, never 0.

    To the differences of images two made-up ones are added, 1 and -1 (see `statistics.difference`).

    Args:
        values: (N, K) of each image, from -1 to 1.

    Returns:
        (K, K); the diagonal has no meaning.
    """
    value = np.asarray(values, dtype=np.float64)
    images = len(value)
    products = np.einsum("nj,nk->jk", value, value)
    squares, sums = products.diagonal(), value.sum(axis=0)
    of_differences = squares[:, None] + squares[None, :] - 2 * products
    center = (sums[:, None] - sums[None, :]) / (images + 2)
    errors: Float64Array = np.sqrt(((of_differences + 2) / (images + 2) - center**2) / (images + 2))
    return errors
