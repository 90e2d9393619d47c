"""What the pointer tells of a mark is in words: named fields, points for differences, no identifiers."""

import duckdb
import pytest

from failmodes.analysis.chart_registry import draw_selection
from failmodes.analysis.selection import select_one


def test_a_drop_is_named_in_points(con: duckdb.DuckDBPyConnection) -> None:
    spec = draw_selection("drops", con, select_one(con)).to_dict()
    rows = [row for rows in spec["datasets"].values() for row in rows if row.get("drop_points") is not None]
    assert len(rows) > 20
    for row in rows:
        assert row["drop_points"] == pytest.approx(100 * (row["clean_accuracy"] - row["accuracy"]))
