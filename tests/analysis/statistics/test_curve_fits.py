"""Fitted curves and breaks: the largest likelihood, least squares and permutation tests of SciPy, known figures."""

import numpy as np
import pytest
from scipy import optimize, stats

from failmodes.analysis.statistics.curve_fits import (
    EXPONENTIAL,
    FEWEST_CHANGING,
    FUNCTIONS,
    LINEAR,
    LOGISTIC,
    WEIBULL,
    ChangePoint,
    CurveFit,
    covariance_of_means,
    find_change_point,
    fit_curve,
    stretch,
)
from failmodes.analysis.statistics.curve_shape import ShapeSettings, resampled_curve

GRID, CHANCE = np.arange(6.0), 0.1
HOLDS = (0.9, 0.89, 0.88, 0.87, 0.6, 0.33)
STRAIGHT = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
PLATEAU = (0.9, 0.5, 0.48, 0.46, 0.44, 0.42)
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
    count = correct.sum(axis=0)
    means = correct.mean(axis=0)

    def lost(numbers: np.ndarray) -> float:
        accuracy = np.clip(formula(function, numbers, GRID), 1e-9, 1 - 1e-9)
        return float(-stats.binom.logpmf(count, len(correct), accuracy).sum())

    bounds = {EXPONENTIAL: [(0, 1), (1e-5, 1), (1e-3, 5)]}.get(function)
    best = optimize.minimize(lost, STARTS[function], bounds=bounds, method="Nelder-Mead",
                             options={"maxiter": 8000, "xatol": 1e-7, "fatol": 1e-7})  # fmt: skip
    saturated = float(-stats.binom.logpmf(count, len(correct), means).sum())
    own = fits_of(correct)[function]
    assert own.deviance == pytest.approx(2 * (best.fun - saturated), rel=1e-3, abs=1e-3)
    assert own.degrees_of_freedom == 6 - own.parameter_count


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
    means = correct.mean(axis=0) @ basis
    spread = basis.T @ covariance_of_means(correct) @ basis
    squared = means @ np.linalg.inv(spread) @ means
    expected = stats.f.sf(squared * (300 - 4) / (299 * 4), 4, 296)
    assert line.lack_of_fit_p_value == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_the_best_has_the_smallest_quasi_aic() -> None:
    fits = fits_of(predictions(LATE))
    dispersion = max(1, min(fit.deviance / fit.degrees_of_freedom for fit in fits.values()))
    for fit in fits.values():
        assert fit.quasi_aic == pytest.approx(fit.deviance / dispersion + 2 * fit.parameter_count)
    assert min(fits.values(), key=lambda fit: fit.quasi_aic).function in (LOGISTIC, WEIBULL)


@pytest.mark.parametrize("accuracy", [(1.0,) * 6, (1.0, 1.0, 0.0, 0.0, 0.0, 0.0)])
def test_curves_at_the_ends_are_fitted_without_warnings(accuracy: tuple[float, ...]) -> None:
    correct = np.random.default_rng(0).random((50, 1)) < np.array(accuracy)
    fits = fits_of(correct).values()
    assert np.isfinite([(fit.upper, fit.slope, fit.deviance, fit.quasi_aic) for fit in fits]).all()


def breaking(accuracy: tuple[float, ...], images: int = 800, seed: int = 0) -> np.ndarray:
    """Images that are right where their own number lies below the accuracy; numbers vary along the curve."""
    rng = np.random.default_rng(seed)
    latent = 0.9**0.5 * rng.standard_normal((images, 1)) + 0.1**0.5 * rng.standard_normal((images, len(accuracy)))
    return stats.norm.cdf(latent) < np.array(accuracy)


def found_in(correct: np.ndarray, grid: np.ndarray = GRID, *, resamples: int = 400, paired: bool = True) -> ChangePoint:
    covariance = covariance_of_means(correct, paired=paired)
    resampled = resampled_curve(correct.mean(axis=0), covariance, ShapeSettings(resamples))
    return find_change_point(correct, resampled, grid, paired=paired)


@pytest.mark.parametrize("paired", [True, False])
def test_a_curve_that_holds_and_falls_has_a_threshold(paired: bool) -> None:
    point = found_in(breaking(HOLDS), paired=paired)
    assert point.p_value == pytest.approx(1 / 401)
    assert (point.at, point.first, point.last) == (3, 2, 4)
    assert point.threshold(0.01, 0.95) == "supported"
    assert point.threshold(0.2, 0.95) == "inconclusive", "of many curves the corrected p value counts"


def test_straight_lines_and_plateaus_have_none() -> None:
    assert found_in(breaking(STRAIGHT)).threshold(1.0, 0.95) == "contradicted"
    plateau = found_in(breaking(PLATEAU))
    assert plateau.p_value < 0.01, "there is a break"
    assert plateau.threshold(plateau.p_value, 0.95) == "contradicted", "and no threshold"


@pytest.mark.parametrize("curve", [HOLDS, PLATEAU])
def test_slopes_are_those_of_least_squares(curve: tuple[float, ...]) -> None:
    correct = breaking(curve)
    means = correct.mean(axis=0)
    point = found_in(correct)

    def broken(x: np.ndarray, start: float, before: float, after: float, at: float) -> np.ndarray:
        return start + before * np.minimum(x, at) + after * np.maximum(x - at, 0)

    def squares(at: float) -> tuple[float, np.ndarray]:
        own, _ = optimize.curve_fit(lambda x, a, b, c: broken(x, a, b, c, at), GRID, means)
        return float(np.square(means - broken(GRID, *own, at)).sum()), own

    best = min(GRID[1:-1], key=lambda at: squares(at)[0])
    _, (_, before, after) = squares(best)
    assert GRID[point.at] == best
    values = [point.before.value, point.after.value, point.excess.value]
    assert values == pytest.approx([before, after, 2 * before - after], abs=1e-6)


def test_three_points_agree_with_a_permutation_of_signs() -> None:
    """With one place for a break its test is one of a mean over images: second differences, whose sign SciPy flips."""
    correct = breaking((0.9, 0.8, 0.66), 600, seed=3)
    bend = correct[:, 0] - 2.0 * correct[:, 1] + correct[:, 2]
    tested = stats.permutation_test(
        (bend,), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples", n_resamples=4000,
        random_state=np.random.default_rng(1),
    )  # fmt: skip
    point = found_in(correct, np.arange(3.0), resamples=4000)
    assert point.p_value == pytest.approx(tested.pvalue, abs=0.03)


def test_covariance_has_two_pseudo_images() -> None:
    correct = breaking(HOLDS, 60)
    one = np.array([1.0, -2, 1, 0, 0, 0]) / 6**0.5
    values = np.array([*(correct @ one), 0, 0])
    own = ((values[:60] - values[:60].mean()) ** 2).sum() + 2
    assert one @ covariance_of_means(correct) @ one == pytest.approx(own / 62**2)
    apart = covariance_of_means(correct, paired=False)
    assert np.count_nonzero(apart - np.diag(apart.diagonal())) == 0


def test_few_images_that_change_are_not_tested() -> None:
    correct = np.ones((100, 6), bool)
    correct[: FEWEST_CHANGING - 1, 3:] = False
    assert found_in(correct).p_value is None
    correct[:FEWEST_CHANGING, 3:] = False
    assert found_in(correct).p_value is not None


def test_few_images_stretch_resamples() -> None:
    assert stretch(50, 1) == pytest.approx(stats.t.ppf(0.975, 49) / stats.norm.ppf(0.975) * (50 / 49) ** 0.5)


def test_a_flat_curve_has_finite_figures() -> None:
    """At chance the width of the Weibull curve is near 0, and its location underflows."""
    correct = np.arange(40)[:, None] < np.array([9, 9, 12, 8, 12, 9])
    for fit in fit_curve(correct, GRID, 0.25):
        assert np.isfinite([fit.upper, fit.slope, fit.location or 0.0]).all()
