"""The report: titles, every part of it, nothing loaded from outside, text from outside escaped."""

import re
from pathlib import Path

import pytest
from synthetic_results import write_synthetic
from warehouse_files import derivation

from failmodes.analysis.charts.registry import draw_from_warehouse, warehouse_charts
from failmodes.analysis.charts.style.frame import PAGE
from failmodes.analysis.judging.findings.kind import all_kinds
from failmodes.analysis.report import rendering
from failmodes.analysis.report.report_charts import (
    FINDINGS,
    FIRST_SCREEN,
    IN_COMPARISON,
    MORE_CHARTS,
    OF_SHIFTS,
    TOPICS,
    draw_charts,
)
from failmodes.warehouse.database.load import load
from failmodes.warehouse.schema import SCHEMA_VERSION

MALICIOUS = "Alpha <img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_synthetic(folder, images=80, models=(MALICIOUS,), corruptions=("fog", "contrast"), severities=(1, 5))
    load([folder], folder / "warehouse.duckdb", derivation=derivation(resamples=50))
    return folder / "warehouse.duckdb"


@pytest.fixture(scope="module")
def page(warehouse: Path) -> str:
    """A report with one of its charts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "draw_charts", lambda con, selection, _: draw_charts(con, selection, [FIRST_SCREEN]))
        path = rendering.write_report(warehouse)
    assert path == warehouse.with_name("report.html")
    assert not list(warehouse.parent.glob(".tmp-*"))
    return path.read_text()


def test_nothing_is_loaded_from_outside(page: str) -> None:
    assert not re.findall(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=[\"']?https?:", page)
    assert "default-src 'none'" in page
    assert page.count("window.vegaEmbed = vegaEmbed") <= 1


def test_text_from_outside_is_escaped(page: str) -> None:
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "\\u003cimg src=x" in page  # in the charts' JSON, which no tag can end


def test_it_states_what_was_evaluated(page: str) -> None:
    for fact in ("float32", "synthetic: no real images", "cifar-c recipe, seed 0", f"schema {SCHEMA_VERSION}"):
        assert fact in page
    assert len(re.findall(r'class="plot"', page)) == 1
    assert len(re.findall(r'class="card"', page)) == 2 * 4  # corruptions and reasons


@pytest.mark.test_all
def test_it_has_every_part(warehouse: Path, tmp_path: Path) -> None:
    page = rendering.write_report(warehouse, tmp_path / "report.html").read_text()
    folded = ("Findings", "Further charts", "Tables", "Limitations", "How this report was made", "Glossary")
    titles = (*(topic.title for topic in TOPICS), "Details", *folded)
    places = [re.search(f"<h[23][^>]*><bdi>{title}</bdi></h[23]>", page).start() for title in titles]
    assert places == sorted(places)
    # The gallery has those pictures, there is one model, and no threshold of so few images
    elsewhere = {"exemplars", "differences", "shifts", "abstention"}
    assert len(re.findall(r'class="plot"', page)) == len(set(warehouse_charts()) - elsewhere)


@pytest.mark.test_all
def test_a_model_that_lacks_a_corruption_has_no_mean_and_keeps_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("failmodes.analysis.report.rendering.draw_charts", lambda *_: ([], []))  # drawn above
    for model, corruptions in (("Alpha", ("fog", "snow")), ("Beta", ("fog",))):
        write_synthetic(tmp_path / model, images=40, models=(model,), corruptions=corruptions, severities=(2, 5))
    load([tmp_path / "Alpha", tmp_path / "Beta"], tmp_path / "warehouse.duckdb", derivation=derivation(resamples=50))
    page = rendering.write_report(tmp_path / "warehouse.duckdb").read_text()
    assert page.count("Beta") > 5
    ranking = draw_from_warehouse(tmp_path / "warehouse.duckdb", "ranking", frame=PAGE)
    assert "Mean accuracy over 2\u00a0corruptions: Alpha " in ranking.title
    assert "No average over all corruptions for Beta: not evaluated under snow." in ranking.subtitle
    assert "No average over all corruptions for Beta: not evaluated under snow." in page


def test_every_kind_of_finding_has_its_part_and_every_part_a_kind() -> None:
    assert {kind.section for kind in all_kinds().values()} == set(FINDINGS)
    assert {topic.key for topic in TOPICS} <= set(FINDINGS)


def test_every_chart_is_shown_once() -> None:
    in_gallery = "exemplars"
    shown = [*(name for topic in TOPICS for name in topic.charts), *MORE_CHARTS]
    assert sorted([*shown, FIRST_SCREEN, in_gallery, IN_COMPARISON, OF_SHIFTS]) == warehouse_charts()


def test_the_license_stands_before_the_script() -> None:
    license_text, _, script = rendering.vega_bundle().partition("*/")
    assert "University of Washington Interactive Data Lab" in license_text
    assert "window.vegaEmbed" in script
