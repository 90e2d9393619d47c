"""Whether a curve is falsely said to have another shape over measured distortion than over severity."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from claims import FALSE, NEVER_FALSE, NO_LIMIT, POWER, Claim, Job
from curves import GRIDS, Curve, Floats, bent, draw_outcomes

from failmodes.analysis.charts.distortion_shapes import axes_verdict
from failmodes.analysis.statistics.bootstrap import resampled_accuracy
from failmodes.analysis.statistics.curve_shape import (
    FALLING,
    RMSE_AXIS,
    SEVERITY_AXIS,
    ShapeOverAxis,
    ShapeSettings,
    curvature,
    describe_curve,
    shapes_over_axes,
)

RESAMPLES = 1000
KIND = "shape_over_distortion"
Axis = tuple[float, ...]
EVEN: Axis = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1)
SLOW: Axis = (0.0, 0.01, 0.025, 0.045, 0.07, 0.1)  # distortion grows ever faster
STEEP: Axis = (0.0, 0.005, 0.015, 0.03, 0.055, 0.1)
FAST: Axis = (0.0, 0.03, 0.055, 0.075, 0.09, 0.1)


def measure(curve: Curve, axis: Axis, images: int, rng: np.random.Generator, samples: int) -> Floats:
    """Whether it is said that the shapes differ, and whether that they are the same."""
    grid, found = GRIDS[len(curve)], []
    settings = ShapeSettings(resamples=RESAMPLES)
    for batch in draw_outcomes(rng, curve, images, samples):
        for correct in batch:
            resampled = resampled_accuracy(correct, RESAMPLES, int(rng.integers(2**31)))
            described = describe_curve(correct, resampled, grid, settings)
            over = shapes_over_axes(
                correct.mean(axis=0), resampled, grid, {SEVERITY_AXIS: grid, RMSE_AXIS: np.array(axis)},
                described.margins, settings,
            )  # fmt: skip
            if any(one.shape not in FALLING for one in over.values()):
                found.append((0.0, 0.0))  # nothing is judged
                continue
            verdict = axes_verdict(*(_row(over[name]) for name in (SEVERITY_AXIS, RMSE_AXIS)))
            found.append((float(verdict == "supported"), float(verdict == "contradicted")))
    return np.array(found)


def _row(over: ShapeOverAxis) -> dict[str, object]:
    """A shape as the table and its finding have it."""
    assert over.curvature is not None
    low, high = over.curvature[1:]
    return {
        "shape": over.shape,
        "stability": over.stability,
        "curvature_low": low,
        "curvature_high": high,
        "reason": None,
    }


def with_curvature(target: float, axis: Sequence[float]) -> Curve:
    """A curve of a drop of 40 points that has exactly this curvature over the axis."""
    own = np.array([float(curvature(np.array(bent(0.9, 0.4, trial, 6)), axis)) for trial in (0.0, 1.0)])
    return bent(0.9, 0.4, float((target - own[0]) / (own[1] - own[0])), 6)


def jobs() -> list[Job]:
    found = []
    cases = [
        ("the curvature is .15 over both", with_curvature(0.15, EVEN), EVEN),
        ("near-linear over both, .15 over distortion", with_curvature(0.1499, FAST), FAST),
        ("late over both, .15 over distortion", with_curvature(0.1501, SLOW), SLOW),
        ("late over both, .15 over severity", bent(0.9, 0.4, 0.1501, 6), FAST),
    ]
    for truth, curve, axis in cases:
        for images in (500, 2_000):
            claims = (Claim(KIND, FALSE, truth, images, 6, NEVER_FALSE),)
            found.append(Job(claims, partial(_column, 0, partial(measure, curve, axis, images)), images * 6))
    claims = (Claim(KIND, FALSE, "-.15 over severity, near-linear over distortion", 500, 6, NEVER_FALSE, "the same"),)
    found.append(Job(claims, partial(_column, 1, partial(measure, bent(0.9, 0.4, -0.15, 6), FAST, 500)), 3_000))
    claims = (Claim(KIND, POWER, "curvature .3 over severity, near-linear over distortion", 500, 6, NO_LIMIT),)
    curve = bent(0.9, 0.4, 0.3, 6)
    return [*found, Job(claims, partial(_column, 0, partial(measure, curve, STEEP, 500)), 3_000)]


def _column(place: int, measured, rng: np.random.Generator, samples: int) -> Floats:
    return measured(rng, samples)[:, [place]]
