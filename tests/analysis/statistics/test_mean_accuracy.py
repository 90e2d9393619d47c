"""Mean accuracies: the values of the views, intervals by hand, and how often they hold."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from failmodes.analysis.selection import select_one
from failmodes.analysis.statistics.bootstrap import CorrectnessMatrix
from failmodes.analysis.statistics.claimed_differences import mean_accuracy
from failmodes.analysis.statistics.model_accuracy import run_accuracies
from failmodes.warehouse.database.connection import open_warehouse


def matrix(correct: np.ndarray, *, paired: bool = True) -> CorrectnessMatrix:
    cells = [("none", 0.0)] + [("fog", float(s)) for s in range(1, correct.shape[1])]
    return CorrectnessMatrix("e", paired, cells, correct)


def test_they_are_those_of_the_views(shaped_warehouse: Path) -> None:
    with open_warehouse(shaped_warehouse) as con:
        selection = select_one(con)
        found = run_accuracies(con, selection)
        overall = dict(con.sql("select evaluation_id, mean_corrupted_accuracy from robustness_by_model").fetchall())
        each = con.sql("select evaluation_id, corruption, 1 - mean_error from corruption_error_by_model").fetchall()
    by_id = {evaluation.evaluation_id: one for evaluation, one in found.items()}
    assert {key: one.corrupted and one.corrupted.value for key, one in by_id.items()} == pytest.approx(overall)
    for evaluation_id, corruption, accuracy in each:
        estimate = by_id[evaluation_id].by_corruption[corruption]
        assert estimate.value == pytest.approx(accuracy)
        assert estimate.low < accuracy < estimate.high
    assert all(one.worst == min(one.by_corruption, key=lambda c: one.by_corruption[c].value) for one in found.values())


def test_of_one_cell_the_interval_is_exact() -> None:
    correct = np.arange(50)[:, None] < 45
    low, high = stats.binomtest(45, 50).proportion_ci(0.9, method="exact")
    assert mean_accuracy(matrix(correct), [[0]], 0.9) == pytest.approx((0.9, low, high))


def test_of_several_it_is_that_of_the_means_of_images_and_two_more() -> None:
    correct = np.random.default_rng(3).random((40, 4)) < 0.7
    each = np.append(
        correct[:, 1:].mean(axis=1), [0, 1]
    )  # one more image that is wrong everywhere, one right everywhere
    half = stats.norm.ppf(0.975) * stats.sem(each, ddof=0)
    value, low, high = mean_accuracy(matrix(correct), [[1, 2, 3]], 0.95)
    assert value == pytest.approx(correct[:, 1:].mean())
    assert (low, high) == pytest.approx((each.mean() - half, each.mean() + half))


def test_groups_count_alike_whatever_their_size() -> None:
    correct = np.array([[True, True, False, False]] * 10)
    assert mean_accuracy(matrix(correct), [[1], [2, 3]], 0.95).value == pytest.approx(0.5)


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "unpaired"])
@pytest.mark.parametrize("share", [0.3, 0.95])
def test_the_interval_holds_in_about_95_of_100_samples(share: float, paired: bool) -> None:
    rng, held, samples = np.random.default_rng(0), 0, 1500
    limit = np.quantile(_population(), share)
    for _ in range(samples):
        difficulty = rng.random((60, 1 if paired else 5))  # of one image the same in all cells
        correct = (0.6 * difficulty + 0.4 * rng.random((60, 5))) < limit
        estimate = mean_accuracy(matrix(correct, paired=paired), [[1, 2, 3, 4]], 0.95)
        held += estimate.low <= share <= estimate.high
    assert 0.935 < held / samples < 0.985


def _population() -> np.ndarray:
    rng = np.random.default_rng(1)
    return 0.6 * rng.random(200_000) + 0.4 * rng.random(200_000)
