"""The page without a browser: every cell of it runs, and its small parts give what they say."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

from failmodes.analysis.charts.style.theme import PAPER
from failmodes.analysis.explorer import downloads, handed_over, page_parts, panels, query_panel
from failmodes.analysis.explorer.cell_figures import read_figures
from failmodes.analysis.explorer.handed_over import Explored, explored_warehouse, hand_over
from failmodes.analysis.explorer.model_cell import ModelCell, cells_of, narrowed, read_curves
from failmodes.analysis.explorer.slices import SliceRequest, read_images
from failmodes.analysis.explorer.view import View, view_of
from failmodes.analysis.selection import select
from failmodes.warehouse.errors import QueryError, StudyError


@pytest.fixture
def handed(explored: Path) -> Iterator[Explored]:
    hand_over(Explored(explored))
    yield Explored(explored)
    handed_over._Handed.explored = None


def test_every_cell_runs(handed: Explored) -> None:
    pytest.importorskip("marimo")
    from failmodes.analysis.explorer.app import app

    _, found = app.run()
    assert found["curves"].points.height == 2 * 5 * 6
    assert found["chosen"].severity > 0
    assert found["images"].rows.height == 400
    assert found["pictures"].shown is not None
    assert found["view"] == View()


def test_without_a_warehouse_the_page_says_how_to_start_it() -> None:
    with pytest.raises(StudyError, match="start it with `failmodes explore WAREHOUSE`"):
        explored_warehouse()


@pytest.mark.parametrize(
    ("cookie", "view"),
    [
        ("dark.narrow", View("dark", "narrow")),
        ("light.medium", View("light", "medium")),
        ("", View()),
        ("purple.huge", View()),
        ("dark", View("dark", "wide")),
    ],
)
def test_the_view_is_what_the_browser_says(cookie: str, view: View) -> None:
    assert view_of({"failmodes_view": cookie, "session": "x"}) == view


def test_a_cell_is_chosen_part_by_part(con: duckdb.DuckDBPyConnection, fog_cell: ModelCell) -> None:
    cells = cells_of(read_curves(con, select(con)[0]).points)
    options = {field: (values, name) for field, _, values, name in page_parts.cell_options(cells, fog_cell)}
    assert options["severity"] == ({"clean": 0.0, "1": 1.0, "2": 2.0, "3": 3.0, "4": 4.0, "5": 5.0}, "5")
    assert options["corruption"][0]["Motion blur"] == "motion_blur"
    assert set(options["evaluation_id"][0]) == {"Alpha", "Beta"}
    other = page_parts.nearest_cell(cells, fog_cell._replace(corruption="contrast", severity=9.0))
    assert (other.corruption, other.corruption_label, other.severity) == ("contrast", "Contrast", 5.0)


def test_a_clicked_pair_is_kept_where_it_occurs() -> None:
    clicked = pl.DataFrame({"label_name": ["one"], "prediction": ["two"], "image_count": [3]})
    assert page_parts.pair_of(clicked) == ("one", "two")
    nameless = clicked.with_columns(prediction=pl.lit("no number"))  # as the matrix calls it; conditions say no answer
    assert page_parts.pair_of(nameless) == ("one", "no answer")
    assert page_parts.pair_of(clicked.clear()) == page_parts.pair_of([]) == (None, None)
    assert page_parts.known_pair(("one", "two"), ["one"]) == ("one", None)
    assert page_parts.known_pair(("one", "no answer"), ["one"]) == ("one", "no answer")


def test_pictures_are_made_of_chosen_rows_else_of_the_first(
    con: duckdb.DuckDBPyConnection, explored: Path, fog_cell: ModelCell
) -> None:
    images = read_images(explored, fog_cell, SliceRequest(true_class="one"))
    table = page_parts.readable_images(images.slice)
    assert table.columns[:4] == ["image", "true class", "prediction", "correct"]
    assert "file" not in table.columns  # none has one
    assert page_parts.chosen_rows(images.slice, table.clear(), 6).equals(images.slice.head(6))
    assert page_parts.chosen_rows(images.slice, table[3:5], 6).equals(images.slice[3:5])
    rows = images.slice.head(3)
    sheet = page_parts.picture_sheet(con, None, fog_cell, images, rows)
    assert sheet.rows["image_id"].to_list() == rows["image_id"].to_list()
    assert downloads.picture_figure(sheet, "png").startswith(b"\x89PNG")
    with pytest.raises(StudyError, match="no image of this cell is in the slice"):
        page_parts.picture_sheet(con, None, fog_cell, images, rows.clear())


def test_texts_of_a_warehouse_are_no_markup(explored: Path, fog_cell: ModelCell) -> None:
    malicious = "<img src=x onerror=alert(1)>"
    frame = pl.DataFrame({"column": [malicious], "type": ["x"], "meaning": [None]})
    for html in (
        page_parts.heading(malicious), page_parts.paragraph(malicious), page_parts.problem_html(malicious),
        page_parts.columns_html(malicious, frame),
    ):  # fmt: skip
        assert "<img" not in html
        assert "&lt;img" in html


def test_curves_are_saved_as_failmodes_draws_them(con: duckdb.DuckDBPyConnection, explored: Path) -> None:
    selection = narrowed(select(con)[0], ["Alpha"], ["fog"])
    assert downloads.curve_figure(explored, selection, "pdf").startswith(b"%PDF")


def test_charts_of_a_cell_are_saved_as_one_figure(con: duckdb.DuckDBPyConnection, fog_cell: ModelCell) -> None:
    figures, source = read_figures(con, fog_cell), select(con)[0].source_line
    svg = downloads.cell_figure(figures, fog_cell, source, "svg").decode()
    assert svg.startswith("<svg")
    for text in ("Alpha, fog at severity 5.", "What each class is taken for", "images kept, the surest first", "Data:"):
        assert text in svg
    without_risk = figures._replace(risks=figures.risks.clear())
    spec = panels.cell_figure(without_risk, fog_cell, source, size=PAPER).to_dict()
    assert len(spec["vconcat"][0]["vconcat"][0]["concat"][1]["vconcat"]) == 1
    assert "No risk is on record for this cell." in spec["usermeta"]["subtitle"]


@pytest.mark.slow
def test_the_query_panel_gives_results_and_refuses(con: duckdb.DuckDBPyConnection, explored: Path) -> None:
    assert query_panel.FIRST_RELATION in query_panel.relation_options()
    assert "worst_cells" in query_panel.saved_names()
    for name in (None, *query_panel.saved_names()):
        assert isinstance(query_panel.query_rows(explored, query_panel.statement_of(name)), pl.DataFrame)
    assert query_panel.columns_of(explored, "predictions").columns == ["column", "type", "meaning"]
    with pytest.raises(QueryError, match="refused"):
        query_panel.query_rows(explored, "drop table prediction_facts")
    alpha, beta = select(con)[0].ids
    assert "<table>" in query_panel.compared(explored, alpha, beta, 0.01)
    assert page_parts.attempt(lambda: query_panel.compared(explored, alpha, alpha, 0.01))[1]
