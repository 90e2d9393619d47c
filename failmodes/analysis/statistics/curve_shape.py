"""How a curve falls, without a model: total drop, curvature, largest step, and the shape class that follows from them.

Everything is vectorized over leading axes, so one call describes a curve or a thousand resamples of it. The grid may
be uneven or dense: the chord runs over severity, not over the position in the grid, an inner point weighs as much as
the span it stands for, and rises and collapses are measured over one severity however many points lie between.
Severity is an index, not a dose; a shape holds for the grid it was measured on.

So a steady fall over measured distortion looks late or early over severity where a recipe spaces its levels unevenly,
and shapes are told over both. What a curve loses and whether it rises does not depend on the axis; its curvature does,
and so do the classes of curves that fall. Distortion is the mean over the images of the cell, and is taken as measured:
resampling the images moves accuracy and not the axis.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from failmodes.analysis.statistics.bootstrap import Estimate, Float64Array, Resampling, Word, bootstrap_estimate
from failmodes.analysis.statistics.shares import (
    PairedCounts,
    count_pairs,
    newcombe_interval,
    smallest_detectable_difference,
)

SHAPE_CLASSES = ("flat", "rise", "non_monotone", "late_collapse", "early_drop", "near_linear", "inconclusive")
FLAT, RISE, NON_MONOTONE, LATE_COLLAPSE, EARLY_DROP, NEAR_LINEAR, INCONCLUSIVE = range(len(SHAPE_CLASSES))
FALLING = ("late_collapse", "early_drop", "near_linear")  # classes of a curve that falls, by its curvature
STRIDE = 1  # severities that a rise or a collapse may take: what a step of the published grid spans
MIN_POINTS = 3  # clean, at least one inner severity, the last: fewer have no curvature
EVEN_SHARES = 2  # a collapse in one step loses at least so many times what an even fall would lose in it
SEVERITY_AXIS, RMSE_AXIS, SSIM_AXIS = "severity", "rmse", "1-ssim"
EQUIVALENCE_LEVEL = 0.9  # both one-sided tests at 5 % (Schuirmann 1987), as an interval


@dataclass(frozen=True)
class ShapeSettings(Resampling):
    """Thresholds and resampling of the shape analysis; all are stored beside the shapes and printed.

    Attributes:
        flat_below: a total drop below this is flat, and a rise up to this is no rise; 0-1.
        curvature_threshold: curvature at which a curve counts as late (positive) or early (negative).
    """

    flat_below: float = 0.02
    curvature_threshold: float = 0.15


class LargestStep(NamedTuple):
    """The largest single step: accuracy lost in it (0-1) and the positions in the grid where it begins and ends."""

    lost: Float64Array
    start: NDArray[np.intp]
    end: NDArray[np.intp]


class Margins(NamedTuple):
    """Distances from a curve's own figures to the ends of their intervals, 0-1: what noise may add and take away.

    Attributes:
        drop: (2,) of the total drop: below it, above it.
        equivalence: (2, S - 1) of clean minus accuracy at every severity, at EQUIVALENCE_LEVEL.
        strides: (2, S - 1) of the change in every stride, for all strides together (Bonferroni).
    """

    drop: Float64Array
    equivalence: Float64Array
    strides: Float64Array


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


class CurveShape(NamedTuple):
    """One curve described: its class, the share of resamples with that class and with each, and its figures.

    Attributes:
        shape: one of SHAPE_CLASSES.
        stability: share of resamples with that class.
        shares: share of resamples by class.
        drop: total drop, 0-1, with Newcombe's interval.
        curvature: None unless the curve falls.
        largest: the stride that loses most; as the largest of several it is larger in the sample than in truth.
        largest_interval: its ends, which hold for all strides together.
        one_step: whether that stride is a collapse: 'supported', 'contradicted' or 'inconclusive'.
        flat: whether the curve stays flat, likewise: contradicted where some change from clean lies beyond `flat_below`
            with an interval that holds for all severities and curves together.
        largest_change: the largest change from clean at any severity, down positive, with its interval of
            EQUIVALENCE_LEVEL.
        rise: the largest rise above clean at any severity, with an interval for all severities and curves together.
        rise_position: position in the grid of that severity.
        changes: accuracy after minus before of every adjacent step and the ends of its interval, each (S - 1,).
        smallest_shown: total drop that so many images would show in four of five samples, 0-1.
        margins: see `Margins`.
    """

    shape: str
    stability: float
    shares: dict[str, float]
    drop: Estimate
    curvature: Estimate | None
    largest: LargestStep
    largest_interval: tuple[float, float]
    one_step: Word
    flat: Word
    largest_change: Estimate
    rise: Estimate
    rise_position: int
    changes: tuple[Float64Array, Float64Array, Float64Array]
    smallest_shown: float
    margins: Margins


def curvature(accuracy: ArrayLike, severities: ArrayLike) -> Float64Array:
    """Mean height above the chord over the inner severities, as a share of the total drop (kappa).

    Each inner point weighs as much as the severities nearer to it than to its neighbors: on an even grid all weigh
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


def classify(
    accuracy: ArrayLike,
    severities: ArrayLike,
    margins: Margins,
    settings: ShapeSettings,
    curvatures: Float64Array | None = None,
) -> NDArray[np.intp]:
    """Class of curves (…, S) as positions in SHAPE_CLASSES, the first that holds.

    1. flat: within `flat_below` of the clean accuracy at every severity, intervals included (equivalence, Berger 1982);
    2. non_monotone: some stride rises by more than `flat_below` and beyond its interval, while another falls so or the
       curve as a whole falls;
    3. rise: accuracy at the last severity lies above the clean one, beyond its interval and `flat_below`;
    4. late_collapse, 5. early_drop: a total drop beyond its interval and of at least `flat_below`, with the curvature
       at or beyond the threshold; 6. near_linear: the same with a smaller curvature; 7. inconclusive: the rest.

    Args:
        accuracy: (…, S) curves.
        severities: (S,) rising.
        margins: of their figures.
        settings: thresholds.
        curvatures: (…) over another axis; those over severity if not given.
    """
    curve = np.asarray(accuracy, dtype=np.float64)
    drop, risen = total_drop(curve), stride_changes(curve, severities)
    lost, least = curve[..., :1] - curve[..., 1:], settings.flat_below
    kappa = curvature(curve, severities) if curvatures is None else curvatures
    flat = ((lost + margins.equivalence[1] < least) & (lost - margins.equivalence[0] > -least)).all(axis=-1)
    rises = ((risen > least) & (risen > margins.strides[0])).any(axis=-1)
    sinks = ((-risen > least) & (-risen > margins.strides[1])).any(axis=-1)
    falls, gains = (drop >= least) & (drop > margins.drop[0]), (-drop >= least) & (-drop > margins.drop[1])
    late, early = kappa >= settings.curvature_threshold, kappa <= -settings.curvature_threshold
    conditions = [flat, rises & (sinks | falls), gains, falls & late, falls & early, falls]
    return np.select(conditions, [FLAT, NON_MONOTONE, RISE, LATE_COLLAPSE, EARLY_DROP, NEAR_LINEAR], INCONCLUSIVE)


def describe_curve(
    correct: ArrayLike,
    resampled: ArrayLike,
    severities: ArrayLike,
    settings: ShapeSettings,
    *,
    paired: bool = True,
    curves: int = 1,
) -> CurveShape:
    """Describe one curve by its class, its figures and their intervals.

    Intervals of drops and steps are Newcombe's; those of the curvature, and stability, are over resamples.

    Args:
        correct: (N, S) bool, whether each image is right from clean to the last severity.
        resampled: (B, S) accuracy under B resamples of the images.
        severities: (S,) rising.
        settings: thresholds and level.
        paired: whether rows of `correct` are the same images at every severity.
        curves: of the evaluation: the interval of a rise holds for the severities of all of them together.

    Raises:
        ValueError: fewer than three points, or severities that do not rise.
    """
    is_correct, replicates = np.asarray(correct, dtype=bool), np.asarray(resampled, dtype=np.float64)
    grid = np.asarray(severities, dtype=np.float64)
    if len(grid) < MIN_POINTS or not (np.diff(grid) > 0).all():
        raise ValueError(f"a shape needs at least {MIN_POINTS} rising severities, not {grid.tolist()}")
    level, ends = settings.interval_level, stride_ends(grid)
    from_clean = count_pairs(is_correct[:, :1], is_correct[:, 1:], paired=paired)
    strides = count_pairs(is_correct[:, ends], is_correct[:, :-1], paired=paired)

    def of_pairs(counts: PairedCounts, comparisons: int = 1, level: float = level) -> Float64Array:
        """Differences with the ends of their intervals, (3, S - 1)."""
        return np.stack([counts.difference, *newcombe_interval(counts, comparisons=comparisons, level=level)])

    lost, lost_at_all = of_pairs(from_clean), of_pairs(from_clean, curves * (len(grid) - 1))
    lost_within, risen = of_pairs(from_clean, level=EQUIVALENCE_LEVEL), of_pairs(strides, len(ends))
    changes = of_pairs(count_pairs(is_correct[:, 1:], is_correct[:, :-1], paired=paired))
    margins = Margins(*(np.stack([own[0] - own[1], own[2] - own[0]]) for own in (lost[:, -1], lost_within, risen)))
    accuracy, drop = np.vstack([is_correct.mean(axis=0), replicates]), Estimate(*lost[:, -1].tolist())
    code, *of_resamples = classify(accuracy, grid, margins, settings)
    shares = np.bincount(of_resamples, minlength=len(SHAPE_CLASSES)) / len(replicates)
    largest, most, highest = largest_step(accuracy[0], grid), int(np.abs(lost[0]).argmax()), int(lost[0].argmin())
    leaves = bool((np.maximum(lost_at_all[1], -lost_at_all[2]) > settings.flat_below).any())
    shown = smallest_detectable_difference(from_clean.discordant_share[-1], len(is_correct), level=level)
    return CurveShape(
        shape=SHAPE_CLASSES[code],
        stability=float(shares[code]),
        shares=dict(zip(SHAPE_CLASSES, shares.tolist(), strict=True)),
        drop=drop,
        curvature=bootstrap_estimate(curvature(accuracy, grid), level) if SHAPE_CLASSES[code] in FALLING else None,
        largest=largest,
        largest_interval=(-float(risen[2, largest.start]), -float(risen[1, largest.start])),
        one_step=judge_one_step(risen[1], risen[2], drop, grid),
        flat="supported" if code == FLAT else "contradicted" if leaves else "inconclusive",
        largest_change=Estimate(*lost_within[:, most].tolist()),
        rise=Estimate(*(-lost_at_all[[0, 2, 1], highest]).tolist()),
        rise_position=highest + 1,
        changes=(changes[0], changes[1], changes[2]),
        smallest_shown=float(shown),
        margins=margins,
    )


def judge_one_step(low: Float64Array, high: Float64Array, drop: Estimate, severities: ArrayLike) -> Word:
    """Whether one stride is a collapse: loses EVEN_SHARES times what an even fall over the grid would lose in it.

    Of an even fall over five severities a step has a fifth, so that a collapse is two fifths of the drop. Supported
    only where the lower end of a stride's loss lies above that share of the upper end of the total drop; contradicted
    where the upper ends of all lie below that share of its lower end; with strides as wide as half of the grid it
    cannot hold.

    Args:
        low: (S - 1,) lower ends of the change in accuracy of every stride, which hold for all together.
        high: (S - 1,) upper ends.
        drop: the total drop with its interval.
        severities: (S,) rising.
    """
    grid = np.asarray(severities, dtype=np.float64)
    share = EVEN_SHARES * np.maximum(STRIDE, grid[stride_ends(grid)] - grid[:-1]) / (grid[-1] - grid[0])
    narrow = share < 1
    if drop.above_zero and (narrow & (-high >= share * drop.high)).any():
        return "supported"
    if drop.above_zero and (~narrow | (-low < share * drop.low)).all():
        return "contradicted"
    return "inconclusive"


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
    over_severity, level = curvature(accuracy, severities), settings.interval_level
    found = {}
    for name, axis in axes.items():
        kappa = curvature(*_one_point_each(accuracy, axis))
        codes = classify(accuracy, severities, margins, settings, kappa)
        shape, stability = SHAPE_CLASSES[codes[0]], float((codes[1:] == codes[0]).mean())
        estimates = [
            bootstrap_estimate(one, level) if shape in FALLING else None for one in (kappa, kappa - over_severity)
        ]
        found[name] = ShapeOverAxis(shape, stability, *estimates)
    return found


def _one_point_each(accuracy: Float64Array, axis: ArrayLike) -> tuple[Float64Array, Float64Array]:
    """Curves (…, S) over the different values of an axis (S,): points of the same value are one, of their mean.

    Severities of the very same distortion are of the same images (motion blur of the CIFAR-C recipe at 3 and 4).
    """
    values, place, counts = np.unique(np.asarray(axis, dtype=np.float64), return_inverse=True, return_counts=True)
    members = (place[:, None] == np.arange(len(values))) / counts
    means: Float64Array = np.einsum("...s,sk->...k", accuracy, members)
    return means, values


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
