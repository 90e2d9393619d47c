"""Severity curves: which models are in color, and what the title names."""

import duckdb
import numpy as np
import pytest
from checkpoint_comparisons import CORRUPTIONS, FALLS
from synthetic_results import Synthetic

from failmodes.analysis.charts.curves import chart
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.models import OTHERS
from failmodes.analysis.selection import Selection


def rows_of(figure: Figure) -> list[dict]:
    """The rows of the chart's one table."""
    (rows,) = figure.to_dict()["datasets"].values()
    return rows


def test_curves_color_the_most_and_the_least_accurate(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection, many_results: Synthetic
) -> None:
    means = {label: np.mean([many_results.correct[label, c][1:].mean() for c in CORRUPTIONS]) for label in FALLS}
    most, least = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    figure = chart(many_con, many_selection)
    series = {row["label"]: row["series"] for row in rows_of(figure) if row["label"]}
    assert series[most] == f"{most} (highest mean, {100 * means[most]:.1f}%)"
    assert series[least] == f"{least} (lowest mean, {100 * means[least]:.1f}%)"
    assert {label for label, name in series.items() if name == OTHERS} == set(FALLS) - {most, least}
    assert "of 6 models the highest and the lowest mean accuracy" in figure.subtitle


def test_points_are_the_cells_and_their_chord_is_straight(
    con: duckdb.DuckDBPyConnection, selection: Selection, synthetic: Synthetic
) -> None:
    points = [row for row in rows_of(chart(con, selection)) if row["chord"] is not None and row["corruption"] == "Fog"]
    accuracy = synthetic.correct["Alpha", "fog"].mean(axis=1)
    assert [row["accuracy"] for row in points] == pytest.approx(accuracy.tolist())
    assert [row["chord"] for row in points] == pytest.approx(np.linspace(accuracy[0], accuracy[-1], 6).tolist())
