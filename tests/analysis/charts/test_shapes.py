"""Shape space: shapes are counted where they are shown, and curves that do not drop are left out."""

from collections import Counter

import duckdb

from failmodes.analysis.charts.shapes import chart
from failmodes.analysis.selection import Selection, read_for_selection
from failmodes.warehouse.database_schema import SHAPE_LABELS


def test_titles_count_shapes_and_points_are_the_rows_of_the_table(
    con: duckdb.DuckDBPyConnection, many_con: duckdb.DuckDBPyConnection, selection: Selection, many_selection: Selection
) -> None:
    for of, shown in ((con, selection), (many_con, many_selection)):
        figure = chart(of, shown)
        rows = read_for_selection(of, "shapes", shown)
        drop = rows.filter(rows["curvature"].is_not_null())
        assert f"{len(drop)}\u00a0curves that drop" in figure.title
        for shape, count in Counter(drop["shape"]).items():
            assert f"{count} {SHAPE_LABELS[shape]}" in figure.title
        assert f"no drop is supported: {len(rows) - len(drop)}\u00a0curve" in figure.subtitle
        tables = figure.to_dict()["datasets"].values()
        points = next(rows for rows in tables if len(rows) == len(drop))
        assert sorted(row["drop"] for row in points) == sorted(100 * drop["total_drop"])
