"""Accuracy of models that were trained several times: the mean over training runs, with its error over both."""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import Selection, averaged_severities
from failmodes.analysis.statistics.bootstrap import (
    CorrectnessMatrix,
    Estimate,
    Float64Array,
    read_correctness,
    stored_resampling,
)
from failmodes.analysis.statistics.mean_accuracy import MeanAccuracy, mean_accuracies
from failmodes.analysis.statistics.paired_difference import mean_difference
from failmodes.analysis.statistics.training_seeds import over_seeds_and_images
from failmodes.analysis.trained_models import TrainedModel, trained_models
from failmodes.warehouse.schema import CLEAN


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


@read_once
def model_accuracies(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[TrainedModel, MeanAccuracy]:
    """The mean accuracies of each model of a selection: of several runs their mean, with its interval over both."""
    level, of_runs = stored_resampling(con).interval_level, mean_accuracies(con, selection)
    return {
        model: _accuracy_of(con, model, selection, level) if model.has_several_seeds else of_runs[model.runs[0]]
        for model in trained_models(selection.evaluations)
    }


@read_once
def seed_curves(con: duckdb.DuckDBPyConnection, selection: Selection, model: TrainedModel) -> pl.DataFrame:
    """Accuracy of a model of several runs in each cell, with its 95 % interval over training seeds and images.

    Returns:
        A row a corruption and severity from clean on: `corruption`, `severity`, `accuracy`, `accuracy_low` and
        `accuracy_high`, 0-1.
    """
    runs = read_training_runs(con, model)
    rows = [
        (corruption, severity, *mean_over_seeds(runs, [[column]], 0.95))
        for corruption, curve in runs.curves.items()
        if corruption in selection.corruptions
        for severity, column in sorted(curve.items())
    ]
    names = ("corruption", "severity", "accuracy", "accuracy_low", "accuracy_high")
    return pl.DataFrame(rows, dict.fromkeys(names, pl.Float64) | {"corruption": pl.String}, orient="row")


@read_once
def drops_over_seeds(con: duckdb.DuckDBPyConnection, selection: Selection, model: TrainedModel) -> dict[str, Estimate]:
    """Accuracy lost from clean to the last severity by corruption, with its 95 % interval over seeds and images."""
    runs = read_training_runs(con, model)
    ends = {c: (curve[0.0], curve[max(curve)]) for c, curve in runs.curves.items() if c in selection.corruptions}
    return {corruption: _weighted(runs, columns, (1, -1), 0.95) for corruption, columns in ends.items()}


def mean_over_seeds(runs: TrainingRuns, cells: Sequence[Sequence[int]], level: float) -> Estimate:
    """The mean over runs, and over groups of cells of their mean accuracy, 0-1, with its interval over both.

    Args:
        runs: two at least.
        cells: columns, a group a corruption.
        level: of the interval.
    """
    columns = [column for group in cells for column in group]
    weights = [1 / len(cells) / len(group) for group in cells for _ in group]
    value, low, high = _weighted(runs, columns, weights, level)
    return Estimate(value, max(0.0, low), min(1.0, high))


def _weighted(runs: TrainingRuns, columns: Sequence[int], weights: Sequence[float], level: float) -> Estimate:
    """The mean over runs of a weighted sum of the accuracies of cells, with its interval over both."""
    signed = 2 * runs.over_seeds(columns) - 1  # from -1 to 1, as the made-up images of `mean_difference` are
    error = mean_difference(signed, weights, paired=runs.paired).error / 2
    return over_seeds_and_images(runs.over_images(columns, weights), error**2, level)


def _accuracy_of(
    con: duckdb.DuckDBPyConnection, model: TrainedModel, selection: Selection, level: float
) -> MeanAccuracy:
    runs = read_training_runs(con, model)
    curves = {c: curve for c, curve in runs.curves.items() if c in selection.corruptions and c != CLEAN}
    cells = {c: [curve[s] for s in averaged_severities(sorted(curve))] for c, curve in curves.items()}
    clean = next(iter(curves.values()))[0.0]
    averaged = [cells[c] for c in selection.averaged] if cells.keys() >= set(selection.averaged) else []
    return MeanAccuracy(
        mean_over_seeds(runs, [[clean]], level),
        mean_over_seeds(runs, averaged, level) if averaged else None,
        {c: mean_over_seeds(runs, [columns], level) for c, columns in cells.items()},
    )
