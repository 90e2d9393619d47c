"""The chart of both axes of shape: its points are the table's, its title the finding, in every layout."""

import duckdb
import pytest

from failmodes.analysis.charts.distortion_shapes import AXIS_NAMES, MEANINGS, axis_pairs, chart
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.selection import select_one


def points_of(figure: Figure) -> list[dict]:
    """The rows of the curves."""
    (rows,) = figure.to_dict()["datasets"].values()
    return [row for row in rows if row["label"] is not None]


def test_points_are_the_rows_of_the_table(bent_axis: duckdb.DuckDBPyConnection) -> None:
    selection = select_one(bent_axis)
    figure = chart(bent_axis, selection)
    points = {(row["corruption"], row["panel"]): row for row in points_of(figure)}
    pairs = axis_pairs(bent_axis, selection)
    assert points.keys() == {(over["corruption"], f"Over {AXIS_NAMES[over['axis']]}") for _, over in pairs}
    for severity, over in pairs:
        point = points[over["corruption"], f"Over {AXIS_NAMES[over['axis']]}"]
        assert (point["curvature"], point["over_severity"]) == pytest.approx((over["curvature"], severity["curvature"]))
    assert points["fog", "Over RMSE"]["verdict"] == MEANINGS["supported"]
    assert "supported for 1 of 3\u00a0curves" in figure.title
