"""Pairs of models over all corruptions: which is right more often, as checkpoints, on the same images."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import duckdb
import numpy as np

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, Selection, averaged_severities
from failmodes.analysis.statistics.bootstrap import CorrectnessMatrix, Estimate, read_correctness
from failmodes.analysis.statistics.mcnemar import ALPHA, holm
from failmodes.analysis.statistics.paired_difference import MeanDifference, mean_difference
from failmodes.analysis.trained_models import pairs_of_models


class CheckpointDifference(NamedTuple):
    """Mean corrupted accuracy of one evaluation minus that of another.

    Attributes:
        a: the first.
        b: the second.
        difference: -1 to 1, over corruptions of the mean over their whole severities, with its paired interval.
        adjusted_p: of a difference of 0, with Holm's correction over all pairs.
        image_count: images that both saw.
    """

    a: EvaluationInfo
    b: EvaluationInfo
    difference: Estimate
    adjusted_p: float
    image_count: int

    @property
    def verdict(self) -> Literal["supported", "contradicted", "inconclusive"]:
        """Supported where the first is right more often, contradicted where the second is."""
        if self.adjusted_p >= ALPHA or not self.difference.value:
            return "inconclusive"
        return "supported" if self.difference.value > 0 else "contradicted"

    @property
    def winner(self) -> EvaluationInfo | None:
        """The evaluation that is right more often; None where that is inconclusive."""
        return {"supported": self.a, "contradicted": self.b, "inconclusive": None}[self.verdict]


class WinCount(NamedTuple):
    """One model: the numbers of others it is more often right than, less often right than, and compared with."""

    evaluation: EvaluationInfo
    won: int
    lost: int
    others: int


@read_once
def compare_checkpoints(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[CheckpointDifference]:
    """The difference of every pair of evaluations of different models, over the corruptions that both have."""
    of = {e: read_correctness(con, e.evaluation_id) for e in selection.evaluations}
    pairs = pairs_of_models(selection.evaluations)
    differences = [(a, b, paired_difference(of[a], of[b], selection.averaged)) for a, b in pairs]
    found = [(a, b, difference) for a, b, difference in differences if difference]
    adjusted = holm([difference.p_value for *_, difference in found])
    return [
        CheckpointDifference(a, b, difference.interval(), p, selection.image_count)
        for (a, b, difference), p in zip(found, adjusted, strict=True)
    ]


def paired_difference(a: CorrectnessMatrix, b: CorrectnessMatrix, corruptions: Sequence[str]) -> MeanDifference | None:
    """Mean corrupted accuracy of `a` minus that of `b` on the same images; None without cells that both have.

    An image's differences are averaged over cells first, so that images are what is counted. Where the cells are of
    different images their variances add up instead.

    Args:
        a: whether each image is right in each cell.
        b: the same of another model.
        corruptions: that the average is over.
    """
    of_a, of_b = a.curves(), b.curves()
    shared = [c for c in corruptions if c in of_a and c in of_b]
    columns_of_a, columns_of_b, weights = [], [], []
    for corruption in shared:
        severities = averaged_severities(sorted(of_a[corruption].keys() & of_b[corruption].keys()))
        columns_of_a += [of_a[corruption][severity] for severity in severities]
        columns_of_b += [of_b[corruption][severity] for severity in severities]
        weights += [1 / len(shared) / len(severities)] * len(severities)
    if not weights:
        return None
    differences = a.correct[:, columns_of_a].astype(np.int8) - b.correct[:, columns_of_b]
    return mean_difference(differences, weights, paired=a.paired)


def rank_by_wins(differences: Sequence[CheckpointDifference]) -> list[WinCount]:
    """Models by the pairs that they win, then by the fewest that they lose."""
    found = []
    for evaluation in dict.fromkeys(evaluation for pair in differences for evaluation in (pair.a, pair.b)):
        own = [pair for pair in differences if evaluation in (pair.a, pair.b)]
        won = sum(pair.winner == evaluation for pair in own)
        decided = sum(pair.winner is not None for pair in own)
        found.append(WinCount(evaluation, won, decided - won, len(own)))
    return sorted(found, key=lambda count: (-count.won, count.lost))
