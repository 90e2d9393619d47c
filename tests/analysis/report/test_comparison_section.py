"""Pairs in a report: the only two, or those that are named; with pictures, and without a second table of the same."""

import re
import shutil
from pathlib import Path

import duckdb
import pytest
from report_blocks import blocks_of
from seeded_results import write_seeded
from synthetic_results import Synthetic, write_synthetic
from typer.testing import CliRunner

from failmodes.analysis.render.blocks import Chart, Gallery, Sentence, Table
from failmodes.analysis.report.comparison_section import comparison_sections, pairs_by_selection
from failmodes.analysis.report.rendering import write_report
from failmodes.analysis.report.report_tables import pair_tables
from failmodes.analysis.selection import Selection, select, select_one
from failmodes.cli import build_app
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import StudyError


@pytest.fixture(scope="module")
def both(con: duckdb.DuckDBPyConnection) -> Selection:
    return select_one(con)


@pytest.fixture(scope="module")
def warehouse(sound_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copy(sound_warehouse, tmp_path_factory.mktemp("pairs")))


@pytest.fixture(scope="module")
def many_warehouse(many_results: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many-pairs") / "warehouse.duckdb"
    load([many_results.output], path)
    return path


def titles(page: str) -> list[str]:
    return re.findall(r'<section id="comparison-[^>]*>\s*<h2><bdi>(.*?)</bdi>', page)


def test_the_only_two_models_are_compared(con: duckdb.DuckDBPyConnection, both: Selection) -> None:
    ((pair,),) = pairs_by_selection(con, Path("w.duckdb"), [both])
    section, details = comparison_sections(con, both, pair)
    assert section.title == "Comparison"
    assert "Beta" in details.title
    chart, *strongest = section.blocks
    everything = list(blocks_of(details.blocks))
    sentences = [one.text for one in everything if isinstance(one, Sentence)]
    assert isinstance(chart, Chart)
    assert sentences[0].startswith(chart.finding)
    assert 1 <= len(strongest) <= 2
    assert {one.text for one in strongest} <= set(sentences)
    assert [one.caption for one in everything if isinstance(one, Table)][:3] == [
        "Accuracy by corruption", "Other metrics", "Difference in every cell",
    ]  # fmt: skip
    strips = [strip for one in everything if isinstance(one, Gallery) for strip in one.strips]
    for strip in strips:
        (frame,) = strip.frames
        assert strip.url.startswith("data:image/png;base64,")
        assert not frame.is_correct
        assert f"\u201c{frame.prediction}\u201d" not in strip.title


def test_two_models_have_no_table_of_pairs(con: duckdb.DuckDBPyConnection, both: Selection) -> None:
    assert pair_tables(con, both) == []


def test_of_many_models_those_that_are_named(many_con: duckdb.DuckDBPyConnection, many_selection: Selection) -> None:
    assert pairs_by_selection(many_con, Path("w.duckdb"), [many_selection]) == [[]]
    (((a, b),),) = pairs_by_selection(many_con, Path("w.duckdb"), [many_selection], [("Fir", "Aspen")])
    assert (a.label, b.label) == ("Fir", "Aspen")
    with pytest.raises(StudyError, match="did you mean 'Aspen'"):
        pairs_by_selection(many_con, Path("w.duckdb"), [many_selection], [("Fir", "Aspin")])
    for pair in ("Fir", ("Fir",), ("Fir", "Elm", "Aspen")):
        with pytest.raises(StudyError, match="a pair is two names"):
            pairs_by_selection(many_con, Path("w.duckdb"), [many_selection], [pair])


@pytest.mark.slow
def test_the_command_names_pairs(many_warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("failmodes.analysis.report.rendering.draw_charts", lambda *_: ([], []))  # drawn elsewhere
    arguments = ["report", str(many_warehouse), "--pair", "Fir", "Aspen", "--pair", "Elm", "Birch"]
    done = CliRunner().invoke(build_app("report"), arguments, catch_exceptions=False)
    assert done.exit_code == 0
    page = many_warehouse.with_name("report.html").read_text()
    assert titles(page) == ["Comparison: Aspen with Fir", "Comparison: Birch with Elm"]
    assert 'href="#comparison-1-1"' in page
    odd = CliRunner().invoke(build_app("report"), ["report", str(many_warehouse), "--pair", "Fir"])
    assert isinstance(odd.exception, StudyError)


@pytest.mark.slow
def test_a_report_of_two_has_the_section_and_one_of_many_has_none(
    warehouse: Path, many_warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("failmodes.analysis.report.rendering.draw_charts", lambda *_: ([], []))
    page = write_report(warehouse).read_text()
    assert titles(page) == ["Comparison"]
    assert "image by image</bdi></summary>" not in page
    assert "comparison-" not in write_report(many_warehouse).read_text()


def test_a_pair_that_cannot_be_compared_is_said_and_nothing_is_written(warehouse: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="compared with itself"):
        write_report(warehouse, tmp_path / "r.html", pairs=[("Alpha", "Alpha")])
    assert not list(tmp_path.iterdir())


def test_two_models_that_share_no_corruption_have_a_report_without_it(tmp_path: Path) -> None:
    for label, corruption in (("Alpha", "fog"), ("Beta", "snow")):
        write_synthetic(tmp_path / label, images=40, models=(label,), corruptions=(corruption,))
    load([tmp_path / "Alpha", tmp_path / "Beta"], tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con:
        both = select_one(con)
        assert len(both.evaluations) == 2
        assert pairs_by_selection(con, tmp_path / "w.duckdb", [both]) == [[]]


@pytest.mark.slow
def test_models_of_the_same_names_on_other_images_are_each_compared(tmp_path: Path) -> None:
    for images in (40, 48):
        write_seeded(tmp_path / str(images), seeds=2, single=None, images=images, corruptions=("fog",))
    load([tmp_path / "40", tmp_path / "48"], tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con:
        counts = []
        selections = select(con)
        for selection, ((a, b),) in zip(
            selections, pairs_by_selection(con, tmp_path / "w.duckdb", selections), strict=True
        ):
            assert (a.label, b.label) == ("Fir", "Oak")
            counts.append({*a.selection.ids, *b.selection.ids} & set(selection.ids))
    assert [len(found) for found in counts] == [4, 4]
