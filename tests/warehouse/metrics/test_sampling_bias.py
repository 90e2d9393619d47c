"""How far metrics that are no means may be from the truth, against samples whose truth is known."""

import numpy as np
import pytest
from given_cells import given_rows, outcome_rows

from failmodes.warehouse.metrics.cell_rows import CellRows
from failmodes.warehouse.metrics.sampling_bias import bias_of_ece, bias_of_top_prediction, bias_of_worst_class

DRAWS = 300


def calibrated(rng: np.random.Generator, images: int, gap: float) -> CellRows:
    """Confidences of four bins, whose predictions are correct less often by a gap."""
    confidence = rng.choice([0.5, 0.63, 0.77, 0.97], images)
    return outcome_rows(rng.random(images) < confidence - gap, confidence=confidence)


def ece_of(rows: CellRows) -> float:
    gaps = [(rows["correct"] - rows["confidence"])[rows["confidence"] == c].sum() for c in set(rows["confidence"])]
    return float(np.abs(gaps).sum()) / len(rows)


@pytest.mark.parametrize("gap", [0.0, 0.01, 0.03, 0.2])
def test_a_calibration_error_exceeds_the_truth_by_no_more(gap: float) -> None:
    rng = np.random.default_rng(0)
    drawn = [calibrated(rng, 400, gap) for _ in range(DRAWS)]
    excess = np.mean([ece_of(rows) for rows in drawn]) - gap
    bounds = np.array([bias_of_ece(rows) for rows in drawn])
    assert (bounds[:, 0] == 0).all()
    assert excess <= bounds[:, 1].mean() + 0.002
    if gap == 0.2:  # clear gaps have no bias, and none is allowed for
        assert bounds[:, 1].mean() < 0.005
    if not gap:
        assert bounds[:, 1].mean() == pytest.approx(excess, rel=0.15)


def test_a_bin_whose_images_are_all_correct_has_an_error_too() -> None:
    assert bias_of_ece(outcome_rows([True] * 50, confidence=[0.97] * 50)).high > 0.005


def test_images_without_confidence_do_not_count() -> None:
    rng = np.random.default_rng(1)
    confidence, correct = rng.uniform(0.5, 1, 80), rng.random(80) < 0.7
    whole = bias_of_ece(outcome_rows(correct, confidence=confidence))
    among = outcome_rows(np.append(correct, [True] * 20), confidence=np.append(confidence, [np.nan] * 20))
    assert bias_of_ece(among) == pytest.approx(whole)


def test_the_worst_class_falls_short_by_no_more() -> None:
    rng, labels = np.random.default_rng(0), np.arange(500) % 10
    for accuracies in (np.full(10, 0.7), np.array([0.5, *[0.7] * 9]), np.array([0.1, *[0.9] * 9])):
        short, bounds, errors = [], [], []
        for _ in range(DRAWS):
            correct = rng.random(500) < accuracies[labels]
            rows = given_rows({"label": labels, "predicted": np.where(correct, labels, labels + 1)})
            found = bias_of_worst_class(rows)
            short.append(min(correct[labels == label].mean() for label in range(10)) - accuracies.min())
            bounds.append(found.low)
            errors.append(found.error)
            assert found.high == 0
        assert np.mean(bounds) <= 0.9 * np.mean(short)  # a tenth is little beside the error of a class
        of_one = np.sqrt(accuracies.min() * (1 - accuracies.min()) / 50)
        assert np.mean(errors) >= 0.9 * of_one
    assert np.mean(bounds) > -0.005  # the worst is clear


def test_the_top_prediction_exceeds_by_no_more() -> None:
    rng = np.random.default_rng(0)
    excess, bounds = [], []
    for _ in range(DRAWS):
        predicted = rng.integers(0, 10, 400)
        excess.append(np.bincount(predicted).max() / 400 - 0.1)
        bounds.append(bias_of_top_prediction(given_rows({"predicted": predicted})).high)
    assert 0.9 * np.mean(excess) <= np.mean(bounds)
    assert bias_of_top_prediction(given_rows({"predicted": np.zeros(400)})).high < 0.001
    some = given_rows({"predicted": np.append(np.arange(400) % 10, [-1] * 100)})
    assert bias_of_top_prediction(some) == bias_of_top_prediction(given_rows({"predicted": np.arange(400) % 10}))
