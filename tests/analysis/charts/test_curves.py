"""Charts: each draws, within its limits, saves in every format, and says in its title what its data say."""

import duckdb
from synthetic_record import Synthetic

from failmodes.analysis.charts.drawing import CHARTS
from failmodes.analysis.selection import Selection


def test_title_of_the_curves_names_the_dearest_corruption(
    con: duckdb.DuckDBPyConnection, selection: Selection, synthetic: Synthetic
) -> None:
    finding = CHARTS["curves"](con, selection).to_dict()["usermeta"]["finding"]
    right = synthetic.correct["Alpha", "gaussian_noise"].mean(axis=1)
    assert finding.startswith("Gaussian noise costs Alpha most")
    assert f"{100 * (right[0] - right[-1]):.1f}\u00a0points" in finding
