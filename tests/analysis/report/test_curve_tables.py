"""The report's tables of ranks, of both axes of shape and of fits, as a reader sees them."""

import duckdb
import pytest

from failmodes.analysis.render.blocks import Table
from failmodes.analysis.report.curve_tables import MOST_CLASSES, curve_tables
from failmodes.analysis.report.report_tables import corruption_names, tables
from failmodes.analysis.selection import Selection, select_one


@pytest.fixture(scope="module")
def found(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[str, Table]:
    one = selection.only(selection.evaluations[0])
    made = curve_tables(con, one, corruption_names(con, one))
    return {table.caption: table for table in made}


def test_ranks_stand_in_order_with_intervals(found: dict[str, Table], con: duckdb.DuckDBPyConnection) -> None:
    table = found["Which corruption breaks Alpha first"]
    ranks = [row[2].text for row in table.rows]
    assert ranks[0] == "1 of 5"
    assert ranks == sorted(ranks)
    losses = [float(row[1].text.replace("\u2212", "-")) for row in table.rows]
    assert losses == sorted(losses, reverse=True)
    assert all(" to " in row[2].small for row in table.rows)
    assert "Smallest difference between neighboring corruptions at the last severity shown in 80%" in table.note


def test_classes_have_their_names(found: dict[str, Table], con: duckdb.DuckDBPyConnection) -> None:
    table = found["Which class breaks Alpha first"]
    names = {name for (name,) in con.execute("select class_name from classes").fetchall()}
    assert {row[0].text for row in table.rows} == names
    assert len(table.rows) <= MOST_CLASSES


def test_both_axes_stand_side_by_side(bent_axis: duckdb.DuckDBPyConnection) -> None:
    selection = select_one(bent_axis)
    made = curve_tables(bent_axis, selection, corruption_names(bent_axis, selection))
    table = next(table for table in made if "over distortion" in table.caption)
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert table.columns == ("Corruption", "Over severity", "Over RMSE", "Over 1\u00a0\u2212\u00a0SSIM")
    assert rows["Fog"] == ["abrupt", "near-linear", "abrupt"]
    assert rows["Contrast"][1] == "inconclusive"
    small = {row[0].text: row[2].small for row in table.rows}
    assert small["Contrast"] == "mean RMSE falls from severity 3 to 4"


def test_lack_of_fit_is_named_in_words(found: dict[str, Table]) -> None:
    table = found["How the curves of Alpha were fitted"]
    rows = {row[0].text: row for row in table.rows}
    assert rows["Fog"][1].text == "supported"
    assert rows["Fog"][1].small.startswith("break between ")
    assert rows["Fog"][6].text == "does not fit"
    assert rows["Fog"][6].small.startswith("p < 0.001; deviance ")
    assert rows["Contrast"][6].text == "no lack of fit shown"
    assert rows["Motion blur"][1].text == "contradicted"


def test_tables_say_how_much_they_can_tell(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    notes = {table.caption: table.note for table in tables(con, selection)}
    for caption, what in (
        ("Models", "difference of two models' means"),
        ("Accuracy of Alpha", "drop from clean to the last severity"),
        ("Shapes of Alpha", "drop from clean to the last severity"),
        ("Steps of Alpha", "step"),
    ):
        assert f"Smallest {what} shown in 80% of samples: " in notes[caption]
