"""Comparison of two shares: Newcombe's intervals, McNemar's test, Holm's correction, detectable differences.

A bootstrap of images has width 0 if no image of the sample differs, which happens with accurate models; Newcombe's
intervals, built from Wilson's, do not.
"""

from collections.abc import Callable, Sequence
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from failmodes.analysis.statistics.estimate import Float64Array
from failmodes.warehouse.metrics.intervals import exact_interval, normal_quantile, wilson_interval

ALPHA = 0.05
BETTER_MODEL_ERROR = 0.02  # probability that a report is wrong about the better of any two models, see `correction`
LARGEST_DROP_ERROR = 0.015  # probability that it is wrong about the largest drop of any model
POWER = 0.8  # with which the smallest detectable difference is detected
BISECTIONS = 40  # precision 1e-12
MIN_P = 1e-12  # smallest reported p value


class PairedCounts(NamedTuple):
    """Images of pairs of cells by which of the two is correct, each (…), and whether the pairs have the same images.

    If not, the counts give how many images of each cell are correct, but not their agreement. With duplicates, they are
    effective counts, which may be fractions.
    """

    both: Float64Array
    only_first: Float64Array
    only_second: Float64Array
    neither: Float64Array
    paired: bool = True

    @property
    def total(self) -> Float64Array:
        """Images of a pair."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def difference(self) -> Float64Array:
        """Share correct in the first minus that in the second, -1 to 1."""
        shares: Float64Array = (self.only_first - self.only_second) / self.total
        return shares

    @property
    def discordant_share(self) -> Float64Array:
        """Share of images that are correct in just one of the two, 0-1; expected by chance if they do not pair."""
        if self.paired:
            return (self.only_first + self.only_second) / self.total
        first, second = (self.both + self.only_first) / self.total, (self.both + self.only_second) / self.total
        shares: Float64Array = first * (1 - second) + second * (1 - first)
        return shares


def count_pairs(first: ArrayLike, second: ArrayLike, *, paired: bool = True, independent: float = 1.0) -> PairedCounts:
    """Count the images of pairs of cells by which of the two is correct.

    Args:
        first: (N, …) bool, whether each image is correct.
        second: (N, …) bool, of the same shape.
        paired: whether rows of both are the same images.
        independent: factor of the counts, 0-1: the effective number of images as a share of them, such as
            `RunRows.independent_share`. Shares and differences do not change.
    """
    is_first = np.asarray(first, dtype=bool)
    is_second = np.asarray(second, dtype=bool)
    both = (is_first & is_second).sum(axis=0)
    correct_counts = (is_first.sum(axis=0), is_second.sum(axis=0))
    neither = len(is_first) - correct_counts[0] - correct_counts[1] + both
    as_float = [
        np.asarray(count, dtype=np.float64) * independent
        for count in (both, correct_counts[0] - both, correct_counts[1] - both, neither)
    ]
    return PairedCounts(as_float[0], as_float[1], as_float[2], as_float[3], paired)


def newcombe_interval(
    counts: PairedCounts, *, comparisons: int = 1, level: float = 0.95
) -> tuple[Float64Array, Float64Array]:
    """Newcombe's interval of `counts.difference`, from Wilson's limits of both shares and their correlation.

    Method 10 of Newcombe (1998, Statistics in Medicine 17, 2635-2650); for shares of different images
    `difference_of_groups`.

    Args:
        counts: images of each pair (…).
        comparisons: Bonferroni's correction: how many intervals hold together.
        level: of the interval.

    Returns:
        Lower and upper ends, (…) each.
    """
    shares = ((counts.both + counts.only_first) / counts.total, (counts.both + counts.only_second) / counts.total)
    if not counts.paired:
        return difference_of_groups(shares, (counts.total, counts.total), comparisons=comparisons, level=level)
    limits = [wilson_interval(share, counts.total, comparisons=comparisons, level=level) for share in shares]
    return _square_and_add(shares, limits, _correlation(counts))


def difference_of_groups(
    shares: tuple[ArrayLike, ArrayLike],
    counts: tuple[ArrayLike, ArrayLike],
    *,
    comparisons: int = 1,
    level: float = 0.95,
) -> tuple[Float64Array, Float64Array]:
    """Interval of the first share minus the second, of two groups of different images.

    The exact limits of each share are combined as Newcombe combines Wilson's (1998, Statistics in Medicine 17, 873-890,
    method 10). With Wilson's, up to 11% of one-sided 95% bounds miss where one group is small and nearly all of its
    images are correct or incorrect; with these up to 5.5%.

    Args:
        shares: two (…), 0-1.
        counts: images of each, two (…) above 0.
        comparisons: Bonferroni's correction: how many intervals hold together.
        level: of the interval.

    Returns:
        Lower and upper ends, (…) each.
    """
    first, second = (np.asarray(share, dtype=np.float64) for share in shares)
    limits = [
        exact_interval(share * np.asarray(count), count, comparisons=comparisons, level=level)
        for share, count in zip((first, second), counts, strict=True)
    ]
    return _square_and_add((first, second), limits, np.zeros_like(first))


def difference_of_changes(
    groups: tuple[PairedCounts, PairedCounts], *, comparisons: int = 1, level: float = 0.95
) -> tuple[Float64Array, Float64Array]:
    """Interval of the paired difference of one group of images minus that of another: how much more its share changes.

    Newcombe's limits of both are combined as those of two independent differences (Zou and Donner 2008, Statistics in
    Medicine 27, 1693-1702).

    Args:
        groups: images of each pair (…), of two groups of different images.
        comparisons: Bonferroni's correction: how many intervals hold together.
        level: of the interval.

    Returns:
        Lower and upper ends, (…) each.
    """
    limits = [newcombe_interval(group, comparisons=comparisons, level=level) for group in groups]
    values = groups[0].difference, groups[1].difference
    return _square_and_add(values, limits, np.zeros_like(values[0]))


def _square_and_add(
    shares: tuple[Float64Array, Float64Array],
    limits: Sequence[tuple[Float64Array, Float64Array]],
    correlation: Float64Array,
) -> tuple[Float64Array, Float64Array]:
    """Interval of the difference of two shares from the limits of each and their correlation."""
    first, second = shares
    (first_low, first_high), (second_low, second_high) = limits

    def length(side: Float64Array, opposite: Float64Array) -> Float64Array:
        return np.sqrt(np.maximum(side**2 - 2 * correlation * side * opposite + opposite**2, 0))

    low = first - second - length(first - first_low, second_high - second)
    high = first - second + length(first_high - first, second - second_low)
    return low, high


def _correlation(counts: PairedCounts) -> Float64Array:
    """Phi of the four counts with Newcombe's continuity correction, which makes small positive ones 0."""
    both, only_first, only_second, neither, _ = counts
    product = both * neither - only_first * only_second
    corrected = np.where(product > 0, np.maximum(product - counts.total / 2, 0), product)
    scale = np.sqrt((both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither))
    phi: Float64Array = np.divide(corrected, scale, out=np.zeros_like(scale), where=scale > 0)
    return phi


def smallest_detectable_difference(
    discordant_share: ArrayLike, count: float, *, level: float = 0.95, power: float = POWER
) -> Float64Array:
    """The smallest difference of two paired shares that a test of `count` images detects with power `power`.

    The d that solves count = [z_a sqrt(s) + z_b sqrt(s - d^2)]^2 / d^2, s the discordant share (Connor 1987,
    Biometrics 43, 207-211), which is at least d. If no image differs, s is the upper end of its Wilson interval.

    Args:
        discordant_share: (…) 0-1.
        count: images (the effective number, with duplicates).
        level: of the test.
        power: of the test.

    Returns:
        (…) 0-1.
    """
    share = np.asarray(discordant_share, dtype=np.float64)
    share = np.where(share > 0, share, wilson_interval(share, count, level=level)[1])
    alpha = normal_quantile(level)
    beta = NormalDist().inv_cdf(power)
    low = np.zeros_like(share)
    high = np.ones_like(share)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        differing = np.maximum(share, middle)
        needed = (alpha * np.sqrt(differing) + beta * np.sqrt(differing - middle**2)) ** 2
        enough = count * middle**2 >= needed
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high


def exact_mcnemar(only_a: ArrayLike, only_b: ArrayLike) -> Float64Array:
    """Two-sided exact p values of McNemar's test: binomial tests on the images with just one of two correct.

    Not mid-p (Fagerland, Lydersen and Laake 2013): with Holm's correction over a hundred cells only the most extreme
    outcomes count, whose probability mid-p halves, and some cell is wrongly decided in 9% of samples.

    Args:
        only_a: (K,) images that only the first predicts correctly; fractions too, with duplicates (effective counts).
        only_b: (K,) images that only the second predicts correctly.

    Returns:
        (K,) 0-1; twice the smaller tail, which is exact if both are equally likely, and 1 without such images.
    """
    from scipy.special import bdtr, betainc  # here: it takes .2 s, and most charts do without

    first, second = np.asarray(only_a), np.asarray(only_b)
    fewer = np.minimum(first, second)
    both = first + second
    tails = bdtr(np.floor(fewer), np.floor(both).astype(np.int64), 0.5)
    if (is_part := (fewer % 1 != 0) | (both % 1 != 0)).any():  # the same tail, for fractional counts
        parts = betainc(np.where(is_part, both - fewer, 1), fewer + 1, 0.5)
        tails = np.where(is_part, parts, tails)
    p_values: Float64Array = np.minimum(1.0, 2 * tails)
    return p_values


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values (Holm 1979), in the given order; SciPy has no such function."""
    order = np.argsort(p_values, kind="stable")
    steps = np.arange(len(order), 0, -1) * np.asarray(p_values, dtype=np.float64)[order]
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, steps))
    return [float(p) for p in adjusted]


def discoveries(p_values: Sequence[float], rate: float) -> list[bool]:
    """Which hypotheses Benjamini and Hochberg's procedure (1995) rejects, with a false discovery rate of `rate`.

    It is valid for independent and for positively dependent statistics (Benjamini and Yekutieli 2001). SciPy's function
    is in `scipy.stats`, which takes .5 s to import: a tenth of a load of a small evaluation.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.asarray(p_values, dtype=np.float64)[order] * (len(order) / np.arange(1, len(order) + 1))
    rejected = np.flatnonzero(adjusted <= rate).max(initial=-1) + 1  # all up to the last, whatever lies before it
    are_rejected = np.zeros(len(order), np.bool_)
    are_rejected[order[:rejected]] = True
    return are_rejected.tolist()


def p_by_inversion(is_shown: Callable[[float], bool]) -> float:
    """The p value of a test given by intervals: 1 minus the highest level at which these are significant.

    Args:
        is_shown: whether the interval of a level, 0-1, is significant.
    """
    low = MIN_P
    high = 1.0
    for _ in range(BISECTIONS):
        middle = sqrt(low * high)
        low, high = (low, middle) if is_shown(1 - middle) else (middle, high)
    return high
