"""Severity curves: which models are in color, and what the title names."""

import duckdb
import numpy as np
import pytest
from synthetic_results import Synthetic

from failmodes.analysis.charts.curves import chart
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.selection import Selection


def rows_of(figure: Figure) -> list[dict]:
    """The rows of the chart's one table."""
    (rows,) = figure.to_dict()["datasets"].values()
    return rows


def test_points_are_the_cells_and_their_chord_is_straight(
    con: duckdb.DuckDBPyConnection, selection: Selection, synthetic: Synthetic
) -> None:
    points = [row for row in rows_of(chart(con, selection)) if row["chord"] is not None and row["corruption"] == "Fog"]
    accuracy = synthetic.correct["Alpha", "fog"].mean(axis=1)
    assert [row["accuracy"] for row in points] == pytest.approx(accuracy.tolist())
    assert [row["chord"] for row in points] == pytest.approx(np.linspace(accuracy[0], accuracy[-1], 6).tolist())
