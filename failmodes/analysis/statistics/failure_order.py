"""Which breaks first: corruptions and classes in the order of what they lose, each rank with an interval."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from failmodes.analysis.selection import averaged_severities
from failmodes.analysis.statistics.bootstrap import CorrectnessMatrix, Estimate, Float64Array
from failmodes.analysis.statistics.model_accuracy import accuracy_difference
from failmodes.analysis.statistics.rank_intervals import errors_of_pairs, quantiles_of_pairs, rank_intervals
from failmodes.analysis.statistics.shares import POWER
from failmodes.warehouse.metrics.intervals import normal_quantile

AT_LAST, ON_AVERAGE = MEASURES = ("at_last", "on_average")
FEWEST_OF_CLASS = 10  # images; a class of fewer is not ranked
MADE_UP = 2  # images, one at each end, without which an interval may have no width (see `statistics.difference`)


class RankedDrop(NamedTuple):
    """What one of several loses, 0-1, with its place among them; intervals of ranks hold for all together.

    `smallest_shown` is the difference from the nearest in rank that so many images show in POWER of samples.
    """

    drop: Estimate
    rank: int
    rank_low: int
    rank_high: int
    smallest_shown: float


def rank_corruptions(
    correctness: CorrectnessMatrix, corruptions: Sequence[str], measure: str, level: float
) -> dict[str, RankedDrop]:
    """Corruptions by what they cost one evaluation, with intervals of their ranks.

    Args:
        correctness: whether each image is right in each cell.
        corruptions: those to be ranked.
        measure: AT_LAST or ON_AVERAGE.
        level: of all intervals.
    """
    columns = columns_of_drops(correctness, corruptions, measure)
    if not columns:
        return {}
    clean, correct = correctness.curves()[corruptions[0]][0.0], correctness.correct
    values = np.stack([correct[:, own].mean(axis=1) for own in columns.values()], axis=1)
    errors = errors_of_pairs(values) if correctness.paired else _unpaired_errors(correctness, list(columns.values()))
    losses = -values.mean(axis=0)
    quantiles = quantiles_of_pairs(np.full_like(errors, len(correct)), level)
    drops = [accuracy_difference(correctness, [clean], own, level) for own in columns.values()]
    return dict(zip(columns, _ranked(drops, losses, errors, quantiles), strict=True))


def columns_of_drops(correctness: CorrectnessMatrix, corruptions: Sequence[str], measure: str) -> dict[str, list[int]]:
    """The cells whose mean accuracy is what a corruption leaves: the last severity, or those that averages are over."""
    curves = correctness.curves()
    return {name: [curves[name][severity] for severity in _severities(curves[name], measure)] for name in corruptions}


def _severities(curve: Mapping[float, int], measure: str) -> list[float]:
    return [max(curve)] if measure == AT_LAST else averaged_severities(curve)


def _unpaired_errors(correctness: CorrectnessMatrix, columns: Sequence[Sequence[int]]) -> Float64Array:
    """Standard errors of differences between means over cells of different images; variances add up."""
    images = len(correctness.correct)
    share = (correctness.accuracy * images + MADE_UP / 2) / (images + MADE_UP)
    of_cell = share * (1 - share) / (images + MADE_UP)
    variance = np.array([of_cell[list(own)].sum() / len(own) ** 2 for own in columns])
    errors: Float64Array = np.sqrt(variance[:, None] + variance[None, :])
    return errors


def rank_classes(losses: ArrayLike, labels: ArrayLike, level: float) -> dict[int, RankedDrop]:
    """Classes by what their images lose, with intervals of their ranks; classes of too few images are left out.

    Classes are of different images, so that all differences have Student's intervals that hold together (Bonferroni).

    Args:
        losses: (N,) of each image, right when clean minus the share of corrupted cells that are right; -1 to 1.
        labels: (N,) class of each image.
        level: of all intervals.
    """
    loss, label = np.asarray(losses, dtype=np.float64), np.asarray(labels)
    classes, place, counts = np.unique(label, return_inverse=True, return_counts=True)
    kept = np.flatnonzero(counts >= FEWEST_OF_CLASS)
    if not len(kept):
        return {}
    sums, squares = np.bincount(place, weights=loss), np.bincount(place, weights=loss**2)
    means, total = (sums / counts)[kept], (counts + MADE_UP)[kept]
    center = sums[kept] / total
    variance = ((squares[kept] + MADE_UP) / total - center**2) / total
    errors = np.sqrt(variance[:, None] + variance[None, :])
    quantiles = quantiles_of_pairs(np.minimum(counts[kept][:, None], counts[kept][None, :]), level)
    half = normal_quantile(level) * np.sqrt(variance)
    drops = [
        Estimate(float(mean), float(middle - width), float(middle + width))
        for mean, middle, width in zip(means, center, half, strict=True)
    ]
    ranked = _ranked(drops, means, errors, quantiles)
    return dict(zip((int(classes[one]) for one in kept), ranked, strict=True))


def _ranked(
    drops: Sequence[Estimate], values: ArrayLike, errors: Float64Array, quantiles: Float64Array
) -> list[RankedDrop]:
    ranks = rank_intervals(values, errors, quantiles)
    reach = (quantiles + _power_quantile()) * errors
    order = np.argsort(-np.asarray(values), kind="stable")
    beside = np.empty(len(order), dtype=np.intp)  # the nearest in rank: the next, of the last the one before
    beside[order] = np.append(order[1:], order[-2] if len(order) > 1 else order[-1])
    return [
        RankedDrop(drop, int(rank), int(low), int(high), float(reach[place, beside[place]]))
        for place, (drop, rank, low, high) in enumerate(zip(drops, *ranks, strict=True))
    ]


def _power_quantile() -> float:
    """Quantile of the normal distribution at POWER."""
    return normal_quantile(2 * POWER - 1)
