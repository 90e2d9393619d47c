"""What is shown of rules, from values whose errors are given."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import pytest

from failmodes.analysis.gate.judging import Decision, JudgedRule, decide, judge_rules
from failmodes.analysis.gate.planned_rules import Requirement, plan_rules
from failmodes.analysis.statistics.difference import MeanError
from failmodes.analysis.statistics.measured_value import MeasuredValue, Undefined
from failmodes.analysis.statistics.run_rows import CellKey
from failmodes.analysis.statistics.training_seeds import MeanError
from failmodes.ingest.statements import GateSpec
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.metrics.registry import all_metrics

CORRUPTED: list[CellKey] = [("snow", 1.0), ("fog", 1.0), ("fog", 2.0)]  # in the order of publication
CELLS = [("none", 0.0), *CORRUPTED]
Z = NormalDist().inv_cdf


def value_of(value: float, error: float = 0.01, images: int = 1000) -> MeasuredValue:
    return MeasuredValue(value, value, value, MeanError(error**2), images)


class Given:
    """Models whose values are given by cell; a mean is the mean of values, with the error of one."""

    def __init__(self, values: dict[CellKey, float], undefined: Sequence[CellKey] = (), images: int = 1000) -> None:
        self.values, self.undefined, self.images = values, undefined, images

    def absolute(self, metric: str, cells: Sequence[CellKey], score: str | None) -> MeasuredValue | Undefined:
        for cell in cells:
            if cell in self.undefined:
                return Undefined(f"{cell[0]}: no failure")
        return value_of(sum(self.values[cell] for cell in cells) / len(cells), images=self.images)

    difference = absolute


def judged(rules: list[dict[str, Any]], models: Given, level: float = 0.95) -> list[JudgedRule]:
    gate = GateSpec(baseline="B", level=level, rules=rules)
    plans = plan_rules(gate, set(models.values), set(models.values), "rules", all_metrics())
    return list(judge_rules(plans, models, level))


@pytest.mark.parametrize(
    ("requirement", "value", "comparisons", "verdict"),
    [
        (Requirement(0.7, True), 0.7 + 0.0165, 1, "pass"),  # the quantile of 95 % is 1.645
        (Requirement(0.7, True), 0.7 + 0.0164, 1, "inconclusive"),
        (Requirement(0.7, True), 0.7 - 0.0164, 1, "inconclusive"),
        (Requirement(0.7, True), 0.7 - 0.0165, 1, "fail"),
        (Requirement(0.7, True), 0.7 + 0.0165, 100, "pass"),  # passing needs no correction
        (Requirement(0.7, True), 0.7 - 0.0165, 2, "inconclusive"),  # stopping does: 1.960 of two
        (Requirement(0.7, True), 0.7 - 0.0197, 2, "fail"),
        (Requirement(0.05, False), 0.05 - 0.0165, 1, "pass"),
        (Requirement(0.05, False), 0.05 + 0.0165, 1, "fail"),
        (Requirement(0.05, False), 0.05 + 0.0165, 2, "inconclusive"),
    ],
)
def test_a_verdict_is_where_the_bounds_lie(requirement, value: float, comparisons: int, verdict: str) -> None:
    assert decide(value_of(value), requirement, 0.95, comparisons).verdict == verdict


def test_bounds_are_those_that_it_is_judged_by() -> None:
    least = decide(value_of(0.7), Requirement(0.7, True), 0.9, 5)
    assert least.passing_bound == pytest.approx(0.7 - 0.01 * Z(0.9))
    assert least.stopping_bound == pytest.approx(0.7 + 0.01 * Z(1 - 0.1 / 5))
    most = decide(value_of(0.7), Requirement(0.7, False), 0.9, 5)
    assert most.passing_bound == pytest.approx(0.7 + 0.01 * Z(0.9))
    assert most.stopping_bound == pytest.approx(0.7 - 0.01 * Z(1 - 0.1 / 5))


def test_of_fewer_than_30_images_nothing_is_said() -> None:
    for value in (0.99, 0.01):
        few = decide(value_of(value, images=29), Requirement(0.5, True), 0.95, 1)
        assert (few.verdict, few.images_needed, few.reason) == ("inconclusive", 30, "it takes 30 images")
        assert decide(value_of(value, images=30), Requirement(0.5, True), 0.95, 1).verdict != "inconclusive"
    assert decide(value_of(0.5, images=29), Requirement(0.5, True), 0.95, 1).images_needed == 30


def test_images_needed_are_those_that_would_decide() -> None:
    good = decide(value_of(0.71, 0.01, 1000), Requirement(0.7, True), 0.95, 20)
    assert good.images_needed == pytest.approx(1000 * (Z(0.95) + Z(0.8)) ** 2, rel=1e-3)
    bad = decide(value_of(0.69, 0.01, 1000), Requirement(0.7, True), 0.95, 20)
    assert bad.images_needed == pytest.approx(1000 * (Z(1 - 0.05 / 20) + Z(0.8)) ** 2, rel=1e-3)
    assert decide(value_of(0.7), Requirement(0.7, True), 0.95, 20).images_needed is None


def test_difference_rules_look_towards_the_bad_side() -> None:
    models = Given(dict.fromkeys(CELLS, -0.03))
    (accuracy,) = judged([{"metric": "accuracy", "worse_by_at_most": 0.01}], models)
    (ece,) = judged([{"metric": "ece", "worse_by_at_most": 0.01}], models)
    assert (accuracy.plan.requirement, accuracy.verdict) == (Requirement(-0.01, True), "fail")
    assert (ece.plan.requirement, ece.verdict) == (Requirement(0.01, False), "pass")


def test_each_cell_must_hold_and_all_that_may_stop_are_one_family() -> None:
    """A cell that is 2.2 errors beyond its limit breaks a gate of three decisions and not one of four."""
    values = {("none", 0.0): 0.9, ("fog", 1.0): 0.9, ("fog", 2.0): 0.9, ("snow", 1.0): 0.7 - 0.022}
    rule = {"metric": "accuracy", "over": "each", "at_least": 0.7}
    (each,) = judged([rule], Given(values))
    assert [decision.verdict for decision in each.decisions] == ["fail", "pass", "pass"]
    assert [decision.cells for decision in each.decisions] == [(cell,) for cell in CORRUPTED]
    assert each.verdict == "fail"
    assert each.deciding[0].cells == (("snow", 1.0),)
    beside = judged([rule, {"metric": "accuracy", "at_least": 0.1}], Given(values))
    assert [one.verdict for one in beside] == ["inconclusive", "pass"]
    wide = Given({cell: 0.7 + 0.0165 for cell in CELLS})
    assert judged([rule], wide)[0].verdict == "pass"  # passing is not corrected


def test_the_mean_is_one_decision() -> None:
    values = {("none", 0.0): 0.0, ("fog", 1.0): 0.9, ("fog", 2.0): 0.7, ("snow", 1.0): 0.5}
    (mean,) = judged([{"metric": "accuracy", "at_least": 0.6}], Given(values))
    assert (mean.verdict, len(mean.decisions)) == ("pass", 1)
    assert mean.decisions[0].value == pytest.approx(0.7)
    assert mean.decisions[0].cells == tuple(CORRUPTED)


def test_what_is_missing_is_no_pass_and_a_failing_cell_beats_it() -> None:
    rule = {"metric": "accuracy", "over": "each", "corruptions": ["fog", "frost"], "at_least": 0.7}
    (lacking,) = judged([rule], Given(dict.fromkeys(CELLS, 0.9)))
    assert lacking.verdict == "missing"
    assert [decision.verdict for decision in lacking.decisions] == ["pass", "pass", "missing"]
    (broken,) = judged([rule], Given(dict.fromkeys(CELLS, 0.2)))
    assert broken.verdict == "fail"
    (mean,) = judged([rule | {"over": "mean"}], Given(dict.fromkeys(CELLS, 0.2)))
    assert mean.verdict == "missing"  # the mean of the rest is another mean


def test_a_metric_that_is_not_defined_is_missing() -> None:
    models = Given(dict.fromkeys(CELLS, 0.9), undefined=[("fog", 2.0)])
    each, mean = judged([{"metric": "auroc", "over": over, "at_least": 0.5} for over in ("each", "mean")], models)
    assert each.verdict == mean.verdict == "missing"
    assert each.deciding == [Decision("missing", (("fog", 2.0),), reason="fog: no failure")]


def test_the_worst_inconclusive_cell_says_how_many_images() -> None:
    values = {("none", 0.0): 0.9, ("fog", 1.0): 0.72, ("fog", 2.0): 0.71, ("snow", 1.0): 0.705}
    rule = {"metric": "accuracy", "over": "each", "at_least": 0.7}
    (each,) = judged([rule], Given(values))
    assert [decision.verdict for decision in each.decisions] == ["inconclusive", "pass", "inconclusive"]
    assert each.images_needed == each.decisions[0].images_needed
    assert each.deciding[0].cells == (("snow", 1.0),)  # nearest to the limit
    (on_it,) = judged([rule], Given(values | {("fog", 2.0): 0.7}))
    assert on_it.images_needed is None


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ({"metric": "acuracy", "at_least": 1}, "rules: gate.rules.0.metric: unknown metric 'acuracy': did you mean"),
        ({"metric": "x", "at_least": 0.5}, "known are accuracy, error"),
        ({"metric": "augrc", "score": "margins", "at_most": 1}, "unknown score 'margins': did you mean 'margin'?"),
        ({"metric": "ece", "score": "margin", "at_most": 1}, "ece takes no score: leave it out (it goes with auroc"),
        ({"metric": "ece", "at_least": 0}, "ece is better the lower, so its limit is at_most (given: at_least)"),
        ({"metric": "accuracy", "at_most": 1}, "better the higher, so its limit is at_least (given: at_most)"),
    ],
)  # fmt: skip
def test_rules_that_name_what_there_is_not(rule: dict[str, Any], line: str) -> None:
    with pytest.raises(StudyError) as raised:
        judged([rule], Given(dict.fromkeys(CELLS, 0.9)))
    assert line in str(raised.value)


def test_a_comparison_needs_a_baseline() -> None:
    gate = GateSpec(rules=[{"metric": "accuracy", "worse_by_at_most": 0.1}])
    with pytest.raises(StudyError, match="worse_by_at_most compares with a baseline"):
        plan_rules(gate, set(CELLS), None, "rules", all_metrics())


def test_a_score_is_confidence_if_not_given() -> None:
    (rule,) = judged([{"metric": "augrc", "at_most": 1}], Given(dict.fromkeys(CELLS, 0.1)))
    assert rule.plan.score == "confidence"
