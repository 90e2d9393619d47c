"""The chart of both axes of shape: its points are the table's, its title the finding, in every layout."""

import shutil
from pathlib import Path

import duckdb
import pytest
from synthetic_results import write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.charts.distortion_shapes import AXIS_NAMES, MEANINGS, axes_verdict, axis_pairs, chart
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import FRAMES
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.shape_tables import ShapeSettings
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import WarehouseError

STEADY = {"shape": "near_linear", "stability": 1.0, "curvature_low": 0.0, "curvature_high": 0.1, "reason": None}
LATE = STEADY | {"shape": "late"}
OPEN = STEADY | {"shape": "inconclusive", "stability": 0.9}


def points_of(figure: Figure) -> list[dict]:
    """The rows of the curves."""
    (rows,) = figure.to_dict()["datasets"].values()
    return [row for row in rows if row["label"] is not None]


@pytest.mark.parametrize("layout", FRAMES)
def test_points_are_the_rows_of_the_table(bent_axis: duckdb.DuckDBPyConnection, layout: str) -> None:
    selection = select_one(bent_axis)
    figure = chart(bent_axis, selection, frame=FRAMES[layout])
    points = {(row["corruption"], row["panel"]): row for row in points_of(figure)}
    pairs = axis_pairs(bent_axis, selection)
    assert points.keys() == {(over["corruption"], f"Over {AXIS_NAMES[over['axis']]}") for _, over in pairs}
    for severity, over in pairs:
        point = points[over["corruption"], f"Over {AXIS_NAMES[over['axis']]}"]
        assert (point["curvature"], point["over_severity"]) == pytest.approx((over["curvature"], severity["curvature"]))
    assert points["fog", "Over RMSE"]["verdict"] == MEANINGS["supported"]
    assert "supported for 1 of 3\u00a0curves" in figure.title


def test_curves_without_a_curvature_over_severity_are_left_out(
    bent_axis: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    """A curve may have a shape that falls over distortion alone."""
    ((path,),) = bent_axis.execute("select path from duckdb_databases() where path is not null").fetchall()
    copy = Path(shutil.copy(path, tmp_path))
    with duckdb.connect(copy) as con:
        con.execute(
            "update shapes_over_distortion set shape = 'inconclusive', curvature = null, curvature_low = null, "
            "curvature_high = null where axis = 'severity' and corruption = 'fog'"
        )
    with open_warehouse(copy) as con:
        selection = select_one(con)
        points = points_of(chart(con, selection))
        pairs = axis_pairs(con, selection)
    left = {over["corruption"] for _, over in axis_pairs(bent_axis, select_one(bent_axis))} - {"fog"}
    assert left
    assert {over["corruption"] for _, over in pairs} == left
    assert {row["corruption"] for row in points} == left


def test_many_models_lie_gray_behind_two(many_con: duckdb.DuckDBPyConnection, many_selection: Selection) -> None:
    figure = chart(many_con, many_selection)
    assert len({row["series"] for row in points_of(figure)}) <= 3
    assert "In color: of" in figure.subtitle


@pytest.mark.slow
def test_without_distortion_it_says_why_there_is_none(tmp_path: Path) -> None:
    write_synthetic(tmp_path, images=60, models=("Alpha",), paired=False)
    load([tmp_path], tmp_path / "w.duckdb")
    ensure_shapes(tmp_path / "w.duckdb", ShapeSettings(resamples=50))
    with (
        open_warehouse(tmp_path / "w.duckdb") as con,
        pytest.raises(WarehouseError, match="the table shapes_over_distortion says why"),
    ):
        chart(con, select_one(con))


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        (LATE, STEADY, "supported"),
        (LATE, LATE, "contradicted"),
        (LATE, OPEN, "inconclusive"),
        (OPEN, LATE, "inconclusive"),
    ],
)
def test_both_words_must_be_shown(first: dict, second: dict, verdict: str) -> None:
    assert axes_verdict(first, second) == verdict


def test_of_the_largest_change_both_shapes_are_told(bent_axis: duckdb.DuckDBPyConnection) -> None:
    selection = select_one(bent_axis)
    verdicts = [(over["corruption"], over["axis"], axes_verdict(severity, over))
                for severity, over in axis_pairs(bent_axis, selection)]  # fmt: skip
    assert verdicts[0] == ("fog", "rmse", "supported")
    assert ("fog", "1-ssim", "contradicted") in verdicts
    assert [axis for corruption, axis, _ in verdicts if corruption == "contrast"] == ["1-ssim"]
    reasons = bent_axis.execute(
        "select reason from shapes_over_distortion where corruption = 'contrast' and axis = 'rmse'"
    ).fetchall()
    assert reasons == [("mean RMSE falls from severity 3 to 4",)]


def test_where_the_axes_agree_it_is_said(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    verdicts = [axes_verdict(*pair) for pair in axis_pairs(con, selection)]
    assert "supported" not in verdicts
    judged = {over["corruption"] for _, over in axis_pairs(con, selection)}
    assert judged == {"fog", "contrast", "motion_blur"}, "the others do not fall"
