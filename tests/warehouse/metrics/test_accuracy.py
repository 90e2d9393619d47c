"""Accuracy and its kin against scikit-learn, SciPy and counting; intervals against SciPy's exact test."""

from collections.abc import Callable

import numpy as np
import pytest
from given_cells import columns_of_logits, found_of, outcome_rows, random_cell, reason_of, value_of
from scipy.stats import binomtest, entropy
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score, top_k_accuracy_score, zero_one_loss

from failmodes.warehouse.metrics.accuracy import bias_of_top_prediction, bias_of_worst_class, of_images, totals
from failmodes.warehouse.metrics.cell_rows import CellRows, ComparedCell

CELL = random_cell(400, classes=8, non_finite=11, seed=2)
REFERENCES: dict[str, tuple[Callable[..., float], int]] = {  # of the rows of a cell, and images that take part
    "accuracy": (lambda rows: accuracy_score(rows["label"], rows["predicted"]), 400),
    "error": (lambda rows: zero_one_loss(rows["label"], rows["predicted"]), 400),
    "balanced_accuracy": (lambda rows: balanced_accuracy_score(rows["label"], rows["predicted"]), 400),
    "worst_class_accuracy": (
        lambda rows: min(recall_score(rows["label"], rows["predicted"], labels=range(8), average=None)), 400),
    "top5_accuracy": (
        lambda rows: top_k_accuracy_score(rows["label"], np.nan_to_num(rows["logits"], nan=-9), k=5), 400),
    "top_prediction_share": (lambda rows: np.bincount(answers := _answers(rows)).max() / len(answers), 389),
    "mean_confidence": (lambda rows: _softmax(rows).max(1).mean(), 389),
    "mean_entropy_nats": (lambda rows: entropy(_softmax(rows), axis=1).mean(), 389),
    "non_finite_share": (lambda rows: 11 / 400, 400),
}  # fmt: skip


def _answers(rows: CellRows) -> np.ndarray:
    return rows["predicted"][rows["predicted"] >= 0]


def _softmax(rows: CellRows) -> np.ndarray:
    odds = np.exp(rows["logits"][rows["finite"]].astype(np.float64))
    return odds / odds.sum(1, keepdims=True)


@pytest.mark.filterwarnings("ignore:y_pred contains classes")  # -1, of images without a prediction
@pytest.mark.parametrize("name", REFERENCES)
def test_values_are_those_of_scikit_learn_and_scipy(name: str) -> None:
    reference, n = REFERENCES[name]
    if name == "top5_accuracy":  # zeros of images without logits would be ranks too
        labels = np.arange(400) % 8
        rows = CellRows.of(columns_of_logits(np.random.default_rng(3).normal(size=(400, 8)), labels))
    else:
        rows = CELL.rows
    found = found_of(name, rows)
    assert (found.value, found.n) == (pytest.approx(reference(rows), rel=1e-5), n)


def test_classes_without_an_image_and_those_that_are_not_drawn_do_not_count() -> None:
    assert value_of("balanced_accuracy", CellRows.of({"label": [0, 0, 7], "predicted": [0, 1, 7]})) == 0.75
    rows = CellRows.of({"label": [0, 1, 1], "predicted": [1, 1, 0]})
    found = found_of("worst_class_accuracy", rows, None, np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 1.0]]))
    assert (found.value, found.replicates) == (0, pytest.approx([0, 2 / 3]))


def test_ranks_up_to_five_count() -> None:
    assert value_of("top5_accuracy", CellRows.of({"label_rank": [1, 5, 6, -1]})) == 0.5


def test_there_is_a_reason_where_no_class_is_predicted() -> None:
    assert "no class" in reason_of("top_prediction_share", CellRows.of({"predicted": [-1, -1]}))
    assert CellRows.of({"label": [-1, 1], "predicted": [-1, 1]})["correct"].tolist() == [False, True]


@pytest.mark.parametrize("name", ["accuracy", "error", "top5_accuracy", "non_finite_share"])
@pytest.mark.parametrize(("level", "comparisons"), [(0.95, 1), (0.9, 6)])
def test_shares_have_the_exact_interval(name: str, level: float, comparisons: int) -> None:
    found = found_of(name, CELL)
    ends = found.ends(level=level, comparisons=comparisons)
    expected = binomtest(round(found.value * 400), 400).proportion_ci(1 - (1 - level) / comparisons, "exact")
    assert ends == pytest.approx(tuple(expected))


@pytest.mark.parametrize("correct", [True, False])
def test_intervals_of_all_of_one_kind(correct: bool) -> None:
    cell, limit = ComparedCell(outcome_rows([correct] * 30)), 0.025 ** (1 / 30)
    ends = [found_of(name, cell).ends() for name in ("accuracy", "balanced_accuracy")]
    assert ends[0] == pytest.approx((limit, 1) if correct else (0, 1 - limit))
    low, high = ends[1] or (0, 0)
    assert high - low > 0.03
    assert value_of("worst_class_accuracy", cell) == correct == (high == 1)


def test_a_thousand_classes() -> None:
    rng, labels = np.random.default_rng(5), np.arange(4000) % 1000
    predicted = np.where(rng.random(4000) < 0.6, labels, rng.integers(0, 1000, 4000))
    rows = CellRows.of({"label": labels, "predicted": predicted})
    recalls = recall_score(labels, predicted, average=None, zero_division=0)
    assert value_of("worst_class_accuracy", rows) == min(recalls)
    assert value_of("balanced_accuracy", rows) == pytest.approx(np.mean(recalls))


def test_totals_are_a_product() -> None:
    rng = np.random.default_rng(0)
    weights, values = rng.integers(0, 5, (7, 30)).astype(np.float32), rng.normal(size=30)
    places = rng.integers(0, 4, 30)
    expected = weights @ (np.eye(6)[places] * values[:, None])
    assert totals(weights, places, values, 6) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert (of_images(weights, places > 0) == weights[:, places > 0]).all()


@pytest.mark.parametrize("accuracies", [[0.7] * 10, [0.5, *[0.7] * 9], [0.1, *[0.9] * 9]])
def test_the_worst_class_falls_short_by_no_more_than_its_bias(accuracies: list[float]) -> None:
    rng, labels, short, found = np.random.default_rng(0), np.arange(500) % 10, [], []
    for _ in range(300):
        correct = rng.random(500) < np.array(accuracies)[labels]
        rows = CellRows.of({"label": labels, "predicted": np.where(correct, labels, labels + 1)})
        found.append(bias_of_worst_class(rows))
        short.append(value_of("worst_class_accuracy", rows) - min(accuracies))
    low, high, error = np.mean(found, axis=0)
    assert (low <= 0.9 * np.mean(short), high) == (True, 0)  # a tenth is little beside the error of a class
    assert error >= 0.9 * np.sqrt(min(accuracies) * (1 - min(accuracies)) / 50)
    assert (low > -0.005) == (accuracies[0] == 0.1), "there is none where the worst is clear"


def test_the_top_prediction_exceeds_by_no_more_than_its_bias() -> None:
    rng = np.random.default_rng(0)
    cells = [CellRows.of({"predicted": rng.integers(0, 10, 400)}) for _ in range(300)]
    excess = np.mean([value_of("top_prediction_share", rows) for rows in cells]) - 0.1
    assert 0.9 * excess <= np.mean([bias_of_top_prediction(rows).high for rows in cells])
    assert bias_of_top_prediction(CellRows.of({"predicted": np.zeros(400)})).high < 0.001
    some, every = (CellRows.of({"predicted": np.append(np.arange(400) % 10, [-1] * n)}) for n in (100, 0))
    assert bias_of_top_prediction(some) == bias_of_top_prediction(every)
