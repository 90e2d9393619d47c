"""A comparison as sentences, tables, JSON, frames and a test case."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
from model_comparisons import compared, few_images, inconclusive, of_different_images, over_seeds

from failmodes.analysis.comparison_result import ComparisonResult
from failmodes.analysis.judging.compare import Comparison
from failmodes.analysis.judging.compare_text import SUMMARY_IMAGES, ComparisonText
from failmodes.analysis.render.blocks import Section
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.image_pairing import ImagePairing
from failmodes.warehouse.errors import StudyError

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "comparing.md"
CASES = [compared, few_images, inconclusive, of_different_images, over_seeds]


@pytest.fixture
def result() -> ComparisonResult:
    return ComparisonResult(compared())


def plain(text: str) -> str:
    """With plain spaces and minus signs."""
    return " ".join(text.split()).replace("\u2212", "-")


def sentences(comparison: Comparison) -> list[str]:
    return [plain(sentence) for sentence in ComparisonText(comparison).sentences]


@pytest.mark.parametrize(
    ("comparison", "facts"),
    [
        (compared(), ("Beta is less accurate than Alpha", "by 2.2 points [1.4, 3.0]", "3 corruptions", "500 images")),
        (over_seeds(), ("Beta is more accurate than Alpha", "by 0.6 points [0.2, 1.0]", "2 of Alpha and 3 of Beta")),
        (inconclusive(), ("inconclusive: -0.1 points [-1.3, 1.1]",)),
        (few_images(), ("Beta minus Alpha under corruption: -2.2 points [-3.0, -1.4]", "12 images")),
        (of_different_images(), ("different images, 500 of Alpha and 400 of Beta",)),
    ],
    ids=[make.__name__ for make in (compared, over_seeds, inconclusive, few_images, of_different_images)],
)
def test_the_first_sentence_has_direction_size_and_images(comparison: Comparison, facts: tuple[str, ...]) -> None:
    first = sentences(comparison)[0]
    assert [fact for fact in facts if fact not in first] == []


@pytest.mark.parametrize(
    ("comparison", "facts"),
    [
        (compared(), ("more than 1 point worse", "below -1.5 points (one-sided, 95%)", "differ by more than 1 point")),
        (over_seeds(), ("at most 1 point worse", "above +0.2 points", "differ by less than 1 point")),
        (inconclusive(), ("inconclusive", "about 4,300 images would decide it")),
        (replace(inconclusive(), images_needed=None), ("inconclusive", "no number of images would decide it")),
        (replace(compared(), margin=0.005), ("more than 0.5 points worse",)),
    ],
    ids=["contradicted", "supported", "inconclusive", "on the margin", "another margin"],
)
def test_the_margin_is_judged_with_its_bound(comparison: Comparison, facts: tuple[str, ...]) -> None:
    of_margin = sentences(comparison)[1]
    assert [fact for fact in facts if fact not in of_margin] == []


def test_what_a_reader_must_know_of_images_and_cells_is_told() -> None:
    assert any("only one model" in one and "snow 3 and snow 5" in one for one in sentences(inconclusive()))
    first = sentences(of_different_images())[0]
    assert "independent samples" in first
    assert "different data sets" in first
    other_pixels = replace(compared(), pairing=ImagePairing("same", 500, "another source of corruptions"))
    assert "another source of corruptions" in sentences(other_pixels)[0]
    assert "checkpoints" in sentences(compared())[0]
    crossing = "cross at severity 2.4: Alpha is more accurate at severity 2, Beta at severity 3."
    assert any(crossing in one for one in sentences(compared()))


def test_few_images_have_figures_and_no_verdict() -> None:
    text = " ".join(sentences(few_images()))
    assert "12 images are too few" in text
    assert not re.search("less accurate|contradicted|cross|inconclusive", text)
    cells = ComparisonText(few_images()).tables()[2]
    assert not [cell for row in cells.rows for cell in row if "*" in cell.text]


def test_cells_are_counted_and_the_test_is_named() -> None:
    said, of_different = (plain(ComparisonText(one()).tables()[2].note) for one in (compared, of_different_images))
    assert re.search(r"16 cells.* Beta .* in 1, Alpha in 6, inconclusive: 9.* exact McNemar tests .* 5%", said)
    assert "McNemar" not in of_different


def test_tables_hold_the_figures(result: ComparisonResult) -> None:
    lines = [plain(line) for line in result.to_text(200).splitlines()]
    for line in (
        "Mean of 3 65.5 63.3 -2.2 [-3.0, -1.4] \u2013",
        "Contrast 65.0 66.5 +1.5 [0.7, 2.3] 2.4 [2, 3]",
        "Gaussian noise -2.0 -4.0* -6.0* -8.0* -10.0*",
        "17 one 8 Fog 2 one seven",
        "34 one 7 Fog 2 one another class",
    ):
        assert line in lines


def test_a_summary_shows_less_than_a_report() -> None:
    """A terminal has no place for intervals of cells, nor for all images; the report has them."""
    changed = compared().newly_incorrect
    assert changed is not None
    many = replace(compared(), newly_incorrect=changed._replace(images=changed.images * 3))
    short, whole = (ComparisonText(many, is_summary=is_summary).tables() for is_summary in (True, False))
    assert [table.caption for table in short] == [table.caption for table in whole]
    assert "[" in whole[2].rows[0][1].on_one_line
    assert "[" not in short[2].rows[0][1].on_one_line
    assert (len(short[4].rows), len(whole[4].rows)) == (SUMMARY_IMAGES, 12)
    assert f"{12 - SUMMARY_IMAGES}\u00a0more images" in short[4].note


@pytest.mark.parametrize("make", CASES)
def test_all_tables_but_the_first_are_folded(make: Callable[[], Comparison]) -> None:
    result = ComparisonResult(make())
    sections = [block for block in result.document.blocks if isinstance(block, Section)]
    assert sections
    assert all(section.is_folded for section in sections)
    assert len(result.to_markdown().partition("<details>")[0]) <= 2000


def test_without_single_images_it_says_why() -> None:
    for comparison in (of_different_images(), over_seeds()):
        text = ComparisonText(comparison)
        assert text.no_images
        assert not [table for table in text.tables() if table.caption.startswith("Newly")]
        assert plain(text.no_images) in plain(ComparisonResult(comparison).to_text(400))
    assert ComparisonText(compared()).no_images == ""


@pytest.mark.parametrize("make", CASES)
def test_json_has_every_part_and_the_rows_of_the_frames(make: Callable[[], Comparison]) -> None:
    comparison = make()
    data = json.loads(ComparisonResult(comparison).to_json())
    assert {field.name for field in fields(Comparison)} - {"overall", "clean"} <= data.keys()
    for name in ("metrics", "corruptions", "cells", "classes"):
        assert data[name] == getattr(ComparisonResult(comparison), name).to_dicts()
    assert tuple(data["metrics"][0][end] for end in ("difference", "low", "high")) == comparison.overall.difference
    assert [cell["winner"] for cell in data["cells"]] == [cell.winner for cell in comparison.cells]
    assert data["bounds"] == dict(zip(("low", "high"), comparison.bounds, strict=True))


def test_figures_are_rounded_only_for_readers_and_null_where_not_finite() -> None:
    value = 0.0123456789
    overall = replace(compared().overall, a=math.nan, difference=Estimate(value, -math.inf, 1), winner="b")
    data = json.loads(ComparisonResult(replace(compared(), overall=overall)).to_json())
    assert data["metrics"][0]["difference"] == value
    assert data["metrics"][0]["a"] is data["metrics"][0]["low"] is None
    assert "1.2 points" in data["sentences"][0]


def test_every_key_of_json_is_documented(result: ComparisonResult) -> None:
    def keys(part: object) -> set[str]:
        if isinstance(part, dict):
            return set(part).union(*map(keys, part.values()))
        return set().union(*map(keys, part)) if isinstance(part, list) else set()

    documented = DOCUMENTATION.read_text()
    assert not [key for key in keys(json.loads(result.to_json())) if f"`{key}`" not in documented]


@pytest.mark.parametrize(
    ("make", "outcome"), [(compared, "failure"), (inconclusive, "skipped"), (over_seeds, "system-out")]
)
def test_junit_has_the_verdict_on_the_margin(make: Callable[[], Comparison], outcome: str) -> None:
    (case,) = ElementTree.fromstring(ComparisonResult(make()).to_junit())[0]
    assert [child.tag for child in case] == [outcome]


def test_frames_hold_the_figures(result: ComparisonResult) -> None:
    assert result.cells.height == 16
    assert result.cells.filter(corruption="gaussian_noise", severity=5.0)["difference"].item() == pytest.approx(-0.1)
    assert result.cells.filter(winner="a").height == 6
    assert result.corruptions.filter(corruption="contrast").select("crossover", "ahead_first").row(0) == (2.4, "a")
    assert result.corruptions.filter(corruption="fog")["crossover"].item() is None
    assert result.classes["class_name"].to_list() == ["three", "one"]
    assert result.metrics["metric"].to_list() == ["accuracy", "accuracy", "ece", "onset_severity"]
    assert result.metrics["difference"].to_list()[-1] is None
    assert result.images["change"].to_list() == ["newly_incorrect"] * 4 + ["newly_correct"]
    assert result.to_frame().equals(result.cells)


def test_frames_keep_their_types_without_rows() -> None:
    empty = ComparisonResult(replace(compared(), classes=(), metrics=(), newly_incorrect=None, newly_correct=None))
    assert empty.classes.schema == ComparisonResult(compared()).classes.schema
    assert empty.images.schema["severity"] == pl.Float64


@pytest.mark.slow
def test_its_chart_is_that_of_the_differences(result: ComparisonResult) -> None:
    chart = result.chart(layout="paper", theme="dark").to_dict()
    assert chart["usermeta"]["title"].startswith(ComparisonText(result.comparison).headline)
    with pytest.raises(StudyError, match="no layout 'wide'"):
        result.chart(layout="wide")  # type: ignore[arg-type]
