"""The rules of a gate made ready to judge: metrics, scores and corruptions looked up, limits with their good side."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from failmodes.analysis.gate.rule_cells import RuleCells, find_rule_cells
from failmodes.analysis.statistics.run_rows import CellKey
from failmodes.ingest.statements import GateSpec, Statement
from failmodes.warehouse.errors import StudyError, did_you_mean
from failmodes.warehouse.metrics.metric import Metric

DEFAULT_SCORE = "confidence"


class Requirement(NamedTuple):
    """A limit, and on which side of it the metric, or its difference to the baseline, must lie."""

    limit: float
    is_least: bool

    def spare(self, bound: float) -> float:
        """How far within the limit a value is; below 0 beyond it."""
        return bound - self.limit if self.is_least else self.limit - bound


@dataclass(frozen=True)
class PlannedRule:
    """A rule with what its names stand for.

    Attributes:
        rule: as it is written.
        metric: what is measured.
        score: what failures are predicted by; None where the metric takes none.
        requirement: what the metric, or the difference, is held against.
        cells: that it is about.
    """

    rule: Statement
    metric: Metric
    score: str | None
    requirement: Requirement
    cells: RuleCells

    @property
    def decision_count(self) -> int:
        """How many chances it has to stop the gate."""
        return len(self.cells.present) if self.rule.over == "each" else 1


def plan_rules(
    gate: GateSpec,
    candidate: Collection[CellKey],
    baseline: Collection[CellKey] | None,
    origin: str,
    metrics: Mapping[str, Metric],
) -> list[PlannedRule]:
    """The rules of a gate, in their order.

    Args:
        gate: as it was read.
        candidate: cells of the candidate.
        baseline: cells of the baseline, where there is one.
        origin: where the rules come from, for errors.
        metrics: those that rules may name.

    Raises:
        StudyError: a metric, score or corruption is unknown, a limit is on the wrong side of a metric, or a rule
            compares and there is no baseline.
    """
    found = []
    for number, rule in enumerate(gate.rules):
        place = f"{origin}: gate.rules.{number}"
        metric = _known_metric(rule, place, metrics)
        score = _known_score(rule, metric, place, metrics)
        requirement = _requirement(rule, metric, place)
        if rule.is_relative and baseline is None:
            raise StudyError(
                f'{place}: worse_by_at_most compares with a baseline: add baseline = "LABEL" to [gate], or write '
                "at_least or at_most"
            )
        cells = find_rule_cells(rule, candidate, baseline, place)
        found.append(PlannedRule(rule, metric, score, requirement, cells))
    return found


def _known_metric(rule: Statement, place: str, metrics: Mapping[str, Metric]) -> Metric:
    if rule.metric not in metrics:
        hint = did_you_mean(rule.metric.lower(), metrics, f"known are {', '.join(metrics)}")
        raise StudyError(f"{place}.metric: unknown metric {rule.metric[:100]!r}: {hint}")
    return metrics[rule.metric]


def _known_score(rule: Statement, metric: Metric, place: str, metrics: Mapping[str, Metric]) -> str | None:
    if not metric.takes_score:
        if rule.score is not None:
            takers = ", ".join(name for name, other in metrics.items() if other.takes_score)
            raise StudyError(f"{place}.score: {rule.metric} takes no score: leave it out (it goes with {takers})")
        return None
    score = rule.score or (DEFAULT_SCORE if DEFAULT_SCORE in metric.scores else metric.scores[0])
    if score not in metric.scores:
        hint = did_you_mean(score.lower(), metric.scores, f"known are {', '.join(metric.scores)}")
        raise StudyError(f"{place}.score: unknown score {score[:100]!r}: {hint}")
    return score


def _requirement(rule: Statement, metric: Metric, place: str) -> Requirement:
    if metric.higher_is_better is None:
        if rule.is_relative:
            raise StudyError(
                f"{place}: neither direction of {rule.metric} is better, so nothing is worse: write at_least or at_most"
            )
        return Requirement(rule.bound, rule.relation == "at_least")
    if rule.is_relative:
        return Requirement(-rule.bound if metric.higher_is_better else rule.bound, metric.higher_is_better)
    expected_key = "at_least" if metric.higher_is_better else "at_most"
    if rule.relation != expected_key:
        raise StudyError(
            f"{place}: {rule.metric} is better the {metric.better}, so its limit is {expected_key} "
            f"(given: {rule.relation})"
        )
    return Requirement(rule.bound, metric.higher_is_better)
