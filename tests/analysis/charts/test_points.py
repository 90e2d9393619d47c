"""What charts draw is what the warehouse holds: points are rows of a view, or counted from the images."""

import duckdb
import pytest
from sklearn.metrics import confusion_matrix

from failmodes.analysis.chart_registry import draw_selection
from failmodes.analysis.selection import Selection, select_one

# By chart: the columns of its points, and the rows that these must be
POINTS = {
    "attention": (
        ("label", "corruption", "severity", "accuracy", "shift", "null"),
        "select model_label, corruption, severity::double, accuracy, median_centroid_shift, "
        "null_median_centroid_shift from attention_drift",
    ),
    "object-attention": (
        ("label", "severity", "mean_mask_share", "null_mean_mask_share", "even_mask_share"),
        "select distinct model_label, severity::double, mean_mask_share, null_mean_mask_share, even_mask_share "
        "from attention_on_object",
    ),
    "shapes": (
        ("label", "drop", "curvature"),
        "select model_label, 100 * total_drop, curvature from shapes join evaluation_labels using (evaluation_id) "
        "where curvature is not null",
    ),
    "drops": (
        ("label", "accuracy", "clean_accuracy", "drop_points"),
        "select model_label, accuracy, clean_accuracy, 100 * (clean_accuracy - accuracy) from accuracy_by_severity "
        "where severity > 0",
    ),
    "distortion": (
        ("series", "corruption", "severity", "mean"),
        "select distinct 'RMSE', corruption_label, severity::double, mean_rmse from distortion_by_severity",
    ),
}


@pytest.mark.parametrize("name", POINTS)
def test_points_are_rows_of_the_warehouse(con: duckdb.DuckDBPyConnection, name: str) -> None:
    columns, query = POINTS[name]
    tables = draw_selection(name, con, select_one(con)).to_dict()["datasets"].values()
    stored = sorted(set(con.execute(query).fetchall()))
    drawn = {tuple(row.get(column) for column in columns) for rows in tables for row in rows}
    shown = sorted(point for point in drawn if None not in point and point[0] in {row[0] for row in stored})
    assert len(shown) == len(stored) > 5
    for point, row in zip(shown, stored, strict=True):
        assert [*point] == [pytest.approx(value) if isinstance(value, float) else value for value in row]


def test_the_confusion_matrix_is_that_of_the_cell_of_the_lowest_accuracy(
    con: duckdb.DuckDBPyConnection, selection: Selection
) -> None:
    (worst,) = con.sql(
        "select corruption, severity, accuracy from accuracy_by_severity where model_label = 'Alpha' and severity > 0 "
        "order by accuracy limit 1"
    ).fetchall()
    images = con.sql(
        "select label, predicted from outcomes where evaluation_id = ? and corruption = ? and severity = ?",
        params=[selection.ids[0], *worst[:2]],
    ).pl()
    by_hand = confusion_matrix(images["label"], images["predicted"], normalize="true")
    spec = draw_selection("confusion", con, selection).to_dict()
    (rows,) = spec["datasets"].values()
    shares = {(row["label"], row["place"]): row["share_of_label"] for row in rows}
    assert shares == pytest.approx({
        (i, j): share for i, row in enumerate(by_hand) for j, share in enumerate(row) if share
    })  # fmt: skip
    assert f"Alpha {100 * worst[2]:.1f}% under " in spec["usermeta"]["title"]
