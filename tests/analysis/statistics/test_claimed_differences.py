"""Claimed differences: by hand, beside the ranking of costs, the comparison of models and that of training seeds."""

from math import sqrt

import duckdb
import numpy as np
import pytest
from given_runs import given_model, given_run
from scipy import stats
from synthetic_results import Synthetic

from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.bootstrap import CorrectnessMatrix, Estimate, read_correctness
from failmodes.analysis.statistics.claimed_differences import (
    accuracy_of,
    claimed_severities,
    drop_difference,
    drop_of,
    mean_accuracy,
    read_training_runs,
    trained_model_difference,
    training_runs,
)
from failmodes.analysis.statistics.model_accuracy import rank_drops
from failmodes.analysis.statistics.model_pairs import compare_models_of
from failmodes.analysis.trained_models import trained_models

Z = float(stats.norm.ppf(0.975))
NAMES = ["contrast", "fog"]


def matrix(images: int = 60, *, paired: bool = True) -> CorrectnessMatrix:
    cells = [("none", 0.0), *(("fog", s) for s in (1.0, 2.5, 5.0)), *(("contrast", s) for s in (1.0, 5.0))]
    correct = np.random.default_rng(3).random((images, len(cells))) < [0.9, 0.8, 0.7, 0.4, 0.7, 0.3]
    return CorrectnessMatrix("one", paired, cells, correct)


def newcombe(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Method 10 of Newcombe 1998, by the letters of the paper."""
    n = len(first)
    a, b, c, d = ((first & second).sum(), (first & ~second).sum(), (~first & second).sum(), (~first & ~second).sum())
    ends = []
    for correct in (a + b, a + c):
        p = correct / n
        center, half = 2 * correct + Z**2, Z * sqrt(Z**2 + 4 * correct * (1 - p))
        ends.append((p, (center - half) / (2 * (n + Z**2)), (center + half) / (2 * (n + Z**2))))
    (p1, l1, u1), (p2, l2, u2) = ends
    product = (a + b) * (c + d) * (a + c) * (b + d)
    numerator = a * d - b * c
    numerator = max(numerator - n / 2, 0) if numerator > 0 else numerator
    phi = 0.0 if not product else numerator / sqrt(product)
    low = sqrt((p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2)
    high = sqrt((p2 - l2) ** 2 - 2 * phi * (p2 - l2) * (u1 - p1) + (u1 - p1) ** 2)
    return p1 - p2 - low, p1 - p2 + high


def bonett_price(values: np.ndarray) -> tuple[float, float]:
    """Mean and normal interval of values with two made-up ones, 1 and -1."""
    all_values = np.append(values, [1, -1])
    half = Z * sqrt(all_values.var() / len(all_values))
    return all_values.mean() - half, all_values.mean() + half


def test_a_drop_at_one_severity_is_newcombes() -> None:
    correct = matrix().correct
    found = drop_of(matrix(), "fog", 5.0, 0.95)
    assert found == pytest.approx(
        (correct[:, 0].mean() - correct[:, 3].mean(), *newcombe(correct[:, 0], correct[:, 3]))
    )
    assert drop_of(matrix(), "fog", "last", 0.95) == found


def test_an_accuracy_in_one_cell_is_exact() -> None:
    correct = int(matrix().correct[:, 3].sum())
    interval = stats.binomtest(correct, 60).proportion_ci(0.95, method="exact")
    for at in (5.0, "last"):
        assert accuracy_of(matrix(), ["fog"], at, 0.95) == pytest.approx((correct / 60, interval.low, interval.high))
    clean = int(matrix().correct[:, 0].sum())
    interval = stats.binomtest(clean, 60).proportion_ci(0.95, method="exact")
    assert accuracy_of(matrix(), [], "average", 0.95) == pytest.approx((clean / 60, interval.low, interval.high))
    assert accuracy_of(matrix(), ["fog"], 2.0, 0.95) is None
    assert accuracy_of(matrix(), ["fog", "snow"], "average", 0.95) is None


def test_a_mean_accuracy_is_that_of_everywhere() -> None:
    found = accuracy_of(matrix(), ["fog", "contrast"], "average", 0.95)
    assert found == mean_accuracy(matrix(), [[1, 3], [4, 5]], 0.95)


def test_an_average_drop_is_over_whole_severities() -> None:
    correct = matrix().correct.astype(float)
    values = correct[:, 0] - correct[:, [1, 3]].mean(axis=1)
    assert drop_of(matrix(), "fog", "average", 0.95) == pytest.approx((values.mean(), *bonett_price(values)))


def test_a_difference_of_drops_is_of_severities_that_both_have() -> None:
    correct = matrix().correct
    values = correct[:, [4, 5]].mean(axis=1) - correct[:, [1, 3]].mean(axis=1)
    found = drop_difference(matrix(), "fog", "contrast", "average", 0.95)
    assert found == pytest.approx((values.mean(), *bonett_price(values)))
    at_last = drop_difference(matrix(), "fog", "contrast", 5.0, 0.95)
    assert at_last == pytest.approx(
        (correct[:, 5].mean() - correct[:, 3].mean(), *newcombe(correct[:, 5], correct[:, 3]))
    )
    assert drop_difference(matrix(), "fog", "contrast", 2.5, 0.95) is None
    assert drop_difference(matrix(), "fog", "snow", "last", 0.95) is None


@pytest.mark.parametrize("paired", [True, False])
def test_differences_are_those_of_the_ranking(paired: bool) -> None:
    one = matrix(paired=paired)._replace(cells=[("none", 0.0), *((c, s) for c in NAMES for s in (1.0, 5.0))],
                                         correct=matrix().correct[:, [0, 4, 5, 1, 3]])  # fmt: skip
    ranking = rank_drops(given_model(given_run(one.correct, one.cells, shares_images=paired)), NAMES, NAMES, 0.95)
    first, second = (drop.corruption for drop in ranking.drops)
    assert drop_difference(one, first, second, "last", 0.95) == ranking.leads[0]
    first, second = (drop.corruption for drop in ranking.by_average)
    assert drop_difference(one, first, second, "average", 0.95) == ranking.average_leads[0]
    for drop in ranking.drops:
        assert drop_of(one, drop.corruption, "last", 0.95) == drop.at_last
        assert drop_of(one, drop.corruption, "average", 0.95) == drop.on_average


def test_models_on_average_are_compared_as_in_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    (pair,) = compare_models_of(con, selection)
    a, b = (training_runs([read_correctness(con, one.runs[0].evaluation_id)]) for one in (pair.a, pair.b))
    assert trained_model_difference(a, b, selection.averaged, "average", 0.95) == pytest.approx(pair.difference)


def test_models_in_one_cell_are_newcombes(con: duckdb.DuckDBPyConnection, synthetic: Synthetic) -> None:
    matrices = [read_correctness(con, synthetic.evaluations[name]) for name in ("Alpha", "Beta")]
    a, b = (training_runs([one]) for one in matrices)
    for found, severity in (
        (trained_model_difference(a, b, (), "average", 0.95), 0),
        (trained_model_difference(a, b, ("fog",), 3.0, 0.95), 3),
        (trained_model_difference(a, b, ("fog",), "last", 0.95), 5),
    ):
        one, other = (synthetic.correct[name, "fog"][severity] for name in ("Alpha", "Beta"))
        assert found == pytest.approx((one.mean() - other.mean(), *newcombe(one, other)))
    assert trained_model_difference(a, b, ("fog",), 2.5, 0.95) is None
    assert trained_model_difference(a, b, ("snow",), "average", 0.95) is None


def test_models_of_several_seeds_are_compared_over_them(
    seeded_con: duckdb.DuckDBPyConnection, seeded: Selection
) -> None:
    (pair,) = (one for one in compare_models_of(seeded_con, seeded) if one.is_about_training)
    a, b = (read_training_runs(seeded_con, model) for model in (pair.a, pair.b))
    assert trained_model_difference(a, b, seeded.averaged, "average", 0.95) == pytest.approx(pair.difference)
    under_fog = trained_model_difference(a, b, ("fog",), 5.0, 0.95)
    assert under_fog is not None
    column = a.curves["fog"][5.0]
    means = [runs.correct[:, :, column].mean(axis=1) for runs in (a, b)]
    assert under_fog.value == pytest.approx(means[0].mean() - means[1].mean())
    assert under_fog.high - under_fog.low > 2 * Z * sqrt(sum(mean.var(ddof=1) / 3 for mean in means))


def test_one_run_beside_several_is_over_images_alone(seeded_con: duckdb.DuckDBPyConnection, seeded: Selection) -> None:
    models = {model.label: model for model in trained_models(seeded.evaluations)}
    fir, loner = (read_training_runs(seeded_con, models[name]) for name in ("Fir", "Loner"))
    found = trained_model_difference(fir, loner, ("fog",), 5.0, 0.95)
    columns = fir.curves["fog"][5.0], loner.curves["fog"][5.0]
    values = fir.correct[:, :, columns[0]].mean(axis=0) - loner.correct[0, :, columns[1]]
    assert found == pytest.approx((values.mean(), *bonett_price(values)))


def test_severities_of_a_claim() -> None:
    grids = [{0.0: 0, 1.0: 1, 2.5: 2, 5.0: 3}, {0.0: 0, 1.0: 4, 5.0: 5}]
    assert claimed_severities(grids, "average") == [1.0, 5.0]
    assert claimed_severities(grids[:1], 2.5) == [2.5]
    assert claimed_severities(grids, "last") == [5.0]
    assert claimed_severities(grids, 2.5) == []
    assert claimed_severities([{0.0: 0, 0.5: 1, 2.5: 2}], "average") == [0.5, 2.5]
    assert claimed_severities([{0.0: 0}], "average") == []


def test_an_estimate_of_no_difference_has_a_width() -> None:
    one = matrix()
    same = one._replace(correct=np.repeat(one.correct[:, :1], 6, axis=1))
    for at in ("last", "average"):
        found = drop_difference(same, "fog", "contrast", at, 0.95)
        assert isinstance(found, Estimate)
        assert found.low < 0 < found.high
