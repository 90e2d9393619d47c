"""Which corruption costs most, and whether it can be told from the second, over resampled images."""

from typing import NamedTuple

import duckdb
import numpy as np

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, Selection, averaged_severities
from failmodes.analysis.statistics.bootstrap import (
    Estimate,
    Float64Array,
    Resampling,
    bootstrap_estimate,
    read_correctness,
    resampled_correctness,
    stored_resampling,
)


class CorruptionCost(NamedTuple):
    """Accuracy that a corruption costs: at its last severity, and on average over its whole severities; 0-1."""

    corruption: str
    last_severity: float
    at_last: Estimate
    on_average: Estimate


class CostRanking(NamedTuple):
    """Corruptions by cost at the last severity and by average cost, costliest first; the extras, unranked, apart.

    A lead is the cost of the first minus the second (None with one corruption); `first_share` is the share of
    resamples in which the first is first.
    """

    costs: tuple[CorruptionCost, ...]
    lead: Estimate | None
    first_share: float
    by_average: tuple[CorruptionCost, ...]
    average_lead: Estimate | None
    extras: tuple[CorruptionCost, ...]

    @property
    def is_clear(self) -> bool:
        """Whether the first can be told from the second."""
        return self.lead is None or self.lead.above_zero


@read_once
def cost_rankings(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[EvaluationInfo, CostRanking]:
    """What each corruption costs each evaluation of the selection, resampled as the stored shapes were."""
    resampling = stored_resampling(con)
    return {evaluation: rank_costs(con, selection, evaluation, resampling) for evaluation in selection.evaluations}


def rank_costs(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo, resampling: Resampling
) -> CostRanking:
    """Rank the selection's corruptions, without the extras, by what they cost one evaluation, on the same resamples."""
    correctness = read_correctness(con, evaluation.evaluation_id)
    curves = {c: curve for c, curve in correctness.curves().items() if c in selection.corruptions}
    resampled = resampled_correctness(con, evaluation.evaluation_id, resampling.resamples, resampling.seed)
    accuracies = np.vstack([correctness.accuracy, resampled])
    at_last = {c: _drop(accuracies, curve, [max(curve)]) for c, curve in curves.items()}
    average = {c: _drop(accuracies, curve, averaged_severities(curve)) for c, curve in curves.items()}
    level = resampling.interval_level
    costs = {
        c: CorruptionCost(c, max(curve), bootstrap_estimate(at_last[c], level), bootstrap_estimate(average[c], level))
        for c, curve in curves.items()
    }
    ranked = [c for c in curves if c in selection.averaged]
    order, by_average = _costliest_first(at_last, ranked), _costliest_first(average, ranked)
    resamples = np.stack([at_last[c][1:] for c in order])
    return CostRanking(
        tuple(costs[c] for c in order),
        lead=_lead(at_last, order, level),
        first_share=float((resamples.argmax(axis=0) == 0).mean()),
        by_average=tuple(costs[c] for c in by_average),
        average_lead=_lead(average, by_average, level),
        extras=tuple(costs[c] for c in _costliest_first(at_last, [c for c in curves if c not in ranked])),
    )


def _drop(accuracies: Float64Array, curve: dict[float, int], severities: list[float]) -> Float64Array:
    """Clean accuracy minus the mean over `severities`: (1 + B,) from (1 + B, C), the point estimate first."""
    corrupted: Float64Array = accuracies[:, [curve[severity] for severity in severities]].mean(axis=1)
    return accuracies[:, curve[0.0]] - corrupted


def _costliest_first(drops: dict[str, Float64Array], corruptions: list[str]) -> list[str]:
    return sorted(corruptions, key=lambda c: -float(drops[c][0]))


def _lead(drops: dict[str, Float64Array], order: list[str], level: float) -> Estimate | None:
    return bootstrap_estimate(drops[order[0]] - drops[order[1]], level) if len(order) > 1 else None
