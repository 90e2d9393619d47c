"""Attention drift: what is drawn, and the color and dash of a corruption."""

import duckdb

from failmodes.analysis.charts.attention import chart
from failmodes.analysis.selection import select_one


def test_paths_are_those_of_the_view_and_end_beside_their_names(con: duckdb.DuckDBPyConnection) -> None:
    figure = chart(con, select_one(con))
    (rows,) = figure.to_dict()["datasets"].values()
    stored = con.sql(
        "select model_label, corruption, severity::double, accuracy, median_centroid_shift, "
        "null_median_centroid_shift from attention_drift"
    ).fetchall()
    columns = ("label", "corruption", "severity", "accuracy", "shift", "null")
    assert sorted(tuple(row[name] for name in columns) for row in rows) == sorted(stored)
    named = [row for row in rows if row["text"]]
    assert named
    assert all(row["severity"] == 5 and row["text"] == row["name"] for row in named)
