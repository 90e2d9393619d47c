"""What a study claims in advance: accuracy, what a corruption costs, by how much a model is more often right.

Each is judged by itself, with no correction for the number of claims: a study states them before it sees its data. At
one severity intervals of differences are Newcombe's, of means over severities those of `mean_difference`; over several
training seeds of both models those of `difference_in_cells`. Of one accuracy it is Clopper and Pearson's: at a limit
Wilson's would be on the wrong side in up to 6.6 % of samples of 50 images, instead of 5.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from math import erfc, sqrt
from typing import Literal, NamedTuple

import duckdb
import numpy as np
from numpy.typing import ArrayLike, NDArray

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import averaged_severities
from failmodes.analysis.statistics.bootstrap import CorrectnessMatrix, Estimate, Float64Array, read_correctness
from failmodes.analysis.statistics.difference import MeanError, add_errors, error_over_seeds
from failmodes.analysis.statistics.model_accuracy import accuracy_difference
from failmodes.analysis.statistics.shares import count_pairs, newcombe_interval
from failmodes.analysis.trained_models import TrainedModel
from failmodes.warehouse.metrics.intervals import exact_interval, normal_quantile
from failmodes.warehouse.schema import CLEAN

At = float | Literal["average", "last"]


class MeanDifference(NamedTuple):
    """A mean over images with the center of its interval and its standard error, both with made-up images."""

    value: float
    center: float
    error: float

    def interval(self, level: float = 0.95) -> Estimate:
        """The mean with its normal interval, within -1 and 1."""
        half = normal_quantile(level) * self.error
        return Estimate(self.value, max(-1.0, self.center - half), min(1.0, self.center + half))

    @property
    def p_value(self) -> float:
        """Two-sided, of a normal test that the mean is 0."""
        return erfc(abs(self.center) / self.error / sqrt(2))


def mean_difference_interval(
    cells: ArrayLike, weights: ArrayLike, *, paired: bool = True, level: float = 0.95
) -> Estimate:
    """The interval of `mean_difference`, of which see."""
    return mean_difference(cells, weights, paired=paired).interval(level)


def mean_difference(cells: ArrayLike, weights: ArrayLike, *, paired: bool = True) -> MeanDifference:
    """The mean over images of a weighted sum over cells, with a standard error that is never 0.

    To the images' sums two made-up ones are added, 1 and -1, before mean and variance are taken: the interval of Bonett
    and Price (2012, Journal of Educational and Behavioral Statistics 37, 479-488), there of one pair of cells, here of
    any number. Where cells are of different images their variances add up, each with 2 / K images at the least and at
    the largest value (Price and Bonett 2004, Computational Statistics & Data Analysis 45, 449-456).

    Args:
        cells: (N, K) of each image whether it is right, bool; or a difference of two such, from -1 to 1, or a mean of
            differences over training runs.
        weights: (K,) those above 0 and those below 0 add up to 1 in size at most.
        paired: whether a row is of one image.
    """
    values, weight = np.asarray(cells), np.asarray(weights, dtype=np.float64)
    images, count = values.shape
    sums = values.sum(axis=0, dtype=np.float64)
    value = float((sums * weight).sum()) / images
    if paired:
        of_images = np.einsum("nk,k->n", values, weight)
        squares, total = float(np.square(of_images).sum()) + 2, images + 2
        center = value * images / total
        return MeanDifference(value, center, sqrt((squares / total - center**2) / total))
    added, total = 2 / count, images + 4 / count
    is_signed = values.dtype != np.bool_
    means = (sums + added * (0 if is_signed else 1)) / total
    squares_of_cells = np.einsum("nk,nk->k", values, values, dtype=np.float64)
    mean_squares = (squares_of_cells + added * (2 if is_signed else 1)) / total
    variance = float((weight**2 * (mean_squares - means**2)).sum()) / total
    return MeanDifference(value, float((means * weight).sum()), sqrt(variance))


def mean_accuracy(correctness: CorrectnessMatrix, cells: Sequence[Sequence[int]], level: float) -> Estimate:
    """The mean over groups of cells of their mean accuracy, 0-1.

    Of a single cell the interval is the exact one, else that of `mean_difference` of right (1) and wrong (-1), whose
    made-up images are one that is right everywhere and one that is wrong everywhere.

    Args:
        correctness: whether each image is right in each cell.
        cells: columns of it, a group a corruption.
        level: of the interval.
    """
    columns = [column for group in cells for column in group]
    if len(columns) == 1:  # the interval that a single accuracy has everywhere
        share, count = float(correctness.accuracy[columns[0]]), len(correctness.correct)
        low, high = exact_interval(round(share * count), count, level=level)
        return Estimate(share, float(low), float(high))
    weights = [1 / len(cells) / len(group) for group in cells for _ in group]
    signed = 2 * correctness.correct[:, columns].astype(np.int8) - 1
    found = mean_difference_interval(signed, weights, paired=correctness.paired, level=level)
    return Estimate(*((1 + value) / 2 for value in found))


class TrainingRuns(NamedTuple):
    """Answers of the training runs of one model to the same images, in the cells that all of them have.

    Attributes:
        paired: whether rows of different cells are the same images.
        curves: the column of each severity of a corruption, from clean, by corruption.
        correct: (S, N, C) whether each image is right, by run and cell.
    """

    paired: bool
    curves: dict[str, dict[float, int]]
    correct: NDArray[np.bool_]

    def over_images(self, columns: Sequence[int], weights: Sequence[float]) -> Float64Array:
        """The weighted accuracy of each run, (S,)."""
        accuracies: Float64Array = self.correct[:, :, columns].mean(axis=1) @ np.asarray(weights)
        return accuracies

    def over_seeds(self, columns: Sequence[int]) -> Float64Array:
        """The share of runs that are right on each image, (N, K) 0-1."""
        shares: Float64Array = self.correct[:, :, columns].mean(axis=0)
        return shares


def training_runs(runs: Sequence[CorrectnessMatrix]) -> TrainingRuns:
    """Answers of several runs, in the cells that all of them have."""
    shared = reduce(lambda known, run: known & set(run.cells), runs, set(runs[0].cells))
    cells = [cell for cell in runs[0].cells if cell in shared]
    correct = np.stack([run.correct[:, [run.cells.index(cell) for cell in cells]] for run in runs])
    first = CorrectnessMatrix(runs[0].evaluation_id, runs[0].paired, cells, correct[0])
    return TrainingRuns(first.paired, first.curves(), correct)


@read_once
def read_training_runs(con: duckdb.DuckDBPyConnection, model: TrainedModel) -> TrainingRuns:
    """Answers of a model's runs.

    Raises:
        WarehouseError: a cell is incomplete, or the clean cell is missing.
    """
    return training_runs([read_correctness(con, run.evaluation_id) for run in model.runs])


class SeedDifference(NamedTuple):
    """Mean corrupted accuracy of one model minus that of another, -1 to 1, with its error over seeds and images."""

    value: float
    error: MeanError

    @property
    def p_value(self) -> float:
        """Two-sided, that the models are as often right."""
        return self.error.p_value(self.value)

    def interval(self, level: float = 0.95) -> Estimate:
        """The difference with its interval, within -1 and 1."""
        half = self.error.one_sided((1 + level) / 2)
        return Estimate(self.value, max(-1.0, self.value - half), min(1.0, self.value + half))


def difference_in_cells(
    a: TrainingRuns, b: TrainingRuns, columns: tuple[Sequence[int], Sequence[int]], weights: Sequence[float]
) -> SeedDifference:
    """Weighted mean accuracy of `a` minus that of `b` over some cells.

    Args:
        a: runs of one model, two at least.
        b: runs of another, on the same images.
        columns: of the cells, in `a` and in `b`.
        weights: of the cells; they add up to 1.
    """
    of_a, of_b = columns
    images = mean_difference(a.over_seeds(of_a) - b.over_seeds(of_b), weights, paired=a.paired)
    each = [runs.over_images(columns, weights) for runs, columns in ((a, of_a), (b, of_b))]
    errors = [*map(error_over_seeds, each), MeanError(images.error**2)]
    return SeedDifference(float(each[0].mean() - each[1].mean()), add_errors(errors))


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
