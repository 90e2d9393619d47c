"""Pairs in a report: the only two, or those that are named; with pictures, and without a second table of the same."""

import re
import shutil
from pathlib import Path

import duckdb
import pytest
from report_blocks import blocks_of
from synthetic_results import Synthetic
from typer.testing import CliRunner

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.render.blocks import Gallery, Sentence
from failmodes.analysis.report.comparison_section import comparison_sections, pairs_by_selection
from failmodes.analysis.report.rendering import write_report
from failmodes.cli import build_app
from failmodes.runtime.errors import StudyError


@pytest.fixture(scope="module")
def many_warehouse(many_results: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copy(many_results.output / "w.duckdb", tmp_path_factory.mktemp("many-pairs")))


def titles(page: str) -> list[str]:
    return re.findall(r'<section id="comparison-[^>]*>\s*<h2><bdi>(.*?)</bdi>', page)


def test_the_only_two_models_are_compared(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    ((pair,),) = pairs_by_selection(con, Path("w.duckdb"), [selection])
    section, details = comparison_sections(con, selection, pair)
    chart, *strongest = section.blocks
    everything = list(blocks_of(details.blocks))
    sentences = [one.text for one in everything if isinstance(one, Sentence)]
    assert sentences[0].startswith(chart.finding)
    assert {one.text for one in strongest} < set(sentences)
    strips = [strip for one in everything if isinstance(one, Gallery) for strip in one.strips]
    assert not any(frame.is_correct for strip in strips for frame in strip.frames)


def test_of_many_models_those_that_are_named(many_con: duckdb.DuckDBPyConnection, many_selection: Selection) -> None:
    assert pairs_by_selection(many_con, Path("w.duckdb"), [many_selection]) == [[]]
    (((a, b),),) = pairs_by_selection(many_con, Path("w.duckdb"), [many_selection], [("Fir", "Aspen")])
    assert (a.label, b.label) == ("Fir", "Aspen")
    with pytest.raises(StudyError, match="did you mean 'Aspen'"):
        pairs_by_selection(many_con, Path("w.duckdb"), [many_selection], [("Fir", "Aspin")])
    with pytest.raises(StudyError, match="expected a pair of two model names"):
        pairs_by_selection(many_con, Path("w.duckdb"), [many_selection], [("Fir",)])


@pytest.mark.slow
def test_the_command_names_pairs(many_warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("failmodes.analysis.report.rendering.draw_charts", lambda *_: ([], []))  # drawn elsewhere
    arguments = ["report", str(many_warehouse), "--pair", "Fir", "Aspen", "--pair", "Elm", "Birch"]
    done = CliRunner().invoke(build_app("report"), arguments, catch_exceptions=False)
    assert done.exit_code == 0
    page = many_warehouse.with_name("report.html").read_text()
    assert titles(page) == ["Comparison: Aspen with Fir", "Comparison: Birch with Elm"]


@pytest.mark.slow
def test_a_pair_that_cannot_be_compared_is_said_and_nothing_is_written(many_warehouse: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="name two different models"):
        write_report(many_warehouse, tmp_path / "r.html", pairs=[("Fir", "Fir")])
    assert not list(tmp_path.iterdir())
