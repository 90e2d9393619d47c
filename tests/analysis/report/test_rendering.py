"""The report: titles, every part of it, nothing loaded from outside, text from outside escaped."""

import re
import shutil
from pathlib import Path

import pytest
from rewritten_shards import cell_of
from synthetic_results import write_synthetic

from failmodes.analysis.chart_registry import warehouse_charts
from failmodes.analysis.report.rendering import write_report
from failmodes.analysis.report.topics import TOPICS
from failmodes.warehouse.database.load import load
from failmodes.warehouse.schema_version import SCHEMA_VERSION

MALICIOUS = "Alpha <img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    write_synthetic(folder, images=80, models=(MALICIOUS,))
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
    folded = ("Findings", "Further charts", "Tables", "Limitations", "How this report was made", "Glossary")
    titles = (*(topic.title for topic in TOPICS), "Details", *folded)
    places = [re.search(f"<h[23]><bdi>{title}</bdi></h[23]>", page).start() for title in titles]
    assert places == sorted(places)
    for fact in ("Accuracy of Alpha", "Shapes of Alpha", "Calibration of Alpha", "float32",
                 "synthetic: no real images", "cifar-c recipe, seed 0", f"schema {SCHEMA_VERSION}"):  # fmt: skip
        assert fact in page
    drawn = set(warehouse_charts()) - {
        "exemplars",
        "differences",
    }  # the gallery has those pictures, and there is one model
    assert len(re.findall(r'class="plot"', page)) == len(drawn)
    assert len(re.findall(r'class="card"', page)) == 5 * 4  # corruptions and reasons
    assert "prefers-color-scheme: dark" in page


@pytest.mark.slow
def test_a_model_that_lacks_a_corruption_has_no_mean_and_keeps_the_rest(tmp_path: Path) -> None:
    results = write_synthetic(tmp_path, images=60, models=("Alpha", "Beta"), corruptions=("fog", "contrast", "snow"))
    lacking = cell_of(results, "Beta", "snow", 1).evaluation_id
    for path in tmp_path.rglob("*"):
        if path.is_dir() and path.name == "corruption=snow" and lacking in str(path):
            shutil.rmtree(path)
    for path in tmp_path.rglob(f"*{lacking}*snow*"):
        path.unlink()
    load([tmp_path], tmp_path / "warehouse.duckdb")
    page = write_report(tmp_path / "warehouse.duckdb").read_text()
    assert "Mean accuracy over 3\u00a0corruptions: Alpha " in page
    assert "Without a mean, since corruptions are missing: Beta." in page
    assert "on average over 2\u00a0corruptions" in page or "is inconclusive" in page
