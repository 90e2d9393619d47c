"""Whether a curve is falsely said to have another shape over measured distortion than over severity."""

from functools import partial

import numpy as np
from claims import FALSE, NEVER_FALSE, NO_LIMIT, POWER, Answers, Claim, Job, answered
from curves import GRIDS, Curve, Floats, bent, draw_outcomes
from shapes import edge_between

from failmodes.analysis.charts.distortion_shapes import axes_verdict
from failmodes.analysis.statistics.curve_fits import covariance_of_means
from failmodes.analysis.statistics.curve_shape import (
    RMSE_AXIS,
    SEVERITY_AXIS,
    ShapeOverAxis,
    ShapeSettings,
    resampled_curve,
    shapes_over_axes,
)
from failmodes.analysis.statistics.estimate import Word
from failmodes.analysis.statistics.shape_tables import MAX_P, p_of_shape

RESAMPLES = 1000
KIND = "shape_over_distortion"
Axis = tuple[float, ...]
EVEN: Axis = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1)
SLOW: Axis = (0.0, 0.01, 0.025, 0.045, 0.07, 0.1)  # distortion grows ever faster
STEEP: Axis = (0.0, 0.005, 0.015, 0.03, 0.055, 0.1)
FAST: Axis = (0.0, 0.03, 0.055, 0.075, 0.09, 0.1)
LINE, LATE, EARLY = (bent(0.9, 0.4, curvature, 6) for curvature in (0.0, 0.3, -0.3))


@answered
def measure(
    curve: Curve, truths: tuple[Curve, ...], axis: Axis, images: int, rng: np.random.Generator, samples: int
) -> Answers:
    """Whether what is said is false of each of the truths, and last whether the shapes are said to differ."""
    true = [true_words(axis, truth) for truth in truths]
    for correct in draw_outcomes(rng, curve, images, samples):
        settings = ShapeSettings(resamples=RESAMPLES, seed=int(rng.integers(2**31)))
        accuracy = correct.mean(axis=0)
        resampled = resampled_curve(accuracy, covariance_of_means(correct), settings)
        said = [_said(over) for over in shapes_over(np.vstack([accuracy, resampled]), axis)]
        verdict = axes_verdict(*said)
        yield [*(_is_false(verdict, said, one) for one in true), verdict == "supported"]


def shapes_over(accuracy: Floats, axis: Axis) -> list[ShapeOverAxis]:
    """The shapes over severity and over distortion of a curve and its resamples (1 + B, S)."""
    grid = GRIDS[accuracy.shape[1]]
    found = shapes_over_axes(accuracy, grid, {SEVERITY_AXIS: grid, RMSE_AXIS: axis}, ShapeSettings())
    return [found[SEVERITY_AXIS], found[RMSE_AXIS]]


def true_words(axis: Axis, curve: Curve) -> list[str]:
    return [over.shape for over in shapes_over(np.array([curve, curve]), axis)]


def _word_over(axis: Axis, place: int, curve: Curve) -> str:
    return true_words(axis, curve)[place]


def _said(over: ShapeOverAxis) -> str:
    return over.shape if p_of_shape(over.stability, RESAMPLES) <= MAX_P else "inconclusive"


def _is_false(verdict: Word, said: list[str], true: list[str]) -> bool:
    if verdict == "supported":  # both words are printed
        return said != true
    return verdict == "contradicted" and true[0] != true[1]


def jobs() -> list[Job]:
    found = []
    cases = [
        ("both", LINE, LATE, EVEN),
        ("distortion", LINE, EARLY, FAST),
        ("distortion", LINE, LATE, SLOW),
        ("distortion", EARLY, LINE, FAST),
        ("severity", LINE, LATE, SLOW),
        ("severity", EARLY, LINE, SLOW),
    ]
    for over, first, second, axis in cases:
        below, above = edge_between(first, second, partial(_word_over, axis, int(over != "severity")))
        words = " | ".join(", ".join(true_words(axis, one)) for one in (below, above))
        truth = f"the shape over {over} at a boundary: {words}"
        for images in (500, 2_000):
            claims = tuple(Claim(KIND, FALSE, truth, images, 6, NEVER_FALSE, side) for side in ("below", "above"))
            found.append(Job(claims, partial(measure, below, (below, above), axis, images)))
    claims = (Claim(KIND, POWER, "curvature .3 over severity, near-linear over distortion", 500, 6, NO_LIMIT),)
    return [*found, Job(claims, partial(measure, LATE, (LATE,), STEEP, 500), columns=(1,))]
