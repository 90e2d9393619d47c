"""The rules of a gate made ready to judge: measures, scores and corruptions looked up, limits with their good side."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from failmodes.analysis.gate.rule_cells import RuleCells, find_rule_cells
from failmodes.analysis.statistics.measures import MEASURES, SCORES, Measure
from failmodes.analysis.statistics.run_rows import CellKey
from failmodes.ingest.gate_rules import GateRule, GateSpec
from failmodes.warehouse.errors import StudyError, did_you_mean

DEFAULT_SCORE = "confidence"


class Requirement(NamedTuple):
    """A limit, and on which side of it the measure, or its difference to the baseline, must lie."""

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
        measure_name: in `MEASURES`.
        score: what failures are predicted by; None where the measure takes none.
        requirement: what the measure, or the difference, is held against.
        cells: that it is about.
    """

    rule: GateRule
    measure_name: str
    score: str | None
    requirement: Requirement
    cells: RuleCells

    @property
    def measure(self) -> Measure:
        """What is measured."""
        return MEASURES[self.measure_name]

    @property
    def decision_count(self) -> int:
        """How many chances it has to stop the gate."""
        return len(self.cells.present) if self.rule.over == "each" else 1


def plan_rules(
    gate: GateSpec, candidate: Collection[CellKey], baseline: Collection[CellKey] | None, origin: str
) -> list[PlannedRule]:
    """The rules of a gate, in their order.

    Args:
        gate: as it was read.
        candidate: cells of the candidate.
        baseline: cells of the baseline, where there is one.
        origin: where the rules come from, for errors.

    Raises:
        StudyError: a measure, score or corruption is unknown, a limit is on the wrong side of a measure, or a rule
            compares and there is no baseline.
    """
    found = []
    for number, rule in enumerate(gate.rules):
        place = f"{origin}: gate.rules.{number}"
        measure = _known_measure(rule, place)
        score = _known_score(rule, measure, place)
        requirement = _requirement(rule, measure, place)
        if rule.is_relative and baseline is None:
            raise StudyError(
                f'{place}: worse_by_at_most compares with a baseline: add baseline = "LABEL" to [gate], or write '
                "at_least or at_most"
            )
        cells = find_rule_cells(rule, candidate, baseline, place)
        found.append(PlannedRule(rule, rule.measure, score, requirement, cells))
    return found


def _known_measure(rule: GateRule, place: str) -> Measure:
    if rule.measure not in MEASURES:
        hint = did_you_mean(rule.measure.lower(), MEASURES, f"known are {', '.join(MEASURES)}")
        raise StudyError(f"{place}.measure: unknown measure {rule.measure[:100]!r}: {hint}")
    return MEASURES[rule.measure]


def _known_score(rule: GateRule, measure: Measure, place: str) -> str | None:
    if not measure.takes_score:
        if rule.score is not None:
            takers = ", ".join(name for name, other in MEASURES.items() if other.takes_score)
            raise StudyError(f"{place}.score: {rule.measure} takes no score: leave it out (it goes with {takers})")
        return None
    score = rule.score or DEFAULT_SCORE
    if score not in SCORES:
        hint = did_you_mean(score.lower(), SCORES, f"known are {', '.join(SCORES)}")
        raise StudyError(f"{place}.score: unknown score {score[:100]!r}: {hint}")
    return score


def _requirement(rule: GateRule, measure: Measure, place: str) -> Requirement:
    is_higher_better = measure.better == "higher"
    if rule.is_relative:
        return Requirement(-rule.limit if is_higher_better else rule.limit, is_higher_better)
    expected_key = "at_least" if is_higher_better else "at_most"
    if rule.limit_key != expected_key:
        raise StudyError(
            f"{place}: {rule.measure} is better the {measure.better}, so its limit is {expected_key} "
            f"(given: {rule.limit_key})"
        )
    return Requirement(rule.limit, is_higher_better)
