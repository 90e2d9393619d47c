"""Pairs of models over all corruptions: which is right more often, over training seeds where both have several."""

from itertools import combinations
from typing import NamedTuple

import duckdb

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import Selection, averaged_severities
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.mcnemar import ALPHA, holm
from failmodes.analysis.statistics.paired_difference import MeanDifference, mean_difference
from failmodes.analysis.statistics.trained_model_accuracy import TrainingRuns, read_training_runs
from failmodes.analysis.statistics.trained_model_difference import compare_trained_models
from failmodes.analysis.trained_models import TrainedModel, trained_models


class PairDifference(NamedTuple):
    """Mean corrupted accuracy of one model minus that of another, over the corruptions that all their runs have.

    Attributes:
        a: the first.
        b: the second.
        difference: -1 to 1, with its interval.
        adjusted_p: of a difference of 0, with Holm's correction over all pairs of the same sort.
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

    @property
    def is_about_training(self) -> bool:
        """Whether it speaks of other training seeds too: both have several."""
        return self.a.has_several_seeds and self.b.has_several_seeds


@read_once
def compare_models_of(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[PairDifference]:
    """The difference of every pair of a selection's models: over training seeds first, then of checkpoints."""
    over_seeds = [PairDifference(*pair) for pair in compare_trained_models(con, selection)]
    models = trained_models(selection.evaluations)
    runs = {model: read_training_runs(con, model) for model in models}
    checkpoints = [(a, b) for a, b in combinations(models, 2) if not (a.has_several_seeds and b.has_several_seeds)]
    found = [
        (a, b, difference)
        for a, b in checkpoints
        if (difference := _of_checkpoints(runs[a], runs[b], selection.averaged))
    ]
    adjusted = holm([difference.p_value for *_, difference in found])
    return over_seeds + [
        PairDifference(a, b, difference.interval(), p, selection.image_count)
        for (a, b, difference), p in zip(found, adjusted, strict=True)
    ]


def _of_checkpoints(a: TrainingRuns, b: TrainingRuns, corruptions: tuple[str, ...]) -> MeanDifference | None:
    """Over images, of the mean over the runs of each; None without cells that both have."""
    shared = [c for c in corruptions if c in a.curves and c in b.curves]
    of_a, of_b, weights = [], [], []
    for corruption in shared:
        severities = averaged_severities(sorted(a.curves[corruption].keys() & b.curves[corruption].keys()))
        of_a += [a.curves[corruption][severity] for severity in severities]
        of_b += [b.curves[corruption][severity] for severity in severities]
        weights += [1 / len(shared) / len(severities)] * len(severities)
    return mean_difference(a.over_seeds(of_a) - b.over_seeds(of_b), weights, paired=a.paired) if weights else None
