"""The chart of both axes of shape: its points are the table's, its title the finding, in every layout."""

import json
import shutil
from pathlib import Path

import duckdb
import pytest
from synthetic_results import write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.charts.distortion_shapes import axes_verdict, axis_pairs, distortion_shapes_sentence
from failmodes.analysis.charts.drawing import CHARTS
from failmodes.analysis.charts.style.theme import CHART_SIZES
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.shape_tables import ShapeSettings
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import WarehouseError

DRAW = CHARTS["distortion-shapes"]
STEADY = {"shape": "near_linear", "stability": 1.0, "curvature_low": 0.0, "curvature_high": 0.1, "reason": None}
LATE = STEADY | {"shape": "late"}
OPEN = STEADY | {"shape": "inconclusive", "stability": 0.9}


def rows_of(spec: dict, field: str) -> list[dict]:
    """Rows of all data sets of a chart that have a field."""
    return [row for rows in spec["datasets"].values() for row in rows if field in row]


@pytest.mark.parametrize("size", CHART_SIZES)
def test_points_are_the_rows_of_the_table(bent_axis: duckdb.DuckDBPyConnection, size: str) -> None:
    selection = select_one(bent_axis)
    spec = DRAW(bent_axis, selection, size=CHART_SIZES[size]).to_dict()
    points = {(row["corruption"], row["axis"]): row for row in rows_of(spec, "verdict")}
    pairs = axis_pairs(bent_axis, selection)
    assert points.keys() == {(over["corruption"], over["axis"]) for _, over in pairs}
    for severity, over in pairs:
        point = points[over["corruption"], over["axis"]]
        assert (point["curvature"], point["severity_curvature"]) == pytest.approx(
            (over["curvature"], severity["curvature"])
        )
    assert points["fog", "rmse"]["verdict"] == "supported"


def test_the_title_is_the_finding(bent_axis: duckdb.DuckDBPyConnection) -> None:
    selection = select_one(bent_axis)
    spec = DRAW(bent_axis, selection).to_dict()
    assert spec["usermeta"]["finding"] == distortion_shapes_sentence(bent_axis, selection)
    text = json.dumps(spec, ensure_ascii=False)
    assert "Fog" in text
    assert "1\u00a0\u2212\u00a0SSIM" in text
    assert "another shape over distortion" in text


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
        spec = DRAW(con, selection).to_dict()
        pairs = axis_pairs(con, selection)
    left = {over["corruption"] for _, over in axis_pairs(bent_axis, select_one(bent_axis))} - {"fog"}
    assert left
    assert {over["corruption"] for _, over in pairs} == left
    assert {row["corruption"] for row in rows_of(spec, "verdict")} == left


def test_many_models_lie_gray_behind_two(many_con: duckdb.DuckDBPyConnection, many_selection: Selection) -> None:
    spec = DRAW(many_con, many_selection).to_dict()
    colors = {row["color"] for row in rows_of(spec, "verdict")}
    assert len(colors) <= 3
    assert "In color: of" in spec["usermeta"]["subtitle"]


@pytest.mark.slow
def test_without_distortion_it_says_why_there_is_none(tmp_path: Path) -> None:
    write_synthetic(tmp_path, images=60, models=("Alpha",), paired=False)
    load([tmp_path], tmp_path / "w.duckdb")
    ensure_shapes(tmp_path / "w.duckdb", ShapeSettings(resamples=50))
    with (
        open_warehouse(tmp_path / "w.duckdb") as con,
        pytest.raises(WarehouseError, match="the table shapes_over_distortion says why"),
    ):
        DRAW(con, select_one(con))


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
    sentence = distortion_shapes_sentence(bent_axis, selection)
    assert sentence.startswith("Under fog Alpha is abrupt over severity but near-linear over RMSE: curvature ")
    assert sentence.endswith("; the axes disagree for 1 of 3\u00a0curves")


def test_where_the_axes_agree_it_is_said(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    verdicts = [axes_verdict(*pair) for pair in axis_pairs(con, selection)]
    assert "supported" not in verdicts
    sentence = distortion_shapes_sentence(con, selection)
    assert (
        "No curve is shown to have another shape over RMSE and 1\u00a0\u2212\u00a0SSIM than over severity" in sentence
    )
    assert f"{verdicts.count('contradicted')} alike" in sentence
    judged = {over["corruption"] for _, over in axis_pairs(con, selection)}
    assert judged == {"fog", "contrast", "motion_blur"}, "the others do not fall"
