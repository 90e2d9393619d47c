"""What is shown of each rule: that it passes, that it fails, or neither.

A rule holds where the one-sided bound at the level lies on the good side of its limit; over "each" cell, where that is
so in every one. All cells must be on the good side for the rule to be true, so each is tested at the level itself: the
intersection-union test (Berger 1982, Technometrics 24, 295-300). A rule that is not true is said to hold with a chance
of 1 minus the level at most, however many cells it has.

A rule fails where the other bound lies on the bad side, in any cell. Here any one of many may be wrong, so the
level is corrected (Bonferroni) for all decisions of the gate: each cell of the rules over "each", and one for each rule
over the "mean". A gate whose rules are all true stops with a chance of 1 minus the level at most, however many it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from failmodes.analysis.gate.planned_rules import PlannedRule, Requirement
from failmodes.analysis.gate.rule_cells import MissingCell
from failmodes.analysis.statistics.measured_pair import MeasuredPair
from failmodes.analysis.statistics.measured_value import MeasuredValue
from failmodes.analysis.statistics.run_rows import CellKey
from failmodes.analysis.statistics.sufficiency import FEWEST_IMAGES

Verdict = Literal["pass", "fail", "inconclusive", "missing"]
NOT_STORED = "not on record"
VERDICTS: tuple[Verdict, ...] = (
    "fail",
    "missing",
    "inconclusive",
    "pass",
)  # the first that a cell has is the rule's


@dataclass(frozen=True)
class Decision:
    """What is shown of one cell, or of the mean over several.

    Attributes:
        verdict: what is shown.
        cells: which they are; the missing one where one is missing.
        value: the metric, or candidate minus baseline; None where it is missing.
        passing_bound: it is shown to be no worse than this, at the level.
        stopping_bound: it is shown to be no better than this, at the level corrected for all decisions of the gate.
        image_count: images of a cell; 0 where it is missing.
        images_needed: images that would decide it with a chance of 80 % if the truth is as measured; None where it is
            decided or missing, or where no number would do.
        reason: why it is missing, or inconclusive whatever the bounds are; else empty.
        is_over_runs: whether bounds are over training runs too, which more images do not mend.
    """

    verdict: Verdict
    cells: tuple[CellKey | MissingCell, ...]
    value: float | None = None
    passing_bound: float | None = None
    stopping_bound: float | None = None
    image_count: int = 0
    images_needed: int | None = None
    reason: str = ""
    is_over_runs: bool = False


@dataclass(frozen=True)
class JudgedRule:
    """A rule with what is shown of it.

    Attributes:
        plan: the rule with what its names stand for.
        decisions: one for the mean, or one a cell.
    """

    plan: PlannedRule
    decisions: tuple[Decision, ...]

    @property
    def verdict(self) -> Verdict:
        """Fail where any decision fails; else missing, else inconclusive, where any is; else pass."""
        found = {decision.verdict for decision in self.decisions}
        return next(verdict for verdict in VERDICTS if verdict in found)

    @property
    def deciding(self) -> list[Decision]:
        """The decisions with the rule's verdict, those farthest beyond the limit, or nearest to it, first."""
        of_verdict = [decision for decision in self.decisions if decision.verdict == self.verdict]
        return sorted(of_verdict, key=self._spare)

    @property
    def images_needed(self) -> int | None:
        """Images that would decide every inconclusive cell; None where none is, or where no number would do."""
        needed = [decision.images_needed for decision in self.decisions if decision.verdict == "inconclusive"]
        known = [count for count in needed if count is not None]
        return max(known) if known and len(known) == len(needed) else None

    def _spare(self, decision: Decision) -> float:
        bound = decision.passing_bound
        return 0.0 if bound is None else self.plan.requirement.spare(bound)


def judge_rules(plans: Sequence[PlannedRule], models: MeasuredPair, level: float) -> tuple[JudgedRule, ...]:
    """What is shown of each rule.

    Args:
        plans: the rules.
        models: what they are about.
        level: of every statement, above 0.5 and below 1.
    """
    comparisons = sum(plan.decision_count for plan in plans)
    return tuple(JudgedRule(plan, tuple(_decisions(plan, models, level, comparisons))) for plan in plans)


def _decisions(plan: PlannedRule, models: MeasuredPair, level: float, comparisons: int) -> list[Decision]:
    present, missing = plan.cells
    measured = models.difference if plan.rule.is_relative else models.absolute
    if plan.rule.over == "mean":
        if missing:
            return [Decision("missing", missing, reason=NOT_STORED)]
        groups = [present]
    else:
        groups = [(cell,) for cell in present]
    found = []
    for cells in groups:
        value = measured(plan.metric.name, cells, plan.score)
        if isinstance(value, MeasuredValue):
            found.append(decide(value, plan.requirement, level, comparisons, cells))
        else:
            found.append(Decision("missing", cells, reason=value.reason))
    return found + [Decision("missing", (cell,), reason=NOT_STORED) for cell in missing]


def decide(
    measured: MeasuredValue,
    requirement: Requirement,
    level: float,
    comparisons: int,
    cells: tuple[CellKey, ...] = (),
) -> Decision:
    """What is shown of one value.

    Args:
        measured: the value with its error.
        requirement: what it is held against.
        level: of the statement.
        comparisons: decisions of the gate, any of which may stop it.
        cells: which it is of.
    """
    if requirement.is_least:
        passing, stopping = measured.low(level), measured.high(level, comparisons=comparisons)
    else:
        passing, stopping = measured.high(level), measured.low(level, comparisons=comparisons)
    few = measured.image_count < FEWEST_IMAGES
    if not few and requirement.spare(passing) >= 0:
        return Decision("pass", cells, measured.value, passing, stopping, measured.image_count)
    if not few and requirement.spare(stopping) < 0:
        return Decision("fail", cells, measured.value, passing, stopping, measured.image_count)
    is_good = requirement.spare(measured.value) > 0
    needed = measured.images_needed(requirement.limit, level if is_good else 1 - (1 - level) / comparisons)
    if few:
        needed = max(FEWEST_IMAGES, needed or 0)
    reason = f"it takes {FEWEST_IMAGES} images" if few else ""
    over_runs = measured.error.freedom < inf
    return Decision(
        "inconclusive", cells, measured.value, passing, stopping, measured.image_count, needed, reason, over_runs
    )
