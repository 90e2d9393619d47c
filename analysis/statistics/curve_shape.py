"""How a curve falls, without a model: total drop, bow, largest step, and the shape class that follows from them.

Everything is vectorised over leading axes, so one call describes a curve or a thousand resamples of it. The grid may
be uneven or dense: the chord runs over severity, not over the position in the grid, an inner point weighs as much as
the span it stands for, and rises and collapses are measured over one severity however many points lie between.
Severity is an index, not a dose; a shape holds for the grid it was measured on.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from failmodes.analysis.statistics.bootstrap import (
    Estimate,
    Float64Array,
    Resampling,
    bootstrap_estimate,
    percentile_interval,
)

SHAPE_CLASSES = ("flat", "non_monotone", "late_collapse", "early_drop", "near_linear")  # in the order of decision
FLAT, NON_MONOTONE, LATE_COLLAPSE, EARLY_DROP, NEAR_LINEAR = range(len(SHAPE_CLASSES))
STRIDE = 1  # severities that a rise or a collapse may take: what a step of the published grid spans
MIN_POINTS = 3  # clean, at least one inner severity, the last: fewer have no bow


@dataclass(frozen=True)
class ShapeSettings(Resampling):
    """Thresholds and resampling of the shape analysis; all are stored beside the shapes and printed.

    Attributes:
        flat_below: a total drop below this is flat, and a rise up to this is no rise; 0-1.
        bow_threshold: bow at which a curve counts as late (positive) or early (negative).
    """

    flat_below: float = 0.02
    bow_threshold: float = 0.15


class LargestStep(NamedTuple):
    """The largest single step: accuracy lost in it (0-1) and the positions in the grid where it begins and ends."""

    lost: Float64Array
    start: NDArray[np.intp]
    end: NDArray[np.intp]


class Margins(NamedTuple):
    """What a drop or a rise must exceed to be significant: the lower half of its full-sample interval, 0-1."""

    drop: float
    rises: Float64Array  # (S - 1,), by stride


class CurveShape(NamedTuple):
    """One curve described: its class, the share of resamples with that class and with each, and its figures.

    `changes` are the accuracy after minus before every adjacent step and the ends of its interval, each (S - 1,). A
    flat curve has no bow.
    """

    shape: str
    stability: float
    shares: dict[str, float]
    drop: Estimate
    bow: Estimate | None
    largest: LargestStep
    changes: tuple[Float64Array, Float64Array, Float64Array]
    margins: Margins


def bow(accuracy: ArrayLike, severities: ArrayLike) -> Float64Array:
    """Mean height above the chord over the inner severities, as a share of the total drop (kappa).

    Each inner point weighs as much as the severities nearer to it than to its neighbours: on an even grid all weigh
    the same, on an uneven one a cluster of points does not outvote the rest.

    Args:
        accuracy: (…, S) curves, S at least 3.
        severities: (S,) rising, the same for all curves.

    Returns:
        (…): positive where a curve falls late, negative where it falls early, NaN where the total drop is 0.
    """
    curve = np.asarray(accuracy, dtype=np.float64)
    grid = np.asarray(severities, dtype=np.float64)
    weights = (grid[2:] - grid[:-2]) / 2
    above = ((curve - chord(curve, grid))[..., 1:-1] * weights).sum(axis=-1) / weights.sum()
    drop = total_drop(curve)
    kappa: Float64Array = np.divide(above, drop, out=np.full(np.shape(drop), np.nan), where=drop != 0)
    return kappa


def changes(accuracy: ArrayLike) -> Float64Array:
    """Accuracy after minus before of every adjacent step of curves (…, S), shape (…, S - 1)."""
    return np.diff(np.asarray(accuracy, dtype=np.float64), axis=-1)


def total_drop(accuracy: ArrayLike) -> Float64Array:
    """First minus last accuracy of curves (…, S), shape (…)."""
    curve = np.asarray(accuracy, dtype=np.float64)
    return curve[..., 0] - curve[..., -1]


def chord(accuracy: ArrayLike, severities: ArrayLike) -> Float64Array:
    """The straight line over severity between the end points of curves (…, S), shape (…, S)."""
    curve, grid = np.asarray(accuracy, dtype=np.float64), np.asarray(severities, dtype=np.float64)
    position: Float64Array = (grid - grid[0]) / (grid[-1] - grid[0])
    return curve[..., :1] - total_drop(curve)[..., None] * position


def stride_ends(severities: ArrayLike) -> NDArray[np.intp]:
    """For each point of a grid (S,) but the last, the position of the farthest within one severity, shape (S - 1,).

    Where the next point is farther than that, it is the next point. On the published grid strides are its steps; on a
    dense one they overlap, so that a rise or a collapse has as much room as there and is not lost in short steps.
    """
    grid = np.asarray(severities, dtype=np.float64)
    within_reach = np.searchsorted(grid, grid[:-1] + STRIDE + 1e-9, side="right") - 1
    return np.maximum(within_reach, np.arange(1, len(grid)))


def stride_changes(accuracy: ArrayLike, severities: ArrayLike) -> Float64Array:
    """Accuracy after minus before of every stride of curves (…, S), shape (…, S - 1)."""
    curve = np.asarray(accuracy, dtype=np.float64)
    return curve[..., stride_ends(severities)] - curve[..., :-1]


def largest_step(accuracy: ArrayLike, severities: ArrayLike) -> LargestStep:
    """The stride of curves (…, S) that loses most, of the published grid a step; the first of equals."""
    lost = -stride_changes(accuracy, severities)
    start = lost.argmax(axis=-1)
    return LargestStep(lost.max(axis=-1), start, stride_ends(severities)[start])


def classify(accuracy: ArrayLike, severities: ArrayLike, margins: Margins, settings: ShapeSettings) -> NDArray[np.intp]:
    """Class of curves (…, S) as positions in SHAPE_CLASSES, the first that holds.

    1. flat: the total drop is below `flat_below` or not above its margin (it speaks of the end points alone);
    2. non_monotone: some stride rises by more than `flat_below` and by more than its margin;
    3. late_collapse, 4. early_drop: bow at or beyond the threshold; 5. near_linear: the rest.
    """
    drop, rises = total_drop(accuracy), stride_changes(accuracy, severities)
    kappa = bow(accuracy, severities)
    flat = (drop < settings.flat_below) | (drop <= margins.drop)
    rising = ((rises > settings.flat_below) & (rises > margins.rises)).any(axis=-1)
    late, early = kappa >= settings.bow_threshold, kappa <= -settings.bow_threshold
    return np.select([flat, rising, late, early], [FLAT, NON_MONOTONE, LATE_COLLAPSE, EARLY_DROP], NEAR_LINEAR)


def significance_margins(
    accuracy: Float64Array, resampled: Float64Array, severities: Float64Array, level: float
) -> Margins:
    """Lower half-widths of the percentile intervals of the drop and of every stride's rise.

    "Significant" means that the lower end of the interval lies above 0, which is the same as a value above its
    margin. Inside a resample there is no second bootstrap: its own drop and rises are compared with the margins of
    the full sample, so that point and resamples are judged by one rule.

    Args:
        accuracy: (S,) the curve.
        resampled: (B, S) its resamples.
        severities: (S,) rising.
        level: level of the intervals.
    """
    drop_low, _ = percentile_interval(total_drop(resampled), level)
    rise_low, _ = percentile_interval(stride_changes(resampled, severities), level)
    return Margins(float(total_drop(accuracy) - drop_low), stride_changes(accuracy, severities) - rise_low)


def describe_curve(
    accuracy: ArrayLike, resampled: ArrayLike, severities: ArrayLike, settings: ShapeSettings
) -> CurveShape:
    """Describe one curve by its class, its figures and their intervals over the resamples.

    Args:
        accuracy: (S,) accuracy from clean to the last severity, 0-1.
        resampled: (B, S) the same under B resamples of the images.
        severities: (S,) rising.
        settings: thresholds and level.

    Raises:
        ValueError: fewer than three points, or severities that do not rise.
    """
    curve, draws = np.asarray(accuracy, dtype=np.float64), np.asarray(resampled, dtype=np.float64)
    grid = np.asarray(severities, dtype=np.float64)
    if len(grid) < MIN_POINTS or not (np.diff(grid) > 0).all():
        raise ValueError(f"a shape needs at least {MIN_POINTS} rising severities, not {grid.tolist()}")
    level = settings.interval_level
    margins = significance_margins(curve, draws, grid, level)
    code = int(classify(curve, grid, margins, settings))
    shares = np.bincount(classify(draws, grid, margins, settings), minlength=len(SHAPE_CLASSES)) / len(draws)
    states = np.vstack([curve, draws])
    return CurveShape(
        shape=SHAPE_CLASSES[code],
        stability=float(shares[code]),
        shares=dict(zip(SHAPE_CLASSES, shares.tolist(), strict=True)),
        drop=bootstrap_estimate(total_drop(states), level),
        bow=None if code == FLAT else bootstrap_estimate(bow(states, grid), level),
        largest=largest_step(curve, grid),
        changes=(changes(curve), *percentile_interval(changes(draws), level)),
        margins=margins,
    )
