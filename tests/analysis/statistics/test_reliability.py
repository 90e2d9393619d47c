"""Reliability pooled over corruptions: the bins of the view, and intervals that count an image once."""

import duckdb
import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest

from failmodes.analysis.selection import Selection, read_for_selection
from failmodes.analysis.statistics.reliability import accuracy_interval, pooled_reliability

EVERY = np.ones((40, 1), bool)


def wilson(correct: int, count: int) -> tuple[float, float]:
    ends = binomtest(correct, count).proportion_ci(0.95, "wilson")
    return ends.low, ends.high


def test_of_one_cell_it_is_wilsons() -> None:
    correct = np.arange(40)[:, None] < 30
    assert accuracy_interval(EVERY, correct) == pytest.approx(wilson(30, 40))
    inside = np.arange(40)[:, None] >= 20
    assert accuracy_interval(inside, correct) == pytest.approx(wilson(10, 20))


def test_copies_of_a_cell_add_nothing_and_other_images_do() -> None:
    correct, inside = np.tile(np.arange(40)[:, None] < 30, (1, 3)), np.tile(EVERY, (1, 3))
    assert accuracy_interval(inside, correct) == pytest.approx(wilson(30, 40))
    assert accuracy_interval(inside, correct, shares_images=False) == pytest.approx(wilson(90, 120))
    assert accuracy_interval(inside, ~inside) == pytest.approx(wilson(0, 40)), "images count and not predictions"
    either = np.tile([True, False], (40, 1))  # of each image one: no image differs from another
    assert accuracy_interval(np.ones((40, 2), bool), either) == pytest.approx(wilson(40, 80))


def test_bins_are_those_of_the_view_pooled(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    found = pooled_reliability(con, selection)
    view = read_for_selection(con, "reliability_bins", selection).filter(
        (pl.col("severity") > 0) | (pl.col("corruption") == selection.corruptions[0])
    )
    weight = pl.col("image_count")
    expected = view.group_by("label", "severity", "bin_index").agg(
        count=weight.sum(),
        mean_confidence=(pl.col("mean_confidence") * weight).sum() / weight.sum(),
        accuracy=(pl.col("accuracy") * weight).sum() / weight.sum(),
    )
    both = found.join(expected, on=["label", "severity", "bin_index"], how="full", suffix="_expected")
    assert len(both) == len(found) == len(expected)
    for name in ("count", "mean_confidence", "accuracy"):
        assert both[name].to_numpy() == pytest.approx(both[f"{name}_expected"].to_numpy(), rel=1e-6)
    clean = found.filter(severity=0).join(view.filter(severity=0), on=["label", "bin_index"], suffix="_of_view")
    for name in ("accuracy_low", "accuracy_high"):
        assert clean[name].to_numpy() == pytest.approx(clean[f"{name}_of_view"].to_numpy())
