"""A comparison on a terminal, in a pull request, in a notebook, as JSON, as frames and as a file."""

import json
import math
import re
from dataclasses import fields, replace
from pathlib import Path

import polars as pl
import pytest
from model_comparisons import around, compared, difference, few_images, inconclusive, of_different_images, over_seeds

from failmodes.analysis.comparison_result import ComparisonResult
from failmodes.analysis.judging.compare import Comparison
from failmodes.analysis.judging.compare_formats import as_document, as_markdown, as_text
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.markdown import harmless

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "comparing.md"
CASES = [compared, few_images, inconclusive, of_different_images, over_seeds]
MALICIOUS = "a|b <img src=x onerror=alert(1)> `code` @someone #12 [x](http://e.org)\n\n# heading"
CODE = re.compile(r"(`+).*?[^`]\1(?!`)")


@pytest.fixture
def result() -> ComparisonResult:
    return ComparisonResult(compared())


def malicious(text: str) -> Comparison:
    """Every text from outside is the given one."""
    found = compared(text, f"Net_B {text}")
    lost = found.newly_incorrect
    assert lost is not None
    images = tuple(i._replace(label_name=text, predicted_a=text, predicted_b=text) for i in lost.images)
    return replace(
        found,
        a=replace(found.a, source_line=text),
        missing_cells=((text, 1.0),),
        corruptions=tuple(replace(one, label=text) for one in found.corruptions),
        classes=tuple(replace(one, label=text) for one in found.classes),
        newly_incorrect=lost._replace(images=images),
    )


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("make", CASES)
def test_no_line_is_wider_than_the_terminal(make, width: int) -> None:
    assert max(map(len, as_text(make(), width).splitlines())) <= width


def test_the_text_has_headline_tables_and_source() -> None:
    text = as_text(compared()).replace("\u00a0", " ").replace("\u2212", "-")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[:2] == ["A: Alpha", "B: Beta; differences are B minus A"]
    for line in (
        "Mean of 3 65.5 63.3 -2.2 [-3.0, -1.4]",
        "Contrast 65.0 66.5 +1.5 [0.7, 2.3] 2.4 [2, 3]",
        "Gaussian noise -2.0 -4.0* -6.0* -8.0* -10.0*",
        "17 one 8 Fog 2 one seven",
        "34 one 7 Fog 2 one another class",
    ):
        assert line in lines


def test_other_metrics_have_their_smallest_difference_in_their_unit() -> None:
    """Half of the interval is 0.008: with 80 % chance 0.008 (1 + 0.8416 / 1.96) is shown."""
    brier = difference("brier", "corrupted", 0.6, around(0.0))
    clean = difference("brier", "clean", 0.6, around(0.0, 0.5))
    comparison = replace(compared(), metrics=(*compared().metrics, brier, clean))
    text = " ".join(as_text(comparison, 200).replace("\u00a0", " ").split())
    sizes = f"{compared().metrics[0].title} 1.1 points; {brier.title} 0.011."
    assert f"Smallest difference under corruption shown in 80 % of samples: {sizes}" in text
    assert "Smallest difference under" not in as_text(replace(comparison, metrics=(clean,)), 200)


def test_without_single_images_the_text_says_why() -> None:
    assert "the two were evaluated on different images" in as_text(of_different_images(), 200)
    assert "a model of several training runs gives each image several answers" in as_text(over_seeds(), 200)


def test_few_images_decide_no_cell() -> None:
    assert "*" not in as_text(few_images())


def test_names_cannot_steer_the_terminal() -> None:
    text = as_text(malicious("\x1b[31mred\x1b]0;title\x07 [bold]b[/bold]\nnew line"), 2000)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]b[/bold] new line" in text


@pytest.mark.parametrize("make", CASES)
def test_markdown_is_short_begins_with_the_headline_and_folds_the_rest(make) -> None:
    text = as_markdown(make())
    seen = text.partition("<details>")[0]
    assert seen.startswith("**")
    assert len(seen) <= 2000
    assert text.count("<details>") == text.count("</details>") > 0


@pytest.mark.parametrize("comparison", [compared(), malicious(MALICIOUS)])
def test_every_row_of_a_markdown_table_has_the_cells_of_its_heading(comparison: Comparison) -> None:
    blocks = re.findall(r"(?:^\|.*\n)+", as_markdown(comparison), re.MULTILINE)
    assert len(blocks) == 6
    for block in blocks:  # a bar after a backslash parts no cells
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_nothing_in_a_name_is_markdown() -> None:
    text = as_markdown(malicious(f"{MALICIOUS} *x* www.e.org"))
    outside = CODE.sub("", text)
    for part in ("<img", "@someone", "#12", "www.", "*x*", "](", "# heading"):
        assert part not in outside, part
    assert "\n# heading" not in text


def test_nothing_in_a_name_is_html() -> None:
    page = ComparisonResult(malicious("<script>alert(1)</script>"))._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<details") == page.count("</details>") == 6


@pytest.mark.parametrize(
    "plain", ["ResNet-18", "Gaussian noise", "Net, seed 1", "DenseNet-121 (width 8)", "ViT+reg 0.5", "1.5 x", "3, 4"]
)
def test_plain_names_stay_as_they_are(plain: str) -> None:
    assert harmless(plain) == plain


@pytest.mark.parametrize(
    "text",
    ["a`b", "``", "`x`", "a_b", "@me", "GH-12", "see www.x.org", "<b>", "a|b", "~x~", "&lt;", "1. x", "2) x", "- x",
     "> x", "# x", "://x", "<!-- x -->", "a@b.org", "::x"],
)  # fmt: skip
def test_other_names_are_code(text: str) -> None:
    assert CODE.fullmatch(harmless(text)), harmless(text)


@pytest.mark.parametrize("make", CASES)
def test_json_has_every_part_and_the_rows_of_the_frames(make) -> None:
    comparison = make()
    document = json.loads(ComparisonResult(comparison).to_json())
    assert {field.name for field in fields(Comparison)} - {"overall", "clean"} <= document.keys()
    for name in ("metrics", "corruptions", "cells", "classes"):
        assert document[name] == getattr(ComparisonResult(comparison), name).to_dicts()
    assert tuple(document["metrics"][0][end] for end in ("difference", "low", "high")) == comparison.overall.difference
    assert [cell["winner"] for cell in document["cells"]] == [cell.winner for cell in comparison.cells]
    assert document["bounds"] == dict(zip(("low", "high"), comparison.bounds, strict=True))


def test_json_holds_no_number_that_is_none() -> None:
    overall = replace(compared().overall, a=math.nan, difference=Estimate(0.1, -math.inf, 1))
    document = as_document(replace(compared(), overall=overall))
    assert document["metrics"][0]["a"] is document["metrics"][0]["low"] is None
    json.dumps(document, allow_nan=False)


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
    assert result.images["change"].to_list() == ["newly_incorrect"] * 4 + ["newly_correct"]
    assert result.to_frame().equals(result.cells)


def test_frames_keep_their_types_without_rows() -> None:
    empty = ComparisonResult(replace(compared(), classes=(), metrics=(), newly_incorrect=None, newly_correct=None))
    assert empty.classes.schema == ComparisonResult(compared()).classes.schema
    assert empty.images.schema["severity"] == pl.Float64


def test_it_prints_as_text(result: ComparisonResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook too, where rich would show it at once, line by line."""
    text = str(result)
    assert text == repr(result) == result.to_text().rstrip("\n")
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert str(result) == text


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


def test_figures_are_rounded_only_for_readers() -> None:
    value = 0.0123456789
    exact = replace(compared(), overall=replace(compared().overall, difference=around(value), winner="b"))
    assert as_document(exact)["metrics"][0]["difference"] == value
    assert "1.2" in as_document(exact)["sentences"][0]
