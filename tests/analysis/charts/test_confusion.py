"""Confusion matrices: of the worst cell, against one counted by hand, and of many classes the commonest confusions."""

import duckdb
import pytest
from sklearn.metrics import confusion_matrix

from failmodes.analysis.charts.confusion import chart
from failmodes.analysis.selection import Selection


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
