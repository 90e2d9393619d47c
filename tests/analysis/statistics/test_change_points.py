"""Breaks of curves, against least squares by SciPy and a permutation test."""

import numpy as np
import pytest
from scipy import optimize, stats

from failmodes.analysis.statistics.bootstrap import Resampling
from failmodes.analysis.statistics.change_points import (
    FEWEST_CHANGING,
    ChangePoint,
    covariance_of_means,
    find_change_point,
    stretch,
)
from failmodes.analysis.statistics.curve_shape import resampled_curve

GRID = np.arange(6.0)
HOLDS = (0.9, 0.89, 0.88, 0.87, 0.6, 0.33)
STRAIGHT = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
PLATEAU = (0.9, 0.5, 0.48, 0.46, 0.44, 0.42)


def predictions(accuracy: tuple[float, ...], images: int = 800, seed: int = 0) -> np.ndarray:
    """Images that are right where their own number lies below the accuracy; numbers vary along the curve."""
    rng = np.random.default_rng(seed)
    latent = 0.9**0.5 * rng.standard_normal((images, 1)) + 0.1**0.5 * rng.standard_normal((images, len(accuracy)))
    return stats.norm.cdf(latent) < np.array(accuracy)


def found_in(correct: np.ndarray, grid: np.ndarray = GRID, *, resamples: int = 400, paired: bool = True) -> ChangePoint:
    covariance = covariance_of_means(correct, paired=paired)
    resampled = resampled_curve(correct.mean(axis=0), covariance, Resampling(resamples))
    return find_change_point(correct, resampled, grid, paired=paired)


@pytest.mark.parametrize("paired", [True, False])
def test_a_curve_that_holds_and_falls_has_a_threshold(paired: bool) -> None:
    point = found_in(predictions(HOLDS), paired=paired)
    assert point.p_value == pytest.approx(1 / 401)
    assert (point.at, point.first, point.last) == (3, 2, 4)
    assert point.threshold(0.01, 0.95) == "supported"
    assert point.threshold(0.2, 0.95) == "inconclusive", "of many curves the corrected p value counts"


def test_straight_lines_and_plateaus_have_none() -> None:
    assert found_in(predictions(STRAIGHT)).threshold(1.0, 0.95) == "contradicted"
    plateau = found_in(predictions(PLATEAU))
    assert plateau.p_value < 0.01, "there is a break"
    assert plateau.threshold(plateau.p_value, 0.95) == "contradicted", "and no threshold"


@pytest.mark.parametrize("curve", [HOLDS, PLATEAU])
def test_slopes_are_those_of_least_squares(curve: tuple[float, ...]) -> None:
    correct = predictions(curve)
    means, point = correct.mean(axis=0), found_in(correct)

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
    correct = predictions((0.9, 0.8, 0.66), 600, seed=3)
    bend = correct[:, 0] - 2.0 * correct[:, 1] + correct[:, 2]
    tested = stats.permutation_test(
        (bend,), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples", n_resamples=4000,
        random_state=np.random.default_rng(1),
    )  # fmt: skip
    point = found_in(correct, np.arange(3.0), resamples=4000)
    assert point.p_value == pytest.approx(tested.pvalue, abs=0.03)


def test_covariance_has_two_made_up_images() -> None:
    correct = predictions(HOLDS, 60)
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
