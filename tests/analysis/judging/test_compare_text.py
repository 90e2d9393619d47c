"""A comparison as sentences, tables, JSON, frames and a test case."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from model_comparisons import compared, difference, few_images, inconclusive, of_different_images, over_seeds
from verdict_json import CompareJson

from failmodes.analysis.judging.compare import Comparison
from failmodes.analysis.judging.compare_text import ComparisonText
from failmodes.analysis.results.comparison import ComparisonResult
from failmodes.analysis.statistics.estimate import Estimate

DOCS = Path(__file__).parents[3] / "docs"
CASES = [compared, few_images, inconclusive, of_different_images, over_seeds]


@pytest.fixture
def result() -> ComparisonResult:
    return ComparisonResult(compared())


def plain(text: str) -> str:
    """With plain spaces and minus signs."""
    return " ".join(text.split()).replace("\u2212", "-")


@pytest.mark.parametrize(
    ("comparison", "facts"),
    [
        (compared(), ("Beta is 2.2 points [1.4, 3.0] less accurate than Alpha", "500 images", "below -1.5 points")),
        (over_seeds(), ("Beta is 0.6 points [0.2, 1.0] more accurate than Alpha", "above +0.2 points")),
        (inconclusive(), ("inconclusive", "-0.1 points [-1.3, 1.1]", "4,300 images", "snow 3 and snow 5")),
        (few_images(), ("-2.2 points [-3.0, -1.4]", "12 images are too few")),
        (of_different_images(), ("500 of Alpha and 400 of Beta", "independent samples")),
    ],
    ids=["decided", "over seeds", "inconclusive", "few images", "other images"],
)
def test_sentences_have_direction_size_and_what_a_reader_must_know(
    comparison: Comparison, facts: tuple[str, ...]
) -> None:
    text = " ".join(map(plain, ComparisonText(comparison).sentences))
    assert [fact for fact in facts if fact not in text] == []
    assert not ("too few" in text and "accurate than" in text)


def test_tables_hold_the_figures(result: ComparisonResult) -> None:
    lines = [plain(line) for line in result.to_text(200).splitlines()]
    for line in (
        "Mean of 3 65.5 63.3 -2.2 [-3.0, -1.4] \u2013",
        "Contrast 65.0 66.5 +1.5 [0.7, 2.3] 2.4 [2, 3]",
        "Gaussian noise -2.0 -4.0* -6.0* -8.0* -10.0*",
        "17 one 8 Fog 2 one seven",
    ):
        assert line in lines


@pytest.mark.parametrize("make", CASES)
def test_json_has_every_part_and_the_rows_of_the_frames(make: Callable[[], Comparison]) -> None:
    comparison = make()
    data = json.loads(ComparisonResult(comparison).to_json())
    CompareJson.model_validate(data)
    assert {"level", "margin", "newly_incorrect", "newly_correct"} <= data.keys()
    result, scopes = ComparisonResult(comparison), {"corruptions": "corruption", "cells": "cell", "classes": "class"}
    for name, scope in scopes.items():
        decided = [(row["a"], row["winner"], row["decisions"][0]) for row in data["verdicts"] if row["scope"] == scope]
        assert [(a, winner, one["value"], one["low"]) for a, winner, one in decided] == [
            (row["a"], row["winner"], row["difference"], row["low"]) for row in getattr(result, name).to_dicts()
        ]
    within, _, overall = (row["decisions"][0] for row in data["verdicts"][:3])
    assert tuple(overall[end] for end in ("value", "low", "high")) == comparison.overall.estimate[:3]
    assert (within["low"], within["high"]) == comparison.bounds


def test_figures_are_rounded_only_for_readers_and_null_where_not_finite() -> None:
    value = 0.0123456789
    verdicts = list(compared().verdicts)
    verdicts[2] = difference("accuracy", "corrupted", math.nan, Estimate(value, -math.inf, 1), "supported")
    data = json.loads(ComparisonResult(replace(compared(), verdicts=tuple(verdicts))).to_json())
    overall = data["verdicts"][2]
    assert overall["decisions"][0]["value"] == value
    assert overall["a"] is overall["decisions"][0]["low"] is None
    assert "1.2 points" in data["sentences"][0]


def test_every_key_of_json_is_documented(result: ComparisonResult) -> None:
    def keys(part: object) -> set[str]:
        if isinstance(part, dict):
            return set(part).union(*map(keys, part.values()))
        return set().union(*map(keys, part)) if isinstance(part, list) else set()

    documented = "".join((DOCS / page).read_text() for page in ("comparing.md", "gate.md", "claims.md"))
    assert not [key for key in keys(json.loads(result.to_json())) if f"`{key}`" not in documented]


@pytest.mark.parametrize(
    ("make", "outcome"), [(compared, "failure"), (inconclusive, "skipped"), (over_seeds, "system-out")]
)
def test_junit_has_the_verdict_on_the_margin(make: Callable[[], Comparison], outcome: str) -> None:
    (case,) = ElementTree.fromstring(ComparisonResult(make()).to_junit())[0]
    assert [child.tag for child in case] == [outcome]
