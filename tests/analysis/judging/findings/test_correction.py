"""Verdicts corrected for all statements of a selection: by hand, and once for all."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from failmodes.analysis.judging.findings.correction import FALSE_DISCOVERY_RATE, NOT_SHOWN, corrected, uncorrected
from failmodes.analysis.judging.findings.kind import KINDS, Finding, all_kinds
from failmodes.analysis.statistics.estimate import Word
from failmodes.analysis.statistics.shares import BETTER_MODEL_ERROR, LARGEST_DROP_ERROR

OTHER_KINDS = ("overconfidence", "calibration_error", "class_failure", "confidence_below_chance")


@pytest.fixture(autouse=True)
def _kinds() -> None:
    all_kinds()


def finding(
    kind: str,
    p_value: float | None = None,
    verdict: Word = "supported",
    evaluation: str = "a",
    other: str | None = None,
) -> Finding:
    return Finding(
        kind, kind, verdict, evaluation, evaluation, None, 0.1, 0.05, 0.15, "accuracy", 500, f"The sentence of {kind}.",
        "from findings", other, None, p_value, verdict,
    )  # fmt: skip


def shown(findings: Sequence[Finding]) -> list[bool]:
    return [one.verdict == "supported" for one in corrected(findings)]


@pytest.mark.parametrize(("kind", "rate"), [("better_model", BETTER_MODEL_ERROR), ("largest_drop", LARGEST_DROP_ERROR)])
def test_what_comes_first_is_corrected_by_holm_among_its_kind_alone(kind: str, rate: float) -> None:
    """Of four the smallest p value has to be at most a quarter of the rate, the next a third …"""
    p_values = [0.49 * rate, 0.24 * rate, 0.34 * rate, 0.9 * rate]  # the second smallest is .34 > 1/3: there it ends
    among_others = [finding(name, 1e-9) for name in OTHER_KINDS]
    assert shown([*(finding(kind, p_value) for p_value in p_values), *among_others])[:4] == [False, True, False, False]
    p_values[2] = 0.33 * rate
    assert shown([finding(kind, p_value) for p_value in p_values]) == [True] * 4
    assert shown([finding(kind, 1.01 * rate)]) == [False]
    assert shown([finding(kind, 0.99 * rate)]) == [True]


def test_all_others_are_discoveries() -> None:
    """Benjamini and Hochberg's step-up procedure by hand: all up to the last that lies below its part of the rate."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        p_values = rng.random(rng.integers(1, 40)) ** 4 * 0.05
        findings = [finding(OTHER_KINDS[place % 4], float(p)) for place, p in enumerate(p_values)]
        ordered = np.sort(p_values)
        below = ordered[ordered <= FALSE_DISCOVERY_RATE * np.arange(1, len(ordered) + 1) / len(ordered)]
        expected = p_values <= max(below, default=-1)
        assert shown([finding("better_model", 0.5), *findings])[1:] == expected.tolist()


def test_inconclusive_statements_count_among_those_that_were_tested() -> None:
    """A small p value beside many large ones is not enough."""
    one = finding("overconfidence", 0.002)
    others = [finding("overconfidence", 0.4, "inconclusive")] * 9
    assert shown([one]) == [True]
    assert shown([one, *others])[0] is False
    assert shown([finding("overconfidence", 0.0002), *others])[0] is True


def test_shapes_have_a_correction_of_their_own() -> None:
    shapes = [finding("shape", p_value) for p_value in (0.5, 0.004)]
    assert corrected([*shapes, finding("overconfidence", 0.002)])[:2] == shapes
    assert shown([*shapes, finding("overconfidence", 0.002)]) == [True] * 3


def test_what_is_not_shown_is_inconclusive_and_says_why() -> None:
    (one,) = corrected([finding("largest_drop", 0.04)])
    assert (one.verdict, one.verdict_alone) == ("inconclusive", "supported")
    assert one.sentence == f"{NOT_SHOWN}The sentence of largest_drop."
    assert uncorrected(one) == finding("largest_drop", 0.04)


@pytest.fixture
def condition(monkeypatch: pytest.MonkeyPatch) -> str:
    """A kind that invalidates what is said of overconfidence and of the better model."""
    made = replace(KINDS["prediction_collapse"], name="at_chance", claims="it is at chance", order=1,
                   suppresses=("overconfidence", "better_model"))  # fmt: skip
    monkeypatch.setitem(KINDS, "at_chance", made)
    return "at_chance"


def test_what_a_condition_invalidates_is_not_measurable_and_counts_nothing(condition: str) -> None:
    findings = [
        finding(condition, None, evaluation="a"),
        finding("overconfidence", 0.5, "inconclusive", "a"),
        finding("overconfidence", 0.002, "supported", "b"),
        finding("better_model", 1e-9, "supported", "b", other="a"),
        finding("better_model", 0.015, "supported", "b", other="c"),
        finding("largest_drop", 1e-9, "supported", "a"),
    ]
    found = corrected(findings)
    assert [one.verdict for one in found] == [
        "supported", "not_measurable", "supported", "not_measurable", "supported", "supported",
    ]  # fmt: skip
    assert found[1].sentence == "Not judged because it is at chance: The sentence of overconfidence."
    assert [uncorrected(one) for one in found] == findings
    without = [finding(condition, None, "contradicted"), *findings[1:]]
    assert [one.verdict for one in corrected(without)] == [
        "contradicted", "inconclusive", "inconclusive", "supported", "supported", "supported",
    ]  # fmt: skip
