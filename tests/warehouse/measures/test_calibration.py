"""Calibration by measures of every image: known answers, ties, one image, and a floor that is what drawing gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from views_confidence import smooth_ece_by_integral

from failmodes.warehouse.measures.calibration import (
    ece_noise_floor,
    equal_mass_ece,
    measure_calibration,
    smooth_ece,
)
from failmodes.warehouse.measures.columns import Row
from failmodes.warehouse.measures.ranking import ranked


def drawn(images: int, power: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, mostly high, and whether right: calibrated where `power` is 1, too sure above."""
    rng = np.random.default_rng(seed)
    confidence = rng.beta(5, 1, images)
    return confidence, rng.random(images) < confidence**power


def ece_of(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """ECE of 15 equal bins of each of (R, N) outcomes."""
    bins = np.minimum((confidence * 15).astype(int), 14)
    return sum(np.abs((confidence - correct)[..., bins == b].sum(-1)) for b in np.unique(bins)) / len(confidence)


def equal_mass_of(confidence: np.ndarray, correct: np.ndarray) -> float:
    return equal_mass_ece(ranked(confidence.astype(np.float32), ~correct))


def calibration_of(confidence: np.ndarray, correct: np.ndarray) -> Row:
    (row,) = measure_calibration(confidence, correct, ranked(confidence.astype(np.float32), ~correct))
    return row


@pytest.mark.slow
@pytest.mark.parametrize(("images", "power"), [(500, 1.0), (2_000, 1.0), (2_000, 3.0), (300, 8.0)])
def test_smooth_ece_is_its_integral(images: int, power: float) -> None:
    confidence, correct = drawn(images, power)
    value, width = smooth_ece(confidence, correct)
    assert value == width == pytest.approx(smooth_ece_by_integral(confidence, correct), abs=5e-4)


@pytest.mark.parametrize("power", [3.0, 8.0])
def test_where_the_gap_has_one_sign_all_errors_are_the_mean_gap(power: float) -> None:
    confidence, correct = drawn(5_000, power)
    gap = abs(confidence.mean() - correct.mean())
    assert equal_mass_of(confidence, correct) == pytest.approx(gap)
    assert smooth_ece(confidence, correct)[0] == pytest.approx(gap)


def test_images_that_tie_are_in_one_bin() -> None:
    confidence, correct = np.full(100, 0.9), np.arange(100) < 50
    assert equal_mass_of(confidence, correct) == pytest.approx(0.4)
    assert equal_mass_of(confidence[::-1], correct[::-1]) == pytest.approx(0.4)
    pairs = np.repeat(np.arange(1, 16) / 16, 2)
    assert equal_mass_of(pairs, np.tile([True, False], 15)) == pytest.approx(np.abs(pairs - 0.5).mean())


@pytest.mark.parametrize("confidence", [np.array([1.0]), np.array([0.0, 1.0]), np.full(50, 0.993)])
def test_few_and_equal_images_have_numbers(confidence: np.ndarray) -> None:
    row = calibration_of(confidence, confidence > 2)
    gap = confidence.mean()
    assert row["image_count"] == len(confidence)
    assert (row["equal_mass_ece"], row["smooth_ece"]) == pytest.approx((gap, gap), abs=1e-3)
    assert (row["ece_noise_floor"] == 0) == (confidence.max() == 1)


def test_confident_and_correct_has_no_error() -> None:
    row = calibration_of(np.ones(40), np.ones(40, np.bool_))
    assert [row[name] for name in ("equal_mass_ece", "smooth_ece", "ece_noise_floor")] == [0, 0, 0]
    assert measure_calibration(np.empty(0), np.empty(0, np.bool_), np.empty(0, np.uint64)) == []


@pytest.mark.parametrize("images", [100, 500, 10_000])
@pytest.mark.parametrize("shape", [(5, 1), (1, 1), (40, 2)])
def test_the_noise_floor_is_what_drawing_gives(images: int, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(images)
    confidence = rng.beta(*shape, images)
    samples = np.concatenate([ece_of(confidence, rng.random((100, images)) < confidence) for _ in range(20)])
    assert ece_noise_floor(confidence) == pytest.approx(np.quantile(samples, 0.95), rel=0.06)


IMAGES = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=80)


@settings(max_examples=50, deadline=None)
@given(IMAGES, st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_count_and_errors_are_shares(images: list, random) -> None:
    confidence, correct = (np.array(part) for part in zip(*images, strict=True))
    row = calibration_of(confidence, correct)
    random.shuffle(images)
    other = calibration_of(*(np.array(part) for part in zip(*images, strict=True)))
    assert other == pytest.approx(row, abs=1e-9)
    assert abs(confidence.mean() - correct.mean()) <= row["equal_mass_ece"] + 1e-9
    assert all(0 <= row[name] <= 1 + 1e-9 for name in ("equal_mass_ece", "smooth_ece"))
