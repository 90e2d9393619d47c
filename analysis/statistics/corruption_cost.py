"""Which corruption costs most, and whether that can be told from the second, over resampled images."""

from typing import NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.estimate import Estimate
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.bootstrap import percentile_interval
from failmodes.analysis.statistics.correctness import CurveColumns, read_correctness
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.analysis.statistics.shape_tables import shape_settings

Float64Array = NDArray[np.float64]


class CorruptionCost(NamedTuple):
    """Accuracy that a corruption costs: at its last severity, and on average over its whole severities; 0-1."""

    corruption: str
    last_severity: float
    at_last: Estimate
    on_average: Estimate


class CostRanking(NamedTuple):
    """Corruptions by cost at the last severity, dearest first; the extras, which are not ranked, apart.

    A lead is the cost of the first minus the second (None with one corruption); `first_share` is the share of
    resamples in which the first is first.
    """

    costs: tuple[CorruptionCost, ...]
    lead: Estimate | None
    first_share: float
    average_order: tuple[str, ...]
    average_lead: Estimate | None
    extras: tuple[CorruptionCost, ...] = ()

    @property
    def is_clear(self) -> bool:
        """Whether the first can be told from the second."""
        return self.lead is None or self.lead.above_zero


def rank_costs(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo, settings: ShapeSettings
) -> CostRanking:
    """Rank the selection's corruptions, without the extras, by what they cost one evaluation, on the same resamples."""
    correctness = read_correctness(con, evaluation.evaluation_id)
    curves = {c: curve for c, curve in correctness.curves().items() if c in selection.corruptions}
    states = np.vstack([correctness.accuracy, correctness.resampled(settings.resamples, settings.seed)])
    at_last = {c: _fall(states, curve, curve.columns[-1:]) for c, curve in curves.items()}
    average = {c: _fall(states, curve, curve.averaged) for c, curve in curves.items()}
    level = settings.interval_level
    costs = {
        c: CorruptionCost(c, float(curve.severities[-1]), _estimate(at_last[c], level), _estimate(average[c], level))
        for c, curve in curves.items()
    }
    ranked = [c for c in curves if c in selection.averaged]
    order, average_order = _dearest_first(at_last, ranked), _dearest_first(average, ranked)
    resamples = np.stack([at_last[c][1:] for c in order])
    return CostRanking(
        tuple(costs[c] for c in order),
        lead=_lead(at_last, order, level),
        first_share=float((resamples.argmax(axis=0) == 0).mean()),
        average_order=tuple(average_order),
        average_lead=_lead(average, average_order, level),
        extras=tuple(costs[c] for c in _dearest_first(at_last, [c for c in curves if c not in ranked])),
    )


def _fall(states: Float64Array, curve: CurveColumns, columns: list[int]) -> Float64Array:
    """Clean accuracy minus the mean over `columns`: (1 + B,) from (1 + B, C), the point estimate first."""
    return states[:, curve.columns[0]] - states[:, columns].mean(axis=1)


def _dearest_first(falls: dict[str, Float64Array], corruptions: list[str]) -> list[str]:
    return sorted(corruptions, key=lambda c: -float(falls[c][0]))


def _lead(falls: dict[str, Float64Array], order: list[str], level: float) -> Estimate | None:
    return _estimate(falls[order[0]] - falls[order[1]], level) if len(order) > 1 else None


def _estimate(states: Float64Array, level: float) -> Estimate:
    low, high = percentile_interval(states[1:], level)
    return Estimate(float(states[0]), float(low), float(high))


def cost_rankings(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[EvaluationInfo, CostRanking]:
    """What each corruption costs each evaluation of the selection."""
    settings = shape_settings(con)
    return {evaluation: rank_costs(con, selection, evaluation, settings) for evaluation in selection.evaluations}
