"""Overconfidence of every cell over its finite rows, against the rows; reliability pooled over corruptions."""

from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from opened_results import opened
from rewritten_shards import cell_of, make_non_finite
from scipy import stats
from scipy.stats import binomtest
from synthetic_results import Synthetic

from failmodes.analysis.evaluations.selection import Selection, read_for_selection
from failmodes.analysis.statistics.calibration import (
    accuracy_interval,
    clean_calibration,
    overconfidence,
    overconfidence_by_corruption,
    pooled_reliability,
)

EVERY = np.ones((40, 1), bool)


def test_every_cell_agrees_with_its_rows(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    evaluation = selection.evaluations[0]
    found = overconfidence_by_corruption(con, selection, evaluation)
    assert {(cell.corruption, cell.severity) for cell in found} == {
        ("none", 0),
        *((c, 5) for c in selection.corruptions),
    }
    query = "select confidence, correct from outcomes where evaluation_id = ? and corruption = ? and severity = ?"
    for cell in found:
        rows = con.execute(query, [evaluation.evaluation_id, cell.corruption, cell.severity]).fetchnumpy()
        confidence = rows["confidence"]
        correct = rows["correct"]
        gaps = confidence - correct
        confident = confidence.mean()
        assert cell.overconfidence.value == pytest.approx(gaps.mean())
        exact = stats.binomtest(int(correct.sum()), 400).proportion_ci(1 - 0.05 / len(found), method="exact")
        half = stats.norm.ppf(1 - 0.025 / len(found)) * gaps.std() / 400**0.5
        ends = min(confident - exact.high, gaps.mean() - half), max(confident - exact.low, gaps.mean() + half)
        assert cell.overconfidence[1:3] == pytest.approx(ends)
    sizes = [abs(cell.overconfidence.value) for cell in found]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(("confidence", "cells", "signs"), [(0.95, 1, (True, False)), (0.6, 1, (False, True)),
                         (0.85, 1, (False, False)), (0.89, 1, (True, False)), (0.89, 50, (False, False))])  # fmt: skip
def test_verdicts_say_over_and_underconfident(confidence: float, cells: int, signs: tuple[bool, bool]) -> None:
    """Of 80 right in 100; of many cells some are so by chance."""
    found = overconfidence(confidence, 80, 100, cells=cells)
    assert (found.above_zero, found.below_zero) == signs


@pytest.mark.test_all
def test_confidence_and_accuracy_are_of_the_same_finite_rows(tmp_path: Path) -> None:
    def spoil(made: Synthetic) -> None:
        make_non_finite(made, cell_of(made, "Alpha", "fog", 5), range(20))
        make_non_finite(made, cell_of(made, "Alpha"))

    options = {"images": 60, "models": ("Alpha",), "corruptions": ("fog",), "severities": (5,)}
    with opened(tmp_path, spoil, **options) as it:
        (fog,) = overconfidence_by_corruption(*it.first)
        query = "select avg(confidence) from outcomes where severity = 5 and finite"
        ((confidence,),) = it.con.execute(query).fetchall()
        assert clean_calibration(*it.first) is None, "no clean row is finite"
    assert fog.overconfidence.n == 40
    assert fog.overconfidence.value == pytest.approx(confidence - it.made.correct["Alpha", "fog"][-1][20:].mean())


def wilson(correct: int, count: int) -> tuple[float, float]:
    ends = binomtest(correct, count).proportion_ci(0.95, "wilson")
    return ends.low, ends.high


def test_of_one_cell_it_is_wilsons() -> None:
    correct = np.arange(40)[:, None] < 30
    assert accuracy_interval(EVERY, correct) == pytest.approx(wilson(30, 40))
    inside = np.arange(40)[:, None] >= 20
    assert accuracy_interval(inside, correct) == pytest.approx(wilson(10, 20))


def test_copies_of_a_cell_add_nothing_and_other_images_do() -> None:
    correct = np.tile(np.arange(40)[:, None] < 30, (1, 3))
    inside = np.tile(EVERY, (1, 3))
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
