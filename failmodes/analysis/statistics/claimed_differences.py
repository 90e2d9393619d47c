"""What a study claims in advance: accuracy, what a corruption costs, by how much a model is more often right.

Each is judged by itself, with no correction for the number of claims: a study states them before it sees its data. At
one severity intervals of differences are Newcombe's, of means over severities those of `mean_difference`; over several
training seeds of both models those of `difference_in_cells`. Of one accuracy it is Clopper and Pearson's: at a limit
Wilson's would be on the wrong side in up to 6.6 % of samples of 50 images, instead of 5.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from failmodes.analysis.selection import averaged_severities
from failmodes.analysis.statistics.bootstrap import CorrectnessMatrix, Estimate
from failmodes.analysis.statistics.corruption_drop import accuracy_difference
from failmodes.analysis.statistics.mean_accuracy import mean_accuracy
from failmodes.analysis.statistics.paired_difference import (
    count_pairs,
    mean_difference,
    newcombe_interval,
)
from failmodes.analysis.statistics.trained_model_accuracy import TrainingRuns
from failmodes.analysis.statistics.trained_model_difference import difference_in_cells
from failmodes.warehouse.metrics.intervals import exact_interval
from failmodes.warehouse.schema import CLEAN

At = float | Literal["average", "last"]


def claimed_severities(grids: Sequence[Mapping[float, int]], at: At) -> list[float]:
    """The severities above clean that a claim is about, of those that all curves have; empty where they lack it.

    Args:
        grids: curves, each with the column of every severity from clean on.
        at: one severity, the last, or the average over the whole ones (over all where none is whole).
    """
    shared = sorted(set.intersection(*(set(grid) for grid in grids)) - {0.0})
    if not shared or (isinstance(at, float) and at not in shared):
        return []
    if at == "average":
        return averaged_severities(shared)
    return [shared[-1] if at == "last" else float(at)]


def accuracy_of(correctness: CorrectnessMatrix, corruptions: Sequence[str], at: At, level: float) -> Estimate | None:
    """The mean over corruptions of the accuracy under each, 0-1; None where one was not evaluated there.

    Args:
        correctness: whether each image is right in each cell.
        corruptions: that the average is over, each of equal weight; empty: clean images.
        at: see `claimed_severities`.
        level: of the interval.
    """
    curves = correctness.curves()
    grids = [curves.get(corruption, {}) for corruption in corruptions]
    groups = [[grid[severity] for severity in claimed_severities([grid], at)] for grid in grids]
    if not corruptions:
        groups = [[correctness.cells.index((CLEAN, 0.0))]]
    if not all(groups):
        return None
    if len(groups) == len(groups[0]) == 1:
        correct, count = correctness.correct[:, groups[0][0]].sum(), len(correctness.correct)
        low, high = exact_interval(correct, count, level=level)
        return Estimate(float(correct) / count, float(low), float(high))
    return mean_accuracy(correctness, groups, level)


def drop_of(correctness: CorrectnessMatrix, corruption: str, at: At, level: float) -> Estimate | None:
    """Clean accuracy minus that under a corruption, -1 to 1; None where it was not evaluated there.

    Args:
        correctness: whether each image is right in each cell.
        corruption: its name.
        at: see `claimed_severities`.
        level: of the interval.
    """
    curve = correctness.curves().get(corruption, {})
    columns = [curve[severity] for severity in claimed_severities([curve], at)]
    return accuracy_difference(correctness, [curve[0.0]], columns, level) if columns else None


def drop_difference(
    correctness: CorrectnessMatrix, corruption: str, other: str, at: At, level: float
) -> Estimate | None:
    """What a corruption costs minus what another one does, -1 to 1; None where one was not evaluated there.

    Both are measured from the same clean images, so it is the difference of their accuracies, image by image where
    images pair, at severities that both have.
    """
    curves = correctness.curves()
    one, another = curves.get(corruption, {}), curves.get(other, {})
    severities = claimed_severities([one, another], at)
    if not severities:
        return None
    of_one, of_another = ([curve[severity] for severity in severities] for curve in (one, another))
    return accuracy_difference(correctness, of_another, of_one, level)


def trained_model_difference(
    a: TrainingRuns, b: TrainingRuns, corruptions: Sequence[str], at: At, level: float
) -> Estimate | None:
    """Mean accuracy of `a` minus that of `b` on the same images, -1 to 1; None without cells that both have.

    Over training seeds and images where both have several runs; else of these checkpoints, over images alone.

    Args:
        a: answers of one model's training runs.
        b: those of another.
        corruptions: that the average is over, each of equal weight; empty: clean images.
        at: see `claimed_severities`.
        level: of the interval.
    """
    of_a: list[int] = []
    of_b: list[int] = []
    weights: list[float] = []
    if not corruptions:
        of_a, of_b, weights = [_clean(a)], [_clean(b)], [1.0]
    shared = [c for c in corruptions if c in a.curves and c in b.curves]
    for corruption in shared:
        curves = a.curves[corruption], b.curves[corruption]
        severities = claimed_severities(curves, at)
        if not severities:
            return None
        of_a += [curves[0][severity] for severity in severities]
        of_b += [curves[1][severity] for severity in severities]
        weights += [1 / len(shared) / len(severities)] * len(severities)
    if not weights:
        return None
    if len(a.correct) > 1 and len(b.correct) > 1:
        return difference_in_cells(a, b, (of_a, of_b), weights).interval(level)
    if len(weights) == len(a.correct) == len(b.correct) == 1:
        counts = count_pairs(a.correct[0][:, of_a[0]], b.correct[0][:, of_b[0]])
        low, high = newcombe_interval(counts, level=level)
        return Estimate(float(counts.difference), float(low), float(high))
    return mean_difference(a.over_seeds(of_a) - b.over_seeds(of_b), weights, paired=a.paired).interval(level)


def _clean(runs: TrainingRuns) -> int:
    """The column of the clean cell, which all curves share."""
    return int(np.min([curve[0.0] for curve in runs.curves.values()]))
