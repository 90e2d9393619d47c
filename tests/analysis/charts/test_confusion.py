"""Confusion matrices: of the worst cell, against one counted by hand, and of many classes the commonest confusions."""

from pathlib import Path

import duckdb
import polars as pl
import pytest
from sklearn.metrics import confusion_matrix
from synthetic_results import write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.charts.confusion import MOST_CLASSES, chart
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load


def test_it_is_that_of_the_cell_of_the_lowest_accuracy(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    spec = chart(con, selection).to_dict()
    (worst,) = con.sql(
        "select corruption, severity, accuracy from accuracy_by_severity where model_label = 'Alpha' and severity > 0 "
        "order by accuracy limit 1"
    ).fetchall()
    images = con.sql(
        "select label, predicted from outcomes where evaluation_id = ? and corruption = ? and severity = ?",
        params=[selection.ids[0], *worst[:2]],
    ).pl()
    by_hand = confusion_matrix(images["label"], images["predicted"], normalize="true")
    (rows,) = spec["datasets"].values()
    shares = {(row["label"], row["place"]): row["share_of_label"] for row in rows}
    assert shares == pytest.approx({
        (i, j): share for i, row in enumerate(by_hand) for j, share in enumerate(row) if share
    })  # fmt: skip
    assert f"Alpha {100 * worst[2]:.1f}% under " in spec["usermeta"]["title"]


@pytest.mark.slow
def test_of_many_classes_those_of_the_most_common_confusions_are_shown_and_it_says_so(tmp_path: Path) -> None:
    write_synthetic(tmp_path, images=300, models=("Alpha",), classes=30)
    load([tmp_path], tmp_path / "warehouse.duckdb")
    ensure_shapes(tmp_path / "warehouse.duckdb", ShapeSettings(resamples=50))
    with open_warehouse(tmp_path / "warehouse.duckdb") as con:
        spec = chart(con, select_one(con)).to_dict()
    (rows,) = spec["datasets"].values()
    data = pl.DataFrame(rows)
    assert data["label_name"].n_unique() <= MOST_CLASSES
    assert data["prediction"].n_unique() <= MOST_CLASSES
    assert "of more than 12 classes those in the most frequent confusions" in spec["usermeta"]["subtitle"]
