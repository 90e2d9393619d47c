"""Intervals in one cell: of shares, quantiles, areas under ROC curves and means over images.

Intervals of differences, and of means over cells and over training seeds, use them in `analysis.statistics`.
"""

from functools import lru_cache
from math import cbrt, ceil, floor, inf, nan, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from failmodes.warehouse.metrics.duplicates import Groups, group_sums, independent_share

Floats = NDArray[np.float64]
BISECTIONS = 40  # leave 1e-12


@lru_cache
def normal_quantile(level: float = 0.95, comparisons: int = 1) -> float:
    """Half-width of a two-sided normal interval in standard errors, which holds for all `comparisons` (Bonferroni)."""
    return NormalDist().inv_cdf(1 - (1 - level) / 2 / comparisons)


def wilson_interval(
    shares: ArrayLike, counts: ArrayLike, *, comparisons: int = 1, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Wilson's score interval (Wilson 1927) of shares (…) of counts (…), which holds for all `comparisons` together.

    Args:
        shares: (…) 0-1.
        counts: (…) above 0.
        comparisons: Bonferroni's correction: how many intervals hold at once.
        level: with this chance.

    Returns:
        Lower and upper ends, (…) each.
    """
    share = np.asarray(shares, dtype=np.float64)
    z2 = normal_quantile(level, comparisons) ** 2 / np.asarray(counts, dtype=np.float64)
    center = (share + z2 / 2) / (1 + z2)
    half = np.sqrt(z2 * (share * (1 - share) + z2 / 4)) / (1 + z2)
    return center - half, center + half


def exact_interval(
    correct: ArrayLike, counts: ArrayLike, *, comparisons: int = 1, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Clopper and Pearson's exact interval (1934) of the share of `correct` (…) among counts (…).

    Args:
        correct: (…) whole numbers; of duplicates parts of them too (Korn and Graubard 1998).
        counts: (…) above 0.
        comparisons: Bonferroni's correction: how many intervals hold at once.
        level: with at least this chance.

    Returns:
        Lower and upper ends, (…) each.
    """
    from scipy.special import betaincinv  # here: it takes 0.2 s, and most charts do not need it

    tail = (1 - level) / 2 / comparisons
    hits = np.asarray(correct, dtype=np.float64)
    missed = np.asarray(counts, dtype=np.float64) - hits
    low = np.where(hits > 0, betaincinv(np.where(hits > 0, hits, 1), missed + 1, tail), 0.0)
    high = np.where(missed > 0, betaincinv(hits + 1, np.where(missed > 0, missed, 1), 1 - tail), 1.0)
    return low, high


def auroc_interval(
    auroc: float, failures: float, correct: float, *, comparisons: int = 1, level: float = 0.95
) -> tuple[float, float]:
    """Newcombe's score interval of an AUROC (2006, Statistics in Medicine 25, 559-573, method 5).

    It contains the areas whose own standard errors (Hanley and McNeil) allow this one. The error of one half is that of
    the rank sum test without ties; ties make it slightly too wide. DeLong's standard error, of the sample's own spread,
    is far too small for few failures or tied confidences.

    Args:
        auroc: 0-1.
        failures: at least one; of duplicates the effective number.
        correct: correct predictions, at least one; likewise.
        comparisons: Bonferroni's correction: how many intervals hold at once.
        level: with this chance.
    """
    quantile = normal_quantile(level, comparisons)

    def lower_end(value: float) -> float:
        low, high = 0.0, value
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (
                (middle, high) if value - middle > quantile * auroc_error(middle, failures, correct) else (low, middle)
            )
        return low

    return lower_end(auroc), 1 - lower_end(1 - auroc)


def auroc_error(area: float, failures: float, correct: float) -> float:
    """The standard error that Newcombe's interval takes for a true area, 0-1 (Hanley and McNeil 1982)."""
    spread = 1 + ((failures + correct) / 2 - 1) * ((1 - area) / (2 - area) + area / (1 + area))
    return sqrt(area * (1 - area) * spread / (failures * correct))


def quantile_interval(
    values: NDArray[np.floating[Any]],
    share: float,
    limits: tuple[float, float] = (-inf, inf),
    *,
    comparisons: int = 1,
    level: float = 0.95,
    independent: float = 1.0,
) -> tuple[float, float]:
    """Order statistics that hold a quantile, whatever the distribution (Conover 1999, section 3.2, exact ranks).

    Args:
        values: (N,) without NaN, N ≥ 1.
        share: of the values below the quantile, 0-1.
        limits: smallest and largest possible value, the ends where no order statistic is one: the smallest of 50 values
            is not below the 2.5% quantile with enough probability.
        comparisons: Bonferroni's correction: how many intervals hold at once.
        level: with at least this chance.
        independent: share of the values that are independent, 0-1 (see `duplicates`).
    """
    from scipy.special import bdtrik  # here: it takes 0.2 s, and most charts do not need it

    total, tail = len(values), (1 - level) / 2 / comparisons
    count = total * independent
    has_low = (1 - share) ** count <= tail
    low = floor(floor(bdtrik(tail, count, share)) / independent) if has_low else -1
    high = ceil((ceil(bdtrik(1 - tail, count, share)) + 1) / independent) - 1
    ordered = np.sort(values)
    return (
        float(ordered[low]) if low >= 0 else limits[0],
        float(ordered[high]) if high < total else limits[1],
    )


def mean_with_pseudo_images(
    values: Floats, least: float, most: float, pseudo_images: float = 1.0, groups: Groups | None = None
) -> tuple[float, float]:
    """Mean of images and two pseudo-images, of the smallest and largest possible contribution, and its variance.

    The pseudo-images keep the error of a mean above 0 if no image of the sample differs, and its interval valid if few
    do (as in Agresti and Caffo 2000).

    Args:
        values: (N,) contributions of images.
        least: smallest contribution of one image.
        most: largest one.
        pseudo_images: pseudo-images at each end.
        groups: of duplicates (see `duplicates`), whose contributions are summed first; a pseudo-image then counts as a
            group of the effective size.
    """
    if groups is not None:
        return _mean_of_groups(values, least, most, pseudo_images, groups)
    total = len(values) + 2 * pseudo_images
    center = (float(values.sum()) + pseudo_images * (least + most)) / total
    squares = (float(np.square(values).sum()) + pseudo_images * (least**2 + most**2)) / total
    return center, max(squares - center**2, 0.0) / total  # rounding may make it negative


def _mean_of_groups(
    values: Floats, least: float, most: float, pseudo_images: float, groups: Groups
) -> tuple[float, float]:
    """As `mean_with_pseudo_images`, with the cluster-robust variance; the same for groups of one image."""
    size = 1 / independent_share(groups)
    total = len(values) + 2 * pseudo_images * size
    center = (float(values.sum()) + pseudo_images * size * (least + most)) / total
    squares = float(np.square(group_sums(values - center, groups)).sum())
    pseudo_squares = pseudo_images * size**2 * ((least - center) ** 2 + (most - center) ** 2)
    return center, (squares + pseudo_squares) / total**2


def interval_of_mean(
    values: Floats,
    image_range: tuple[float, float] = (0.0, 0.0),
    *,
    comparisons: int = 1,
    level: float = 0.95,
    pseudo_images: float = 0.0,
    count: float | None = None,
    groups: Groups | None = None,
) -> tuple[float, float, float]:
    """The mean of images with its interval: corrected for skewness, or normal with pseudo-images.

    See `deviations` and `mean_with_pseudo_images`.

    Args:
        values: (N,) contributions of images.
        image_range: smallest and largest contribution of one image.
        comparisons: Bonferroni's correction: how many intervals hold at once.
        level: with this chance.
        pseudo_images: pseudo-images at each end of the range.
        count: number of images that take part, at least 2 for an interval; default: all.
        groups: of duplicates, see `mean_with_pseudo_images`.
    """
    value = float(values.mean())
    center, variance = mean_with_pseudo_images(values, *image_range, pseudo_images, groups)
    skewness = 0.0 if pseudo_images else skewness_of_mean(values, groups)
    if not pseudo_images:
        known = (len(values) if count is None else count) * independent_share(groups)
        variance *= known / (known - 1) if known > 1 else nan
    below, above = (
        sqrt(variance) * deviations(normal_quantile(level, comparisons), skew) for skew in (skewness, -skewness)
    )
    return value, min(value, center) - below, max(value, center) + above


def skewness_of_mean(values: Floats, groups: Groups | None = None) -> float:
    """Third standardized moment of the mean of contributions (N,), of duplicates by group; 0 if all are equal."""
    apart = values - values.mean()
    sums = apart if groups is None else group_sums(apart, groups)
    squares = np.square(sums)  # times the sums: a tenth of the time of a power
    total = float(squares.sum())
    return float((squares * sums).sum()) / total**1.5 if total > 0 else 0.0


def deviations(quantile: float, skewness: float) -> float:
    """Standard errors from a mean to the lower end of its interval; with the opposite skewness to the upper end.

    Hall's cubic transformation (1992, Journal of the Royal Statistical Society B 54, 221-228), which holds where few
    images contribute much, such as those with little confidence; without skewness, the quantile itself.

    Args:
        quantile: of the normal distribution, above 0.
        skewness: of the mean, see `skewness_of_mean`.
    """
    if abs(skewness) < 1e-9:
        return quantile
    return 3 / skewness * (cbrt(1 + skewness * (quantile - skewness / 6)) - 1)


def image_weights(images: int, resamples: int, seed: int) -> NDArray[np.float32]:
    """Multinomial weights, how often each image occurs in bootstrap resamples, (B, N), in column-major order."""
    rng = np.random.default_rng(seed)
    weights = np.empty((resamples, images), np.float32, order="F")
    for row in weights:  # counting random indices is several times as fast as rng.multinomial
        row[:] = np.bincount(rng.integers(0, images, images, dtype=np.int32), minlength=images)
    return weights


def kept_weights(images: int, resamples: int, seed: int, groups: Groups | None = None) -> NDArray[np.float32]:
    """`image_weights`, cached for the next cell; for duplicates the weights of their groups."""
    return _kept(images, resamples, seed, None if groups is None else np.ascontiguousarray(groups, np.intp).tobytes())


@lru_cache(maxsize=2)  # the same for every evaluation of the same images
def _kept(images: int, resamples: int, seed: int, content: bytes | None) -> NDArray[np.float32]:
    if content is None:
        return image_weights(images, resamples, seed)
    groups = np.frombuffer(content, np.intp)
    return np.asfortranarray(image_weights(int(groups.max()) + 1, resamples, seed)[:, groups])
