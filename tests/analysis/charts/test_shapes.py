"""Shape space: flat curves are counted where there are many networks."""

import duckdb

from failmodes.analysis.charts.drawing import CHARTS
from failmodes.analysis.selection import Selection


def test_flat_curves_are_counted(many_con: duckdb.DuckDBPyConnection, many_selection: Selection) -> None:
    spec = CHARTS["shapes"](many_con, many_selection).to_dict()
    assert "not shown, because flat: 4\u00a0curves of 2 networks" in spec["usermeta"]["subtitle"]
