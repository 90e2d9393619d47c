"""Calibration: against scikit-learn, torchmetrics and integrals; known answers, ties, one image, a floor by drawing."""

from collections.abc import Callable

import numpy as np
import pytest
from given_cells import found_of, outcome_rows, random_cell, reason_of, value_of
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binomtest, norm
from sklearn.metrics import log_loss

from failmodes.warehouse.metrics.calibration import NO_CONFIDENCE, bias_of_ece, smoothed_error
from failmodes.warehouse.metrics.cell_rows import CellRows, bins_of
from failmodes.warehouse.metrics.metric import NO_IMAGE

ERRORS = ("ece", "equal_mass_ece", "smooth_ece")


def drawn(images: int, power: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, mostly high, and whether correct: calibrated where `power` is 1, too high above."""
    rng = np.random.default_rng(seed)
    confidence = rng.beta(5, 1, images)
    return confidence, rng.random(images) < confidence**power


def rows_of(confidence: np.ndarray, correct: np.ndarray) -> CellRows:
    return outcome_rows(correct, confidence=confidence)


def ece_of(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """ECE of 15 equal bins of each of (R, N) outcomes."""
    bins = np.minimum((confidence * 15).astype(int), 14)
    return sum(np.abs((confidence - correct)[..., bins == b].sum(-1)) for b in np.unique(bins)) / len(confidence)


def equal_mass_of(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Each image is in the bin of the lowest rank of those that tie with it."""
    lower = np.searchsorted(np.sort(confidence), confidence)
    bins = lower * 15 // len(confidence)
    return float(sum(abs((confidence - correct)[bins == b].sum()) for b in range(15))) / len(confidence)


def smooth_ece_by_integral(confidence: np.ndarray, correct: np.ndarray) -> float:
    """SmoothECE by its definition: no bins, a reflected Gaussian as wide as the error, 1/256 at least."""
    at = (np.arange(640) + 0.5) / 640  # closer by half than the narrowest kernel is wide
    values, places = np.unique(confidence, return_inverse=True)
    gaps = np.bincount(places, correct - confidence)

    def error(width: float) -> float:
        images = np.concatenate([2 * turn + sign * values for turn in range(-2, 3) for sign in (1, -1)])
        kernel = np.exp(-np.square((at[:, None] - images) / width) / 2) / (width * np.sqrt(2 * np.pi))
        return np.abs(np.einsum("ai,i->a", kernel, np.tile(gaps, 10))).mean() / len(confidence)

    if error(1 / 256) <= 1 / 256:
        return error(1 / 256)
    return brentq(lambda width: error(width) - width, 1 / 256, 1.5, xtol=1e-4)


REFERENCES: dict[str, Callable[..., float]] = {  # of labels and probabilities
    "nll_nats": log_loss,
    "brier": lambda labels, p: ((p - np.eye(4)[labels]) ** 2).sum(1).mean(),
    "ece": lambda labels, p: ece_of(p.max(1), p.argmax(1) == labels),
    "equal_mass_ece": lambda labels, p: equal_mass_of(p.max(1).astype(np.float32), p.argmax(1) == labels),
    "smooth_ece": lambda labels, p: smooth_ece_by_integral(p.max(1), p.argmax(1) == labels),
    "overconfidence": lambda labels, p: p.max(1).mean() - (p.argmax(1) == labels).mean(),
}


@pytest.mark.test_all
@pytest.mark.parametrize("non_finite", [0, 40])
@pytest.mark.parametrize("name", REFERENCES)
def test_errors_are_those_of_the_probabilities_of_images_with_finite_logits(name: str, non_finite: int) -> None:
    rows = random_cell(500, seed=4, non_finite=non_finite).rows
    p = np.exp(rows["logits"].astype(np.float64))[rows["finite"]]
    expected = REFERENCES[name](rows["label"][rows["finite"]], p / p.sum(1, keepdims=True))
    found = found_of(name, rows)
    assert (found.value, found.n) == (pytest.approx(expected, rel=1e-4, abs=5e-4), 500 - non_finite)


@pytest.mark.test_all
def test_the_calibration_error_is_that_of_torchmetrics() -> None:
    torch = pytest.importorskip("torch")
    of_torchmetrics = pytest.importorskip("torchmetrics.functional.classification")
    confidence, correct = drawn(2_000, 2.0)
    p = torch.from_numpy(np.stack([1 - confidence, confidence], axis=1))
    rows = rows_of(np.maximum(confidence, 1 - confidence), np.where(confidence > 0.5, correct, ~correct))
    theirs = of_torchmetrics.multiclass_calibration_error(p, torch.from_numpy(correct.astype(int)), 2, n_bins=15)
    assert value_of("ece", rows) == pytest.approx(float(theirs), rel=1e-5)


def test_bins_have_their_lower_ends() -> None:
    assert bins_of(np.array([0.0, 1 / 15 - 1e-9, 1 / 15, 14 / 15, 1.0, 1.5, -1.0])).tolist() == [0, 0, 1, 14, 14, 14, 0]


@pytest.mark.parametrize("levels", [16, 64])
@pytest.mark.parametrize("count", [1, 14, 15, 16, 100, 333])
def test_equal_mass_is_by_the_lowest_rank_of_ties(count: int, levels: int) -> None:
    rng = np.random.default_rng(1)
    confidence, correct = rng.integers(0, levels, count) / levels, rng.random(count) < 0.5  # exact in single precision
    found = value_of("equal_mass_ece", rows_of(confidence, correct))
    assert found == pytest.approx(equal_mass_of(confidence, correct))


@pytest.mark.parametrize("power", [1.0, 3.0])
def test_overconfidence_has_the_wider_of_two_intervals(power: float) -> None:
    confidence, correct = drawn(300, power)
    confidence = confidence.astype(np.float32).astype(float)
    rows = rows_of(confidence, correct)
    found = found_of("overconfidence", rows)
    low, high = binomtest(int(correct.sum()), 300).proportion_ci(1 - 0.1 / 3, "exact")
    half = norm.ppf(1 - 0.05 / 3) * (confidence - correct).std() / 300**0.5
    ends = found.ends(level=0.9, comparisons=3)
    mean = confidence.mean()
    assert ends == pytest.approx((min(mean - high, found.value - half), max(mean - low, found.value + half)))


@pytest.mark.parametrize(
    ("images", "power"), [(500, 1.0), *(pytest.param(*one, marks=pytest.mark.test_all)
                                        for one in ((2_000, 1.0), (2_000, 3.0), (300, 8.0)))]
)  # fmt: skip
def test_smooth_ece_is_its_integral(images: int, power: float) -> None:
    confidence, correct = drawn(images, power)
    assert smoothed_error(confidence, correct) == pytest.approx(smooth_ece_by_integral(confidence, correct), abs=5e-4)


@pytest.mark.parametrize("confidence", [np.array([1.0]), np.array([0.0, 1.0]), np.full(50, 0.993)])
def test_few_and_equal_images_have_numbers(confidence: np.ndarray) -> None:
    rows = rows_of(confidence, np.zeros(len(confidence), np.bool_))
    for name in ERRORS:
        found = found_of(name, rows)
        assert (found.value, found.n) == (pytest.approx(confidence.mean(), abs=1e-3), len(confidence))
    assert (value_of("ece_noise_floor", rows) == 0) == (confidence.max() == 1)
    rows = rows_of(np.ones(40), np.ones(40, np.bool_))
    assert [value_of(name, rows) for name in (*ERRORS, "ece_noise_floor", "overconfidence")] == [0] * 5


def test_without_confidence_there_is_a_reason() -> None:
    rows = rows_of(np.full(3, np.nan), np.ones(3, np.bool_))
    assert {reason_of(name, rows) for name in (*ERRORS, "ece_noise_floor")} == {NO_CONFIDENCE}
    assert reason_of("overconfidence", rows) == NO_IMAGE


@pytest.mark.parametrize(
    ("images", "shape"),
    [(500, (5, 1)), *(pytest.param(images, shape, marks=pytest.mark.test_all)
                      for images in (100, 10_000) for shape in ((1, 1), (40, 2)))],
)  # fmt: skip
def test_the_noise_floor_is_what_drawing_gives(images: int, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(images)
    confidence = rng.beta(*shape, images)
    samples = np.concatenate([ece_of(confidence, rng.random((100, images)) < confidence) for _ in range(20)])
    found = value_of("ece_noise_floor", rows_of(confidence, np.ones(images, np.bool_)))
    assert found == pytest.approx(np.quantile(samples, 0.95), rel=0.06)


@pytest.mark.parametrize("gap", [0.0, 0.2])
def test_a_calibration_error_exceeds_the_truth_by_no_more_than_its_bias(gap: float) -> None:
    rng, excess, bounds = np.random.default_rng(0), [], []
    for _ in range(300):
        confidence = rng.choice([0.5, 0.63, 0.77, 0.97], 400)
        rows = rows_of(confidence, rng.random(400) < confidence - gap)
        excess.append(value_of("ece", rows) - gap)
        bounds.append(bias_of_ece(rows))
    low, high, _ = np.mean(bounds, axis=0)
    assert low == 0
    if gap:  # clear gaps have no bias, and none is allowed for
        assert np.mean(excess) - 0.002 <= high < 0.005
    else:
        assert high == pytest.approx(np.mean(excess), rel=0.15)


def test_the_bias_is_of_images_with_confidence_and_never_none_where_all_are_correct() -> None:
    assert bias_of_ece(outcome_rows([True] * 50, confidence=[0.97] * 50)).high > 0.005
    confidence, correct = drawn(80)
    among = outcome_rows(np.append(correct, [True] * 20), confidence=np.append(confidence, [np.nan] * 20))
    assert bias_of_ece(among) == pytest.approx(bias_of_ece(rows_of(confidence, correct)))


IMAGES = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=80)
