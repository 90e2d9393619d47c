"""Shape over measured distortion: the same curve, with how far images lie from their clean ones in place of severity.

Severity is an index: where a recipe spaces its levels unevenly, a steady fall over distortion looks late or early over
severity. What a curve loses and whether it rises does not depend on the axis; its curvature does, and so do the classes
of curves that fall. The axis is the mean over the images of the cell, and is taken as measured: resampling the images
moves accuracy and not the axis. Severities of the very same distortion are of the same images (motion blur of the
CIFAR-C recipe at 3 and 4) and are one point, of their mean accuracy.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from failmodes.analysis.statistics.bootstrap import Estimate, Float64Array, bootstrap_estimate
from failmodes.analysis.statistics.curve_shape import (
    EARLY_DROP,
    FALLING,
    LATE_COLLAPSE,
    MIN_POINTS,
    NEAR_LINEAR,
    SHAPE_CLASSES,
    Margins,
    ShapeSettings,
    classify,
    curvature,
)

SEVERITY_AXIS, RMSE_AXIS, SSIM_AXIS = "severity", "rmse", "1-ssim"
FALLING_CODES = (LATE_COLLAPSE, EARLY_DROP, NEAR_LINEAR)


class ShapeOverAxis(NamedTuple):
    """The shape of one curve over one axis.

    Attributes:
        shape: one of SHAPE_CLASSES.
        stability: share of resamples with that class.
        curvature: over this axis; None unless the curve falls.
        curvature_change: the curvature over this axis minus that over severity; None unless the curve falls.
    """

    shape: str
    stability: float
    curvature: Estimate | None
    curvature_change: Estimate | None


def shapes_over_axes(
    curve: ArrayLike,
    resampled: ArrayLike,
    severities: ArrayLike,
    axes: Mapping[str, ArrayLike],
    margins: Margins,
    settings: ShapeSettings,
) -> dict[str, ShapeOverAxis]:
    """The shape of a curve over each of several axes.

    Args:
        curve: (S,) accuracy, 0-1.
        resampled: (B, S) accuracy under B resamples of the images.
        severities: (S,) rising.
        axes: by name (S,) never falling, such as the mean distortion at each severity (see `axis_reason`).
        margins: of the curve over severity, of `describe_curve`.
        settings: thresholds and level.
    """
    accuracy = np.vstack([np.asarray(curve, dtype=np.float64), np.asarray(resampled, dtype=np.float64)])
    codes = classify(accuracy, severities, margins, settings)
    does_fall = np.isin(codes, FALLING_CODES)
    over_severity = curvature(accuracy, severities)
    return {
        name: _shape_over(codes, does_fall, curvature(*_one_point_each(accuracy, axis)), over_severity, settings)
        for name, axis in axes.items()
    }


def _one_point_each(accuracy: Float64Array, axis: ArrayLike) -> tuple[Float64Array, Float64Array]:
    """Curves (…, S) over the different values of an axis (S,): points of the same value are one, of their mean."""
    values, place, counts = np.unique(np.asarray(axis, dtype=np.float64), return_inverse=True, return_counts=True)
    members = (place[:, None] == np.arange(len(values))) / counts
    means: Float64Array = np.einsum("...s,sk->...k", accuracy, members)
    return means, values


def _shape_over(
    codes: np.ndarray,
    does_fall: np.ndarray,
    curvatures: Float64Array,
    over_severity: Float64Array,
    settings: ShapeSettings,
) -> ShapeOverAxis:
    late, early = curvatures >= settings.curvature_threshold, curvatures <= -settings.curvature_threshold
    by_curvature = np.select([late, early], [LATE_COLLAPSE, EARLY_DROP], NEAR_LINEAR)
    own = np.where(does_fall, by_curvature, codes)
    shape, stability, level = SHAPE_CLASSES[int(own[0])], float((own[1:] == own[0]).mean()), settings.interval_level
    if shape not in FALLING:
        return ShapeOverAxis(shape, stability, None, None)
    change = curvatures - over_severity
    return ShapeOverAxis(shape, stability, bootstrap_estimate(curvatures, level), bootstrap_estimate(change, level))


def axis_reason(values: ArrayLike, severities: ArrayLike, name: str) -> str | None:
    """Why measured distortion (S,) is no axis of a curve; None where it is one: known, never falling, of MIN_POINTS.

    Args:
        values: (S,) mean distortion at each severity, NaN where it was not measured.
        severities: (S,) rising.
        name: of the measure, for the reason.
    """
    axis, grid = np.asarray(values, dtype=np.float64), np.asarray(severities, dtype=np.float64)
    if not np.isfinite(axis).all():
        return "distortion was not measured: corrupted images do not pair with clean ones"
    falls = np.flatnonzero(np.diff(axis) < 0)
    if len(falls):
        return f"{name} falls from severity {grid[falls[0]]:g} to {grid[falls[0] + 1]:g}"
    if len(np.unique(axis)) < MIN_POINTS:
        return f"{name} is the same at all but one severity"
    return None
