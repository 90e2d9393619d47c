"""A comparison in the hand: frames, JSON, HTML and files say what was compared, and nothing else."""

import json
import math
from dataclasses import fields, replace
from pathlib import Path

import polars as pl
import pytest
from model_comparisons import around, compared, few_images, inconclusive, of_different_images, over_seeds

from failmodes.analysis.comparison.json_document import as_document
from failmodes.analysis.comparison.result import ComparisonResult
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.model_comparison import Comparison
from failmodes.warehouse.errors import StudyError

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "comparing.md"


@pytest.fixture
def result() -> ComparisonResult:
    return ComparisonResult(compared())


@pytest.mark.parametrize("make", [compared, few_images, inconclusive, of_different_images, over_seeds])
def test_json_has_every_field_and_the_frames_every_row(make) -> None:
    comparison = make()
    document = json.loads(ComparisonResult(comparison).to_json())
    assert {field.name for field in fields(Comparison)} <= document.keys()
    assert document["overall"]["difference"] == comparison.overall.difference._asdict()
    assert [cell["winner"] for cell in document["cells"]] == [cell.winner for cell in comparison.cells]
    assert document["classes"][0]["winner"] == "a"
    assert document["metrics"][0]["winner"] == "a"
    assert document["bounds"] == dict(zip(("low", "high"), comparison.bounds, strict=True))


def test_json_holds_no_number_that_is_none(result: ComparisonResult) -> None:
    broken = replace(
        compared(), overall=replace(compared().overall, a=math.nan, difference=Estimate(0.1, -math.inf, 1))
    )
    document = as_document(broken)
    assert document["overall"]["a"] is None
    assert document["overall"]["difference"]["low"] is None
    json.loads(ComparisonResult(broken).to_json(), parse_constant=lambda name: pytest.fail(name))


def test_every_key_of_json_is_documented(result: ComparisonResult) -> None:
    def keys(part: object) -> set[str]:
        if isinstance(part, dict):
            return set(part).union(*map(keys, part.values()))
        return set().union(*map(keys, part)) if isinstance(part, list) else set()

    documented = DOCUMENTATION.read_text()
    assert not [key for key in keys(json.loads(result.to_json())) if f"`{key}`" not in documented]


def test_frames_hold_the_figures(result: ComparisonResult) -> None:
    assert result.cells.height == 16
    assert result.cells.filter(corruption="gaussian_noise", severity=5.0)["difference"].item() == pytest.approx(-0.1)
    assert result.cells.filter(winner="a").height == 6
    assert result.corruptions.filter(corruption="contrast").select("crossover", "ahead_first").row(0) == (2.4, "a")
    assert result.corruptions.filter(corruption="fog")["crossover"].item() is None
    assert result.classes["class_name"].to_list() == ["three", "one"]
    assert result.metrics["metric"].to_list() == ["accuracy", "accuracy", "ece", "onset_severity"]
    assert result.metrics["difference"].to_list()[-1] is None
    assert result.images["change"].value_counts().sort("change").rows() == [
        ("newly_correct", 1),
        ("newly_incorrect", 4),
    ]
    assert result.to_frame().equals(result.cells)
    assert ComparisonResult(over_seeds()).images.is_empty()


def test_frames_keep_their_types_without_rows() -> None:
    empty = ComparisonResult(replace(compared(), classes=(), metrics=(), newly_incorrect=None, newly_correct=None))
    assert empty.classes.schema == ComparisonResult(compared()).classes.schema
    assert empty.images.schema["severity"] == pl.Float64


def test_it_prints_as_text_and_shows_itself_in_notebooks(result: ComparisonResult) -> None:
    assert str(result) == repr(result) == result.to_text().rstrip("\n")
    page = ComparisonResult(compared("<script>alert(1)</script>", "Beta"))._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<details") == page.count("</details>") == 6


@pytest.mark.slow
def test_its_chart_is_that_of_the_differences(result: ComparisonResult) -> None:
    chart = result.chart(layout="paper", theme="dark").to_dict()
    assert chart["usermeta"]["finding"].startswith("Beta is right less often than Alpha")
    with pytest.raises(StudyError, match="no layout 'wide'"):
        result.chart(layout="wide")  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "start"), [("c.md", "**Beta"), ("c.json", "{"), ("c.txt", "A: Alpha")])
def test_it_is_saved_as_its_suffix_says(result: ComparisonResult, tmp_path: Path, name: str, start: str) -> None:
    assert result.save(tmp_path / name) == tmp_path / name
    assert (tmp_path / name).read_text().startswith(start)


def test_another_suffix_is_refused(result: ComparisonResult, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"ends in .docx, expected a file name that ends in .txt, .json or .md"):
        result.save(tmp_path / "c.docx")
    assert not list(tmp_path.iterdir())


def test_numbers_of_a_comparison_are_rounded_only_for_readers() -> None:
    value = 0.0123456789
    exact = replace(compared(), overall=replace(compared().overall, difference=around(value)))
    assert as_document(exact)["overall"]["difference"]["value"] == value
    assert "1.2" in as_document(exact)["sentences"][0]


def test_its_text_is_returned_in_a_notebook_too(result: ComparisonResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """There rich would show it at once, line by line, in place of writing it where it is told to."""
    text = str(result)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert str(result) == text
