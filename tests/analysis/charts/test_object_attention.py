"""Attention on the object: what is drawn, and what the title says of it."""

import re

import duckdb

from failmodes.analysis.charts.object_attention import chart
from failmodes.analysis.selection import Selection, select_one


def test_shares_stand_beside_both_nulls(con: duckdb.DuckDBPyConnection) -> None:
    (rows,) = chart(con, select_one(con)).to_dict()["datasets"].values()
    stored = con.sql(
        "select distinct model_label, severity::double as severity, mean_mask_share, null_mean_mask_share, "
        "even_mask_share from attention_on_object"
    ).fetchall()
    found = {
        (row["label"], row["severity"], row["mean_mask_share"], row["null_mean_mask_share"], row["even_mask_share"])
        for row in rows
    }
    assert found == set(stored)
    assert all(row["share_low"] < row["mean_mask_share"] < row["share_high"] for row in rows)


def test_the_title_says_how_much_attention_leaves_the_object(
    con: duckdb.DuckDBPyConnection, selection: Selection
) -> None:
    """Synthetic shares are .5 when clean, .35 at the end, and .3 of another image's map."""
    title = chart(con, selection).title
    for label in selection.labels.values():
        assert re.search(rf"1[3-7]\.\d\xa0points \[.*\] of the attention of {label} leave the object", title)
