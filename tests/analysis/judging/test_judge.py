"""What is shown of statements about a metric, from values whose errors are given."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import pytest

from failmodes.analysis.judging.cells import CLEAN_CELL, EvaluatedCells
from failmodes.analysis.judging.gate import judge_rules
from failmodes.analysis.judging.judge import Decision, Verdict, decide, judge, question_of
from failmodes.analysis.judging.statement import Requirement
from failmodes.analysis.statistics.difference import MeanError, Measured, Term
from failmodes.analysis.statistics.run_rows import CellKey
from failmodes.ingest.statements import GateSpec, as_statement
from failmodes.runtime.errors import StudyError
from failmodes.warehouse.metrics.metric import all_metrics

CORRUPTED: list[CellKey] = [("snow", 1.0), ("fog", 1.0), ("fog", 2.0)]  # in the order of publication
CELLS = [CLEAN_CELL, *CORRUPTED]
FLAT = dict.fromkeys(CELLS, 0.9)
Z = NormalDist().inv_cdf


def value_of(value: float, error: float = 0.01, images: int = 1000) -> Measured:
    return Measured(value, value, value, MeanError(error**2), images)


class Given:
    """Models whose metric is given by cell: a weighted sum of it has the error of a single value."""

    def __init__(
        self,
        candidate: dict[CellKey, float],
        baseline: dict[CellKey, float] | None = None,
        undefined: Sequence[CellKey] = (),
    ) -> None:
        self.values = candidate
        self.others = baseline or {}
        self.undefined = undefined
        self.metrics = all_metrics()
        self.candidate = Cells(candidate)
        self.baseline = Cells(baseline) if baseline else None

    def measure(self, name: str, terms: Sequence[Term], score: str | None = None) -> Measured | str:
        for term in terms:
            if term.cell in self.undefined:
                return f"{term.cell[0]}: no failure"
        return value_of(sum(t.weight * (self.others if t.of_baseline else self.values)[t.cell] for t in terms))


class Cells:
    def __init__(self, cells: Any) -> None:
        self.cells = list(cells)


def judged(rules: list[dict[str, Any]], models: Given, level: float = 0.95) -> list[Verdict]:
    gate = GateSpec(baseline="B", level=level, rules=rules)
    return list(judge_rules(gate, models, None, "rules"))  # type: ignore[arg-type]


def decided(keys: dict[str, Any], values: dict[CellKey, float], extras: Sequence[str] = ()) -> Verdict:
    """A statement alone, of a candidate of these values and a baseline of .9 in every cell."""
    models = Given(values, dict.fromkeys(values, 0.9))
    record = EvaluatedCells(values, values, extras)
    question = question_of(as_statement(keys), record, models, "claims")  # type: ignore[arg-type]
    return judge([question])[0]


@pytest.mark.parametrize(
    ("requirement", "value", "comparisons", "verdict"),
    [
        (Requirement(0.7, True), 0.7 + 0.0165, 1, "supported"),  # the quantile of 95 % is 1.645
        (Requirement(0.7, True), 0.7 + 0.0164, 1, "inconclusive"),
        (Requirement(0.7, True), 0.7 - 0.0164, 1, "inconclusive"),
        (Requirement(0.7, True), 0.7 - 0.0165, 1, "contradicted"),
        (Requirement(0.7, True), 0.7 + 0.0165, 100, "supported"),  # support needs no correction
        (Requirement(0.7, True), 0.7 - 0.0165, 2, "inconclusive"),  # contradiction does: 1.960 of two
        (Requirement(0.7, True), 0.7 - 0.0197, 2, "contradicted"),
        (Requirement(0.05, False), 0.05 - 0.0165, 1, "supported"),
        (Requirement(0.05, False), 0.05 + 0.0165, 1, "contradicted"),
        (Requirement(0.05, False), 0.05 + 0.0165, 2, "inconclusive"),
    ],
)
def test_a_verdict_is_where_the_bounds_lie(requirement, value: float, comparisons: int, verdict: str) -> None:
    assert decide(value_of(value), requirement, comparisons=comparisons).verdict == verdict


@pytest.mark.parametrize("is_least", [True, False])
def test_bounds_are_those_that_it_is_judged_by(is_least: bool) -> None:
    sign = -1 if is_least else 1
    for how, supporting, opposing in (
        ({}, Z(0.9), Z(1 - 0.1 / 5)),
        ({"is_two_sided": True}, Z(0.95), Z(1 - 0.1 / 2 / 5)),
        ({"is_two_sided": True, "corrects_both": True}, Z(1 - 0.1 / 2 / 5), Z(1 - 0.1 / 2 / 5)),
    ):
        ends = (0.7 + sign * 0.01 * supporting, 0.7 - sign * 0.01 * opposing)
        estimate = decide(value_of(0.7), Requirement(0.7, is_least), 0.9, 5, **how).estimate
        assert estimate[:3] == pytest.approx((0.7, *sorted(ends)))
        assert (estimate.level, estimate.n, estimate.seeds) == (0.9, 1000, None)


@pytest.mark.parametrize(("p", "verdict"), [(0.049, "supported"), (0.051, "inconclusive")])
def test_a_test_decides_in_place_of_the_bounds(p: float, verdict: str) -> None:
    for sign, word in ((1, verdict), (-1, verdict.replace("supported", "contradicted"))):
        found = decide(value_of(sign * 0.001), Requirement(0.0, True, is_strict=True), adjusted_p=p)
        assert (found.verdict, found.estimate.p_value) == (word, p)


def test_on_a_strict_limit_itself_a_statement_does_not_hold() -> None:
    exact = value_of(0.5, 0.0)
    for is_least in (True, False):
        assert decide(exact, Requirement(0.5, is_least)).verdict == "supported"
        assert decide(exact, Requirement(0.5, is_least, is_strict=True)).verdict == "contradicted"


def test_of_fewer_than_30_images_nothing_is_said() -> None:
    for value in (0.99, 0.01, 0.5):
        few = decide(value_of(value, images=29), Requirement(0.5, True))
        assert (few.verdict, few.images_needed, few.reason) == (
            "inconclusive",
            30,
            "29 images are too few: at least 30 are needed",
        )
    assert decide(value_of(0.99, images=30), Requirement(0.5, True)).verdict == "supported"


def test_images_needed_are_those_that_would_decide() -> None:
    for value, quantile in ((0.71, Z(0.95)), (0.69, Z(1 - 0.05 / 20))):
        needed = decide(value_of(value), Requirement(0.7, True), comparisons=20).images_needed
        assert needed == pytest.approx(1000 * (quantile + Z(0.8)) ** 2, rel=1e-3)
    assert decide(value_of(0.7), Requirement(0.7, True), comparisons=20).images_needed is None


FOG: dict[str, Any] = {"corruptions": ["fog"]}
GRID = {CLEAN_CELL: 0.9} | {(name, level): 0.8 for name in ("fog", "snow") for level in (0.5, 1.0, 2.5, 3.0)}


def values_of(**given: float) -> dict[CellKey, float]:
    """GRID with other values: fog, snow or none for all severities, fog3 for one."""
    names = {"clean": "none"}
    return {
        (name, severity): given.get(f"{names.get(name, name)}{severity:g}", given.get(name, value))
        for (name, severity), value in GRID.items()
    }


# Keys, values of the candidate, the value by hand, and the verdict at .01 of error
BY_HAND: list[tuple[dict[str, Any], dict[CellKey, float], float, str]] = [
    # the metric itself; severities that are not given are the whole ones, here 1 and 3
    ({"metric": "accuracy", "relation": "at_least", "limit": 0.7, **FOG}, values_of(fog1=0.7, fog3=0.8, fog=0), 0.75,
     "supported"),
    ({"metric": "accuracy", "relation": "at_most", "limit": 0.7}, values_of(fog=0.6, snow=0.7), 0.65, "supported"),
    ({"metric": "ece", "relation": "at_least", "limit": 0.3, "corruptions": ["none"]}, values_of(none=0.2), 0.2,
     "contradicted"),
    ({"metric": "accuracy", "relation": "more_than", "limit": 0.75, "severities": [0.5, 3], **FOG},
     values_of(fog3=0.7, **{"fog0.5": 0.8}), 0.75, "inconclusive"),
    ({"metric": "accuracy", "relation": "less_than", "limit": 0.9, "severities": "last", **FOG},
     values_of(fog3=0.7), 0.7, "supported"),
    # beside that of other cells
    ({"metric": "accuracy", "relation": "less_than", "other": {"corruptions": ["snow"]}, **FOG},
     values_of(fog=0.6, snow=0.7), -0.1, "supported"),
    ({"metric": "accuracy", "relation": "more_than", "other": {"corruptions": ["snow"]}, **FOG},
     values_of(fog=0.6, snow=0.7), -0.1, "contradicted"),
    ({"metric": "accuracy", "relation": "more_than", "limit": 0.09, "other": {"severities": "last"},
      "severities": [1], **FOG}, values_of(fog1=0.9, fog3=0.8), 0.1, "inconclusive"),
    ({"metric": "accuracy", "relation": "more_than", "limit": 0.05, "other": {"corruptions": ["fog", "snow"]},
      "corruptions": ["none"]}, values_of(none=0.9, fog=0.8, snow=0.6), 0.2, "supported"),
    # how much it worsens from clean: accuracy falls, calibration error rises
    ({"metric": "accuracy", "relation": "drop_at_most", "limit": 0.1, "severities": [3], **FOG}, values_of(fog3=0.85),
     0.05, "supported"),
    ({"metric": "accuracy", "relation": "drop_at_least", "limit": 0.1, **FOG}, values_of(fog=0.85), 0.05,
     "contradicted"),
    ({"metric": "ece", "relation": "drop_at_most", "limit": 0.05, **FOG}, values_of(none=0.1, fog=0.2), 0.1,
     "contradicted"),
    ({"metric": "ece", "relation": "drop_at_least", "limit": 0.05, **FOG}, values_of(none=0.1, fog=0.2), 0.1,
     "supported"),
    ({"metric": "ece", "relation": "drop_at_most", "limit": 0.05, **FOG}, values_of(none=0.3, fog=0.2), -0.1,
     "supported"),
    # a candidate beside a baseline of .9
    ({"metric": "accuracy", "relation": "worse_by_at_most", "limit": 0.05, **FOG}, values_of(fog=0.88), -0.02,
     "supported"),
    ({"metric": "accuracy", "relation": "worse_by_at_most", **FOG}, values_of(fog=0.88), -0.02, "contradicted"),
    ({"metric": "ece", "relation": "worse_by_at_most", "limit": 0.05, **FOG}, values_of(fog=0.97), 0.07,
     "contradicted"),
    ({"metric": "ece", "relation": "worse_by_at_most", **FOG}, values_of(fog=0.87), -0.03, "supported"),
    ({"metric": "accuracy", "relation": "better_by_at_least", **FOG}, values_of(fog=0.92), 0.02, "supported"),
    ({"metric": "accuracy", "relation": "better_by_at_least", "limit": 0.05, **FOG}, values_of(fog=0.92), 0.02,
     "contradicted"),
    ({"metric": "ece", "relation": "better_by_at_least", "limit": 0.05, **FOG}, values_of(fog=0.8), -0.1,
     "supported"),
    ({"metric": "accuracy", "relation": "better_by_at_most", "limit": 0.05, **FOG}, values_of(fog=0.92), 0.02,
     "supported"),
    ({"metric": "ece", "relation": "better_by_at_most", "limit": 0.05, **FOG}, values_of(fog=0.8), -0.1,
     "contradicted"),
    ({"metric": "ece", "relation": "better_by_at_least", "limit": 0.05, **FOG}, values_of(fog=0.88), -0.02,
     "contradicted"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "values", "value", "verdict"), BY_HAND)
def test_every_relation_by_hand(keys: dict[str, Any], values: dict[CellKey, float], value: float, verdict: str) -> None:
    (found,) = decided(keys, values).decisions
    assert found.estimate.value == pytest.approx(value)
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("values", "leads", "verdict"),
    [
        ({"fog": 0.5, "snow": 0.7}, [0.4, 0.2], "supported"),
        ({"fog": 0.7, "snow": 0.5}, [0.2, -0.2], "contradicted"),
        ({"fog": 0.7, "snow": 0.7}, [0.2, 0.0], "inconclusive"),  # a tie
        ({"fog": 0.95, "snow": 0.99}, [-0.05, 0.04], "contradicted"),  # nothing is lost
        ({"fog1": 0.3, "fog3": 0.7, "snow1": 0.7, "snow3": 0.5}, [0.4, 0.1], "supported"),
    ],
)
def test_the_largest_drop_is_larger_than_every_other(values: Any, leads: list[float], verdict: str) -> None:
    found = decided({"metric": "accuracy", "relation": "largest_drop", **FOG}, values_of(**values))
    assert [one.estimate and one.estimate.value for one in found.decisions] == pytest.approx(leads)
    assert found.verdict == verdict


def test_extras_are_no_part_of_a_mean_and_are_of_each() -> None:
    keys = {"metric": "accuracy", "relation": "at_least", "limit": 0.7}
    (mean,) = decided(keys, values_of(snow=0.1), ("snow",)).decisions
    assert mean.estimate.value == pytest.approx(0.8)
    each = decided(keys | {"over": "each"}, values_of(snow=0.1), ("snow",))
    assert {cell[0] for one in each.decisions for cell in one.cells} == {"fog", "snow"}
    assert each.verdict == "contradicted"


def test_each_cell_is_compared_with_that_of_its_severity() -> None:
    keys = {"metric": "accuracy", "relation": "less_than", "over": "each", **FOG}
    values = values_of(fog1=0.7, fog3=0.5, snow1=0.8, snow3=0.6)
    found = decided(keys | {"other": {"corruptions": ["snow"]}}, values)
    assert [one.estimate and one.estimate.value for one in found.decisions] == pytest.approx([-0.1, -0.1])
    less = {cell: value for cell, value in values.items() if cell != ("snow", 3.0)}
    assert [one.cells for one in decided(keys | {"other": {"corruptions": ["snow"]}}, less).decisions] == [
        (("fog", 1.0),)
    ]


def test_each_cell_must_hold_and_all_that_may_stop_are_one_family() -> None:
    """A cell that is 2.2 errors beyond its limit breaks a gate of three decisions and not one of four."""
    values = FLAT | {("snow", 1.0): 0.7 - 0.022}
    rule = {"metric": "accuracy", "over": "each", "relation": "at_least", "limit": 0.7}
    (each,) = judged([rule], Given(values))
    assert [one.verdict for one in each.decisions] == ["contradicted", "supported", "supported"]
    assert [one.cells for one in each.decisions] == [(cell,) for cell in CORRUPTED]
    assert (each.verdict, each.deciding[0].cells) == ("contradicted", (("snow", 1.0),))
    beside = judged([rule, {"metric": "accuracy", "relation": "at_least", "limit": 0.1}], Given(values))
    assert [one.verdict for one in beside] == ["inconclusive", "supported"]
    assert judged([rule], Given(dict.fromkeys(CELLS, 0.7165)))[0].verdict == "supported"  # support is not corrected


def test_what_is_missing_is_no_pass_and_a_cell_that_breaks_beats_it() -> None:
    rule = {"metric": "accuracy", "over": "each", "corruptions": ["fog", "frost"], "relation": "at_least", "limit": 0.7}
    (lacking,) = judged([rule], Given(FLAT))
    assert lacking.verdict == "not_measurable"
    assert [one.verdict for one in lacking.decisions] == ["supported", "supported", "not_measurable"]
    low = Given(dict.fromkeys(CELLS, 0.2))
    assert judged([rule], low)[0].verdict == "contradicted"
    assert judged([rule | {"over": "mean"}], low)[0].verdict == "not_measurable"  # the mean of the rest is another one


def test_a_metric_that_is_not_defined_is_not_measurable() -> None:
    models = Given(FLAT, undefined=[("fog", 2.0)])
    rules = [{"metric": "auroc", "over": over, "relation": "at_least", "limit": 0.5} for over in ("each", "mean")]
    each, mean = judged(rules, models)
    assert each.verdict == mean.verdict == "not_measurable"
    assert each.deciding == [Decision("not_measurable", (("fog", 2.0),), reason="fog: no failure")]


def test_the_worst_inconclusive_cell_says_how_many_images() -> None:
    values = {CLEAN_CELL: 0.9, ("fog", 1.0): 0.72, ("fog", 2.0): 0.71, ("snow", 1.0): 0.705}
    rule = {"metric": "accuracy", "over": "each", "relation": "at_least", "limit": 0.7}
    (each,) = judged([rule], Given(values))
    assert [one.verdict for one in each.decisions] == ["inconclusive", "supported", "inconclusive"]
    assert each.images_needed == each.decisions[0].images_needed
    assert each.deciding[0].cells == (("snow", 1.0),)  # nearest to the limit
    (on_it,) = judged([rule], Given(values | {("fog", 2.0): 0.7}))
    assert on_it.images_needed is None


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ({"metric": "acuracy", "relation": "at_least"}, "gate.rules.0.metric: unknown metric 'acuracy': did you mean"),
        ({"metric": "augrc", "score": "margins", "relation": "at_most"}, "unknown score 'margins': did you mean"),
        ({"metric": "ece", "score": "margin", "relation": "at_most"}, "ece takes no score: remove it"),
        ({"metric": "ece", "relation": "at_least"}, "ece is better if lower: use relation at_most (given: at_least)"),
        ({"metric": "accuracy", "relation": "at_most"}, "better if higher: use relation at_least (given: at_most)"),
        ({"metric": "aupr", "relation": "at_least"}, "gate.rules.0.metric: aupr cannot be judged: a sample's value is"),
        ({"metric": "even_temperature", "relation": "at_most"}, "even_temperature cannot be judged: the error of"),
        ({"metric": "ece", "relation": "worse_by_at_most"}, "worse_by_at_most requires a baseline: name one"),
    ],
)  # fmt: skip
def test_rules_that_name_what_there_is_not(rule: dict[str, Any], line: str) -> None:
    with pytest.raises(StudyError) as raised:
        judged([rule | {"limit": 0.5}], Given(FLAT))
    assert line in str(raised.value)
