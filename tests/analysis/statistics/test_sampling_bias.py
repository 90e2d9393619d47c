"""How far measures that are no means may be from the truth, against samples whose truth is known."""

import numpy as np
import pytest

from failmodes.analysis.statistics.run_rows import CellRows
from failmodes.analysis.statistics.sampling_bias import bias_of_ece, bias_of_top_prediction, bias_of_worst_class

DRAWS = 300


def calibrated(rng: np.random.Generator, images: int, gap: float) -> CellRows:
    """Confidences of four bins, whose answers are right less often by a gap."""
    confidence = rng.choice([0.5, 0.63, 0.77, 0.97], images)
    return CellRows(confidence=confidence.astype(np.float32), correct=rng.random(images) < confidence - gap)


def ece_of(rows: CellRows) -> float:
    gaps = [(rows["correct"] - rows["confidence"])[rows["confidence"] == c].sum() for c in set(rows["confidence"])]
    return float(np.abs(gaps).sum()) / len(rows["correct"])


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
    rows = CellRows(confidence=np.full(50, 0.97, np.float32), correct=np.ones(50, bool))
    assert bias_of_ece(rows).high > 0.005


def test_the_worst_class_falls_short_by_no_more() -> None:
    rng, labels = np.random.default_rng(0), np.arange(500) % 10
    for accuracies in (np.full(10, 0.7), np.array([0.5, *[0.7] * 9]), np.array([0.1, *[0.9] * 9])):
        short, bounds, errors = [], [], []
        for _ in range(DRAWS):
            correct = rng.random(500) < accuracies[labels]
            found = bias_of_worst_class(CellRows(label=labels.astype(np.int16), correct=correct))
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
        bounds.append(bias_of_top_prediction(CellRows(predicted=predicted.astype(np.int16))).high)
    assert 0.9 * np.mean(excess) <= np.mean(bounds)
    one_class = CellRows(predicted=np.zeros(400, np.int16))
    assert bias_of_top_prediction(one_class).high < 0.001
