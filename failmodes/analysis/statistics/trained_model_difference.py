"""Pairs of models of several training runs each: which is right more often, over training seeds and images."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import duckdb

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import Selection, averaged_severities
from failmodes.analysis.statistics.bootstrap import Estimate, stored_resampling
from failmodes.analysis.statistics.mcnemar import ALPHA, holm
from failmodes.analysis.statistics.paired_difference import mean_difference
from failmodes.analysis.statistics.trained_model_accuracy import TrainingRuns, read_training_runs
from failmodes.analysis.statistics.training_seeds import MeanError, add_errors, error_over_seeds
from failmodes.analysis.trained_models import TrainedModel, trained_models


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
        half = self.error.half_width(level)
        return Estimate(self.value, max(-1.0, self.value - half), min(1.0, self.value + half))


class TrainedModelDifference(NamedTuple):
    """Two models over the corruptions that all their runs have.

    Attributes:
        a: the first.
        b: the second.
        difference: the first minus the second, with an interval of the stored shapes' level.
        adjusted_p: that there is none, with Holm's correction over all pairs of models.
        image_count: images that all runs saw.
    """

    a: TrainedModel
    b: TrainedModel
    difference: Estimate
    adjusted_p: float
    image_count: int

    @property
    def winner(self) -> TrainedModel | None:
        """The model that is right more often; None where that is inconclusive."""
        if self.adjusted_p >= ALPHA or not self.difference.value:
            return None
        return self.a if self.difference.value > 0 else self.b


@read_once
def compare_trained_models(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[TrainedModelDifference]:
    """The difference of every pair of the selection's models that have several training runs each."""
    level = stored_resampling(con).interval_level
    models = [model for model in trained_models(selection.evaluations) if model.has_several_seeds]
    runs = {model: read_training_runs(con, model) for model in models}
    found = [
        (a, b, difference)
        for a, b in combinations(models, 2)
        if (difference := seed_difference(runs[a], runs[b], selection.averaged))
    ]
    adjusted = holm([difference.p_value for *_, difference in found])
    return [
        TrainedModelDifference(a, b, difference.interval(level), p, selection.image_count)
        for (a, b, difference), p in zip(found, adjusted, strict=True)
    ]


def seed_difference(a: TrainingRuns, b: TrainingRuns, corruptions: Sequence[str]) -> SeedDifference | None:
    """Mean corrupted accuracy of `a` minus that of `b`; None without cells that all runs of both have.

    Three independent errors: over the seeds of each, and over the images that both saw.

    Args:
        a: runs of one model, two at least.
        b: runs of another, on the same images.
        corruptions: that the average is over, each with its whole severities.
    """
    shared = [c for c in corruptions if c in a.curves and c in b.curves]
    of_a, of_b, weights = [], [], []
    for corruption in shared:
        severities = averaged_severities(sorted(a.curves[corruption].keys() & b.curves[corruption].keys()))
        of_a += [a.curves[corruption][severity] for severity in severities]
        of_b += [b.curves[corruption][severity] for severity in severities]
        weights += [1 / len(shared) / len(severities)] * len(severities)
    return difference_in_cells(a, b, (of_a, of_b), weights) if weights else None


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
