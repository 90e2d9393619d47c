"""Shapes over distortion, against the curvature worked out by brute force and the classes over severity."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failmodes.analysis.statistics.curve_fits import covariance_of_means
from failmodes.analysis.statistics.curve_shape import (
    RMSE_AXIS,
    SEVERITY_AXIS,
    ShapeOverAxis,
    ShapeSettings,
    axis_reason,
    resampled_curve,
    shapes_over_axes,
)

GRID, QUICK = np.arange(6.0), ShapeSettings(resamples=200)


def predictions(accuracy: tuple[float, ...], images: int = 1000) -> np.ndarray:
    return np.random.default_rng(0).permutation(images)[:, None] < images * np.array(accuracy)


def over(accuracy: tuple[float, ...], axis: np.ndarray) -> dict[str, ShapeOverAxis]:
    correct = predictions(accuracy)
    mean = correct.mean(axis=0)
    curves = np.vstack([mean, resampled_curve(mean, covariance_of_means(correct), QUICK)])
    return shapes_over_axes(curves, GRID, {SEVERITY_AXIS: GRID, RMSE_AXIS: axis}, QUICK)


def brute_force_curvature(accuracy: np.ndarray, axis: np.ndarray) -> float:
    """Point by point: the height above the straight line, weighed by half of the span to the neighbors."""
    first = accuracy[0]
    last = accuracy[-1]
    above = 0.0
    weights = 0.0
    for place in range(1, len(axis) - 1):
        line = first + (last - first) * (axis[place] - axis[0]) / (axis[-1] - axis[0])
        weight = (axis[place + 1] - axis[place - 1]) / 2
        above = above + weight * (accuracy[place] - line)
        weights = weights + weight
    return float(above / weights / (first - last))


@settings(max_examples=40)
@given(st.lists(st.floats(0.01, 1), min_size=5, max_size=5), st.lists(st.integers(30, 120), min_size=5, max_size=5))
def test_the_curvature_is_that_of_brute_force(steps: list[float], losses: list[int]) -> None:
    axis = np.array([0.0, *np.cumsum(steps)])
    accuracy = tuple(float(value) for value in 0.95 - np.cumsum([0, *losses]) / 1000)
    found = over(accuracy, axis)
    if found[RMSE_AXIS].curvature is not None:
        assert found[RMSE_AXIS].curvature.value == pytest.approx(brute_force_curvature(np.array(accuracy), axis))
        assert found[RMSE_AXIS].curvature_change.value == pytest.approx(
            brute_force_curvature(np.array(accuracy), axis) - brute_force_curvature(np.array(accuracy), GRID)
        )


def test_severities_of_the_same_images_are_one_point() -> None:
    axis = np.array([0, 0.02, 0.04, 0.06, 0.06, 0.1])
    accuracy = (0.9, 0.88, 0.8, 0.7, 0.7, 0.3)
    found = over(accuracy, axis)[RMSE_AXIS]
    assert found.curvature.value == pytest.approx(
        brute_force_curvature(np.array(accuracy)[[0, 1, 2, 3, 5]], axis[[0, 1, 2, 3, 5]])
    )


def test_an_axis_is_measured_and_rises() -> None:
    assert axis_reason([0, 0.1, 0.2], [0, 1, 2.5], "mean RMSE") is None
    assert axis_reason([0, 0.1, 0.1, 0.2], [0, 1, 2, 3], "mean RMSE") is None
    assert axis_reason([0, 0.1, 0.09], [0, 1, 2.5], "mean RMSE") == "mean RMSE decreases from severity 1 to 2.5"
    assert axis_reason([0, 0.1, 0.1], [0, 1, 2], "mean RMSE") == "mean RMSE is the same at all but one severity"
    assert "do not pair" in str(axis_reason([0, np.nan, 0.1], [0, 1, 2], "mean RMSE"))
