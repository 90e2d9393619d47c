"""Models that may stand in one chart, their curves, and the cells on them."""

from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from synthetic_results import CURVES, Synthetic, write_synthetic

from failmodes.analysis.charts.style.theme import BLUE, GRAY, VERMILLION
from failmodes.analysis.explorer.model_cell import (
    cells_of,
    most_telling_cell,
    narrowed,
    read_curves,
    selection_name,
)
from failmodes.analysis.selection import select
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import StudyError


def test_points_are_those_of_the_stored_cells(
    con: duckdb.DuckDBPyConnection, explored: Path, synthetic: Synthetic
) -> None:
    (selection,) = select(con)
    points = read_curves(con, selection).points
    assert points.height == 2 * len(CURVES) * 6
    with duckdb.connect(str(explored), read_only=True) as con:
        for row in points.rows(named=True):
            stored = "none" if row["severity"] == 0 else row["corruption"]
            correct, count = con.execute(
                "select count(*) filter (where predicted = label), count(*) from prediction_facts "
                "where evaluation_id = ? and corruption = ? and severity = ?",
                [row["evaluation_id"], stored, row["severity"]],
            ).fetchall()[0]
            assert (row["accuracy"], row["image_count"]) == (correct / count, count)
            assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    assert synthetic.evaluations == dict(points.select("label", "evaluation_id").unique().rows())


def test_corruptions_stand_by_their_largest_drop(
    con: duckdb.DuckDBPyConnection,
) -> None:
    (selection,) = select(con)
    points = read_curves(con, selection).points
    drops = [part["accuracy"][0] - part["accuracy"].min() for part in points.partition_by("corruption")]
    assert drops == sorted(drops, reverse=True)


def test_the_first_cell_is_that_of_the_lowest_accuracy(
    con: duckdb.DuckDBPyConnection,
) -> None:
    (selection,) = select(con)
    points = read_curves(con, selection).points
    cell = most_telling_cell(points)
    accuracy = {c: row["accuracy"] for c, row in zip(cells_of(points), points.rows(named=True), strict=True)}
    assert accuracy[cell] == min(accuracy.values())
    assert cell.stored_corruption == cell.corruption
    clean = cell._replace(severity=0.0)
    assert (clean.stored_corruption, clean.where) == ("none", "clean images")
    assert cell._replace(label="A", corruption_label="Fog", severity=2.5).name == "A, fog at severity 2.5"


def test_models_and_corruptions_are_chosen_in_the_order_of_the_selection(
    con: duckdb.DuckDBPyConnection,
) -> None:
    (selection,) = select(con)
    part = narrowed(selection, ["Beta"], ["fog", "contrast"])
    assert list(part.labels.values()) == ["Beta"]
    assert part.corruptions == tuple(name for name in selection.corruptions if name in ("fog", "contrast"))
    assert set(read_curves(con, part).points["corruption"]) == {"fog", "contrast"}
    with pytest.raises(StudyError, match="choose at least one model and one corruption"):
        narrowed(selection, [], ["fog"])


@pytest.mark.slow
def test_up_to_four_models_have_a_color_of_more_the_best_and_the_worst(tmp_path: Path) -> None:
    models = tuple(f"Net {number}" for number in range(5))
    write_synthetic(tmp_path, images=40, models=models, falls={"Net 1": 0.2, "Net 3": 2.0}, corruptions=("fog",))
    load([tmp_path], tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con:
        (selection,) = select(con)
        colors = read_curves(con, selection).colors
        assert colors == {"Net 0": GRAY, "Net 1": BLUE, "Net 2": GRAY, "Net 3": VERMILLION, "Net 4": GRAY}
        two = replace(selection, evaluations=selection.evaluations[:2])
        assert list(read_curves(con, two).colors.values()) == [BLUE, VERMILLION]


def test_a_selection_is_named_so_that_it_can_be_chosen(
    con: duckdb.DuckDBPyConnection,
) -> None:
    (selection,) = select(con)
    name = selection_name(selection)
    assert "Synthetic digits" in name
    assert "Alpha and Beta" in name
    assert selection.ids[0] in name
