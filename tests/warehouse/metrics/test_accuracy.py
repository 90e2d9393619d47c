"""Accuracy and its kin against scikit-learn, SciPy and counting; intervals against SciPy's exact test."""

import numpy as np
import pytest
from given_cells import columns_of_logits, found_of, given_rows, outcome_rows, random_cell, reason_of, value_of
from scipy.stats import binomtest, entropy
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score, top_k_accuracy_score

from failmodes.warehouse.metrics.accuracy import drawn, of_images, totals
from failmodes.warehouse.metrics.cell_rows import Cell, CellRows
from failmodes.warehouse.metrics.metric import all_metrics, ends_of

CELL = random_cell(400, classes=8, non_finite=11, seed=2)
ROWS = CELL.rows


def test_accuracy_is_scikit_learns() -> None:
    expected = accuracy_score(ROWS["label"], ROWS["predicted"])
    assert value_of("accuracy", CELL) == pytest.approx(expected)
    assert value_of("error", CELL) == pytest.approx(1 - expected)
    assert found_of("accuracy", CELL).n == 400, "an image without a prediction is incorrect"


def test_balanced_accuracy_is_scikit_learns() -> None:
    with pytest.warns(UserWarning, match="classes not in y_true"):  # -1, of images without a prediction
        expected = balanced_accuracy_score(ROWS["label"], ROWS["predicted"])
    assert value_of("balanced_accuracy", CELL) == pytest.approx(expected)
    without_gaps = given_rows({"label": [0, 0, 7], "predicted": [0, 1, 7]})
    assert value_of("balanced_accuracy", without_gaps) == pytest.approx(0.75), "classes without an image do not count"


def test_the_worst_class_is_that_of_scikit_learn() -> None:
    recalls = recall_score(ROWS["label"], ROWS["predicted"], labels=range(8), average=None)
    assert value_of("worst_class_accuracy", CELL) == pytest.approx(min(recalls))
    lost = found_of("worst_class_accuracy", outcome_rows([True, False]), None, np.array([[2.0, 0.0], [0.0, 2.0]]))
    assert lost.replicates == pytest.approx([1, 0])


def test_a_class_that_is_not_drawn_is_not_the_worst() -> None:
    rows = given_rows({"label": [0, 1, 1], "predicted": [1, 1, 0]})
    assert value_of("worst_class_accuracy", rows) == 0
    found = found_of("worst_class_accuracy", rows, None, np.array([[0.0, 2.0, 1.0]]))
    assert found.replicates == pytest.approx([2 / 3])


def test_top_five_is_scikit_learns() -> None:
    rng = np.random.default_rng(3)
    rows = given_rows(columns_of_logits(rng.normal(size=(400, 8)), rng.integers(0, 8, 400)))
    expected = top_k_accuracy_score(rows["label"], rows["logits"], k=5)
    assert value_of("top5_accuracy", rows) == pytest.approx(expected)
    assert 0.5 < expected < 1
    assert value_of("top5_accuracy", given_rows({"label_rank": [1, 5, 6, -1]})) == 0.5


def test_the_commonest_answer_is_counted_among_answers() -> None:
    answers = ROWS["predicted"][ROWS["predicted"] >= 0]
    found = found_of("top_prediction_share", CELL)
    assert found.value == pytest.approx(np.bincount(answers).max() / len(answers))
    assert found.n == len(answers) == 389
    assert (
        reason_of("top_prediction_share", given_rows({"predicted": [-1, -1]})) == "no class of the dataset is predicted"
    )


def test_means_over_images_that_have_them() -> None:
    for name, column in (("mean_confidence", "confidence"), ("mean_entropy_nats", "entropy_nats")):
        found = found_of(name, CELL)
        assert (found.value, found.n) == (pytest.approx(np.nanmean(ROWS[column].astype(np.float64))), 389)
    rows = random_cell(50).rows
    p = np.exp(rows["logits"].astype(np.float64))
    assert value_of("mean_entropy_nats", rows) == pytest.approx(entropy(p, axis=1).mean(), rel=1e-5)
    assert value_of("mean_confidence", rows) == pytest.approx((p.max(1) / p.sum(1)).mean(), rel=1e-6)


def test_non_finite_images_are_counted() -> None:
    assert value_of("non_finite_share", CELL) == 11 / 400


@pytest.mark.parametrize("name", ["accuracy", "error", "top5_accuracy", "non_finite_share"])
@pytest.mark.parametrize(("level", "comparisons"), [(0.95, 1), (0.9, 6)])
def test_shares_have_the_exact_interval(name: str, level: float, comparisons: int) -> None:
    found = found_of(name, CELL)
    ends = ends_of(all_metrics()[name], CELL, None, found, level=level, comparisons=comparisons)
    expected = binomtest(round(found.value * 400), 400).proportion_ci(1 - (1 - level) / comparisons, "exact")
    assert ends == pytest.approx(tuple(expected))


@pytest.mark.parametrize("correct", [True, False])
def test_all_of_one_kind(correct: bool) -> None:
    rows = outcome_rows([correct] * 30)
    cell = Cell(rows)
    found = found_of("accuracy", rows)
    low, high = ends_of(all_metrics()["accuracy"], cell, None, found) or (0, 0)
    limit = 0.025 ** (1 / 30)
    assert (low, high) == pytest.approx((limit, 1) if correct else (0, 1 - limit))
    for name in ("balanced_accuracy", "worst_class_accuracy"):
        assert value_of(name, rows) == correct
    low, high = ends_of(all_metrics()["balanced_accuracy"], cell, None, found_of("balanced_accuracy", rows)) or (0, 0)
    assert (low < 0.97, high) == (True, 1) if correct else (low, high > 0.03) == (0, True)


def test_a_thousand_classes() -> None:
    rng = np.random.default_rng(5)
    labels = np.arange(4000) % 1000
    predicted = np.where(rng.random(4000) < 0.6, labels, rng.integers(0, 1000, 4000))
    rows = given_rows({"label": labels, "predicted": predicted})
    recalls = recall_score(labels, predicted, average=None, zero_division=0)
    assert value_of("worst_class_accuracy", rows) == min(recalls)
    assert value_of("balanced_accuracy", rows) == pytest.approx(np.mean(recalls))
    assert value_of("top_prediction_share", rows) == np.bincount(predicted).max() / 4000


def test_totals_are_a_product() -> None:
    rng = np.random.default_rng(0)
    weights, values = rng.integers(0, 5, (7, 30)).astype(np.float32), rng.normal(size=30)
    places = rng.integers(0, 4, 30)
    expected = weights @ (np.eye(6)[places] * values[:, None])
    assert totals(weights, places, values, 6) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    kept = places > 0
    assert (of_images(weights, kept) == weights[:, kept]).all()
    assert of_images(weights, np.ones(30, np.bool_)) is weights
    assert drawn(weights).tolist() == weights.sum(1).tolist()


def test_no_prediction_is_no_class() -> None:
    rows: CellRows = given_rows({"label": [-1, 1], "predicted": [-1, 1]})
    assert rows["correct"].tolist() == [False, True]
