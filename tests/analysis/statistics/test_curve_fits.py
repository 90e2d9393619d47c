"""Fitted curves, against the largest likelihood that SciPy finds, and figures that are known."""

import numpy as np
import pytest
from scipy import optimize, stats

from failmodes.analysis.statistics.change_points import covariance_of_means
from failmodes.analysis.statistics.curve_fits import (
    EXPONENTIAL,
    FUNCTIONS,
    LINEAR,
    LOGISTIC,
    WEIBULL,
    CurveFit,
    fit_curve,
)

GRID, CHANCE = np.arange(6.0), 0.1
LATE = (0.9, 0.88, 0.84, 0.7, 0.45, 0.25)


def predictions(accuracy: tuple[float, ...], images: int = 2000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    latent = 0.8**0.5 * rng.standard_normal((images, 1)) + 0.2**0.5 * rng.standard_normal((images, len(accuracy)))
    return stats.norm.cdf(latent) < np.array(accuracy)


def fits_of(correct: np.ndarray, grid: np.ndarray = GRID, chance: float | None = CHANCE) -> dict[str, CurveFit]:
    return {fit.function: fit for fit in fit_curve(correct, grid, chance)}


def formula(function: str, numbers: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The functions as they are written in books, of their own numbers."""
    first, second, third = [*numbers, 0.0][:3]
    if function == LINEAR:
        return first + second * x
    if function == LOGISTIC:
        return CHANCE + (first - CHANCE) / (1 + np.exp((x - second) / third))
    if function == WEIBULL:
        return CHANCE + (first - CHANCE) * np.exp(-((x / second) ** third))
    return second + (first - second) * np.exp(-third * x)


STARTS = {LINEAR: (0.9, -0.1), LOGISTIC: (0.9, 4.0, 0.6), WEIBULL: (0.9, 4.5, 3.0), EXPONENTIAL: (0.9, 0.05, 0.1)}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_other_numbers_are_more_likely(function: str) -> None:
    correct = predictions(LATE)
    count, means = correct.sum(axis=0), correct.mean(axis=0)

    def lost(numbers: np.ndarray) -> float:
        accuracy = np.clip(formula(function, numbers, GRID), 1e-9, 1 - 1e-9)
        return float(-stats.binom.logpmf(count, len(correct), accuracy).sum())

    bounds = {EXPONENTIAL: [(0, 1), (1e-5, 1), (1e-3, 5)]}.get(function)
    best = optimize.minimize(lost, STARTS[function], bounds=bounds, method="Nelder-Mead",
                             options={"maxiter": 8000, "xatol": 1e-7, "fatol": 1e-7})  # fmt: skip
    saturated = float(-stats.binom.logpmf(count, len(correct), means).sum())
    own = fits_of(correct)[function]
    assert own.deviance == pytest.approx(2 * (best.fun - saturated), rel=1e-3, abs=1e-3)
    assert own.degrees_of_freedom == 6 - own.parameters


def test_figures_are_those_of_the_curve_that_was_drawn() -> None:
    grid = np.arange(11) / 2
    logistic = fits_of(predictions(tuple(formula(LOGISTIC, np.array([0.9, 3.5, 0.5]), grid)), 40_000), grid)[LOGISTIC]
    assert [logistic.upper, logistic.floor, logistic.location] == pytest.approx([0.9, 0.1, 3.5], abs=0.03)
    assert logistic.slope == pytest.approx(-0.8 / 4 / 0.5, abs=0.03)
    weibull = fits_of(predictions(tuple(formula(WEIBULL, np.array([0.9, 4.0, 2.0]), grid)), 40_000), grid)[WEIBULL]
    half = 4 * np.log(2) ** 0.5
    step = np.array([half - 1e-4, half + 1e-4])
    assert [weibull.upper, weibull.location] == pytest.approx([0.9, half], abs=0.03)
    assert weibull.slope == pytest.approx(
        np.diff(formula(WEIBULL, np.array([0.9, 4.0, 2.0]), step))[0] / 2e-4, abs=0.02
    )
    falling = np.array([0.9, 0.3, 0.7])
    exponential = fits_of(predictions(tuple(formula(EXPONENTIAL, falling, grid)), 40_000), grid)[EXPONENTIAL]
    assert [exponential.upper, exponential.floor] == pytest.approx([0.9, 0.3], abs=0.03)
    assert exponential.location == pytest.approx(np.log(2) / 0.7, abs=0.1)
    assert exponential.slope == pytest.approx(-0.7 * 0.3, abs=0.03)


def test_lack_of_fit_is_the_test_of_residuals_over_images() -> None:
    """Of a straight line by hand: contrasts of accuracies that no line moves, and Hotelling's test of their means."""
    correct = predictions(LATE, 300)
    basis = np.linalg.qr(np.vander(GRID, 6, increasing=True))[0][:, 2:]
    line = fits_of(correct)[LINEAR]
    means, spread = correct.mean(axis=0) @ basis, basis.T @ covariance_of_means(correct) @ basis
    squared = means @ np.linalg.inv(spread) @ means
    expected = stats.f.sf(squared * (300 - 4) / (299 * 4), 4, 296)
    assert line.lack_of_fit_p == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_the_best_has_the_smallest_quasi_aic() -> None:
    fits = fits_of(predictions(LATE))
    dispersion = max(1, min(fit.deviance / fit.degrees_of_freedom for fit in fits.values()))
    for fit in fits.values():
        assert fit.quasi_aic == pytest.approx(fit.deviance / dispersion + 2 * fit.parameters)
    assert min(fits.values(), key=lambda fit: fit.quasi_aic).function in (LOGISTIC, WEIBULL)


@pytest.mark.parametrize("accuracy", [(1.0,) * 6, (1.0, 1.0, 0.0, 0.0, 0.0, 0.0)])
def test_curves_at_the_ends_are_fitted_without_warnings(accuracy: tuple[float, ...]) -> None:
    correct = np.random.default_rng(0).random((50, 1)) < np.array(accuracy)
    fits = fits_of(correct).values()
    assert np.isfinite([(fit.upper, fit.slope, fit.deviance, fit.quasi_aic) for fit in fits]).all()
