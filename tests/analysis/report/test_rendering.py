"""The report: titles, every part of it, nothing loaded from outside, text from outside escaped."""

import re

import duckdb
import pytest
from synthetic_record import write_synthetic

from failmodes.analysis.charts.drawing import CHARTS
from failmodes.analysis.report.rendering import report_section, write_report
from failmodes.analysis.report.topics import TOPICS
from failmodes.analysis.selection import Selection, select_one
from failmodes.warehouse.database.load import load


def test_the_title_of_a_section_counts_networks(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("failmodes.analysis.report.rendering._charts", lambda *_: ([], []))  # drawn elsewhere
    four = select_one(many_con, models=["Aspen", "Birch", "Cedar", "Elm"])
    assert report_section(many_con, many_selection).title == "How 6\u00a0networks fail on Synthetic digits"
    assert report_section(many_con, four).title == "How Aspen, Birch, Cedar and Elm fail on Synthetic digits"


HOSTILE = "Alpha <img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    write_synthetic(folder, images=80, models=(HOSTILE,))
    load([folder], folder / "warehouse.duckdb")
    path = write_report(folder / "warehouse.duckdb")
    assert path == folder / "report.html"
    assert not list(folder.glob(".tmp-*"))
    return path.read_text()


def test_nothing_is_loaded_from_outside(page: str) -> None:
    assert not re.findall(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=[\"']?https?:", page)
    assert "default-src 'none'" in page
    assert page.count("window.vegaEmbed = vegaEmbed") <= 1


def test_text_from_outside_is_escaped(page: str) -> None:
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "\\u003cimg src=x" in page  # in the charts' JSON, which no tag can end


def test_it_has_every_part(page: str) -> None:
    parts = [topic.title for topic in TOPICS]
    for part in (*parts, "Pictures", "Tables", "What cannot be claimed", "How it was made"):
        assert f">{part}</h2>" in page
    for fact in ("Accuracy of Alpha", "Shapes of Alpha", "Steps of Alpha", "Calibration of Alpha", "float32",
                 "synthetic: no real images", "cifar-c recipe, seed 0", "schema 1."):  # fmt: skip
        assert fact in page
    assert len(re.findall(r'class="plot"', page)) == len(CHARTS) - 1  # the gallery has the pictures of one
    assert len(re.findall(r'class="card"', page)) == 5 * 4  # corruptions and reasons
    assert "prefers-color-scheme: dark" in page
