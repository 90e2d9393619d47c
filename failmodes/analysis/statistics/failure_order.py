"""Ranks of corruptions and classes by accuracy drop, each with an interval.

Each pair is compared by an interval of its difference, and all of these intervals hold together. The interval of a rank
is from one more than the number of those shown to be larger, to the number of all minus those shown to be smaller
(Mogstad, Romano, Shaikh and Wilhelm 2024, "Inference for Ranks with Applications to Mobility across Neighborhoods and
Academic Achievement across Countries", Review of Economic Studies 91, 476-518). Equal values share a rank, so that
chance does not break ties.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from failmodes.analysis.evaluations.selection import averaged_severities
from failmodes.analysis.statistics.difference import ModelMetrics, Term, mean_of
from failmodes.analysis.statistics.estimate import Estimate, Float64Array
from failmodes.analysis.statistics.model_accuracy import accuracy_over
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, ModelRows, RunRows
from failmodes.analysis.statistics.shares import POWER
from failmodes.warehouse.metrics.duplicates import Groups, independent_share, kept_groups
from failmodes.warehouse.metrics.intervals import mean_with_pseudo_images, normal_quantile

AT_LAST, ON_AVERAGE = MEASURES = ("at_last", "on_average")
FEWEST_OF_CLASS = 10  # images; a class with fewer is not ranked
EQUAL = 1e-9  # smaller differences are rounding errors


class RankedDrop(NamedTuple):
    """An accuracy drop, 0-1, with its rank; intervals of ranks hold for all together.

    `smallest_shown` is the difference from the next in rank that this number of images detects with power POWER.
    """

    drop: Estimate
    rank: int
    rank_low: int
    rank_high: int
    smallest_shown: float


def rank_corruptions(run: RunRows, corruptions: Sequence[str], measure: str, level: float) -> dict[str, RankedDrop]:
    """Rank corruptions by the accuracy drop of one evaluation, with intervals of the ranks.

    Args:
        run: the evaluation.
        corruptions: to rank.
        measure: AT_LAST or ON_AVERAGE.
        level: of all intervals.
    """
    columns = columns_of_drops(run, corruptions, measure)
    if not columns:
        return {}
    correct = run.correct
    groups = run.groups
    left = np.stack([correct[:, cells].mean(axis=1) for cells in columns.values()])
    if run.shares_images:
        variance = np.array(
            [[mean_with_pseudo_images(first - second, -1, 1, groups=groups)[1] for second in left] for first in left]
        )
    else:  # variances of means over cells of different images add up
        of_cell = np.array(
            [mean_with_pseudo_images(cell.astype(np.float64), 0, 1, groups=groups)[1] for cell in correct.T]
        )
        own_variance = np.array([of_cell[cells].sum() / len(cells) ** 2 for cells in columns.values()])
        variance = own_variance[:, None] + own_variance
    quantiles = quantiles_of_pairs(np.full(len(left), run.effective_count), level)
    metrics = ModelMetrics(ModelRows((run,)))
    lost = [[Term(CLEAN_CELL, 1), *mean_of([run.cells[cell] for cell in cells], -1)] for cells in columns.values()]
    drops = [accuracy_over(metrics, terms).interval(level) for terms in lost]
    return dict(zip(columns, _ranked(drops, -left.mean(axis=1), np.sqrt(variance), quantiles), strict=True))


def columns_of_drops(run: RunRows, corruptions: Sequence[str], measure: str) -> dict[str, list[int]]:
    """The columns whose mean accuracy gives the drop of a corruption: the last severity, or the averaged ones."""
    curves = {name: run.curves()[name] for name in corruptions}
    return {
        name: [curve[severity] for severity in ([max(curve)] if measure == AT_LAST else averaged_severities(curve))]
        for name, curve in curves.items()
    }


def rank_classes(
    losses: ArrayLike, labels: ArrayLike, level: float, groups: Groups | None = None
) -> dict[int, RankedDrop]:
    """Rank classes by the accuracy drop of their images, with intervals; classes of too few images are excluded.

    Classes have different images, so that all differences have Student's intervals that hold together (Bonferroni).

    Args:
        losses: (N,) of each image, clean correctness minus the share of correct corrupted cells; -1 to 1.
        labels: (N,) class of each image.
        level: of all intervals.
        groups: (N,) of duplicates among the images; None if they are distinct.
    """
    loss = np.asarray(losses, dtype=np.float64)
    label = np.asarray(labels)
    by_class = {int(index): (loss[label == index], kept_groups(groups, label == index)) for index in np.unique(label)}
    counts = {index: len(losses_of) * independent_share(of_own) for index, (losses_of, of_own) in by_class.items()}
    kept = {index: losses_of for index, losses_of in by_class.items() if counts[index] >= FEWEST_OF_CLASS}
    if not kept:
        return {}
    means = np.array([losses_of.mean() for losses_of, _ in kept.values()])
    center, variance = np.array(
        [mean_with_pseudo_images(losses_of, -1, 1, groups=of_own) for losses_of, of_own in kept.values()]
    ).T
    half = normal_quantile(level) * np.sqrt(variance)
    drops = [Estimate(*ends) for ends in np.stack([means, center - half, center + half], axis=1).tolist()]
    quantiles = quantiles_of_pairs([counts[index] for index in kept], level)
    return dict(zip(kept, _ranked(drops, means, np.sqrt(variance[:, None] + variance), quantiles), strict=True))


def _ranked(
    drops: Sequence[Estimate], values: Float64Array, errors: Float64Array, quantiles: Float64Array
) -> list[RankedDrop]:
    """Each drop with its rank; it is compared with the next in rank, the last one with the one before."""
    order = np.argsort(-values, kind="stable")
    beside = np.empty(len(order), dtype=np.intp)
    beside[order] = np.append(order[1:], order[-2:][:1])
    shown = ((quantiles + normal_quantile(2 * POWER - 1)) * errors)[np.arange(len(order)), beside]
    ranks = rank_intervals(values, errors, quantiles).T.tolist()
    return [
        RankedDrop(drop, rank, low, high, size)
        for drop, (rank, low, high), size in zip(drops, ranks, shown.tolist(), strict=True)
    ]


def rank_intervals(values: ArrayLike, errors: ArrayLike, quantiles: ArrayLike) -> NDArray[np.intp]:
    """Ranks of values from 1, the largest first, with the ends of their intervals, which hold for all together: (3, K).

    Args:
        values: (K,) to rank, the largest first.
        errors: (K, K) standard errors of the difference of each pair; the diagonal is ignored.
        quantiles: (K, K) or one number: half-widths of the intervals of all differences, in standard errors.
    """
    value = np.asarray(values, dtype=np.float64)
    difference = value[:, None] - value[None, :]
    is_above = (difference > np.asarray(quantiles) * np.asarray(errors)) & ~np.eye(len(value), dtype=bool)
    rank = 1 + (difference < -EQUAL).sum(axis=1)
    return np.stack([rank, 1 + is_above.sum(axis=0), len(value) - is_above.sum(axis=1)])


def quantiles_of_pairs(images: ArrayLike, level: float = 0.95) -> Float64Array:
    """Half-widths, in standard errors, of Student's intervals that hold for the differences of all pairs (Bonferroni).

    A bootstrap of the largest difference gives intervals 3% shorter, which are too short for 50 images.

    Args:
        images: (K,) images of each value (the effective number, with duplicates), at least 2; a pair counts with the
            smaller number.
        level: of all intervals together.

    Returns:
        (K, K).
    """
    from scipy.special import stdtrit  # here: it takes .2 s, and most charts do without

    counts = np.asarray(images)
    pairs = max(1, len(counts) * (len(counts) - 1) // 2)
    of_each: Float64Array = stdtrit(counts - 1, 1 - (1 - level) / 2 / pairs)
    return np.maximum(of_each[:, None], of_each)
