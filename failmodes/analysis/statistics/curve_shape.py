"""The shape of a curve: how accuracy changes from clean to the last severity.

`shapes_of` defines the shapes for exact curves, first match first; a drop is clean minus last accuracy:

- `flat`: every severity within `flat_below` of clean;
- `rise`, `recovers`, `up_and_down`: it turns. A turn is a change of direction by at least a quarter of the curve's
  range, and by at least `flat_below`. `rise` only rises, `recovers` drops and then rises, `up_and_down` is any other;
- `near_linear`: on average (root mean square) within `flat_below` of the straight line; or within 12.5% of the drop,
  unless its first half lies above the line and its second below by 7.5% of the drop on average;
- `two_steps`: two steps with one between them make up 70% of the drop, each of them 30%;
- `abrupt`: one step is 70% of the drop;
- `late`, `early`: the curvature is at least `curvature_threshold`, or at most its negative;
- `middle`: none of these, and the steepest step is an inner one;
- `inconclusive`: none of these.

A step is the change over one severity, however many points of a dense grid are within it. A curve is estimated from a
sample of images, so a shape is named only if nearly all resamples of the curve have it: normal samples of its
accuracies with their covariance over images (a parametric bootstrap; Efron and Tibshirani 1998, The problem of regions,
Annals of Statistics 26, 1687-1718). The share of resamples with another shape is its p value.

Severity levels are ordinal, not equally spaced: the same function describes curves over measured distortion, scaled to
the same length.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import NamedTuple

import duckdb
import numpy as np
from numpy.typing import ArrayLike, NDArray

from failmodes.analysis.statistics.curve_fits import covariance_of_means
from failmodes.analysis.statistics.estimate import Estimate, Float64Array
from failmodes.analysis.statistics.shares import (
    PairedCounts,
    count_pairs,
    newcombe_interval,
    smallest_detectable_difference,
)
from failmodes.warehouse.curve_shapes import FALLING, NO_SHAPE, SHAPE_NAMES, STEPPED, TURNING
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.metrics.duplicates import Groups, independent_share

STRIDE = 1.0  # length of a step in severities: the distance of two levels of the published grid
MIN_POINTS = 3  # clean, at least one inner severity, the last
TURN = 0.25  # share of the range by which a curve turns
NEAR_CHORD = 0.125  # share of the drop
SIGMOID = 0.075  # share of the drop: mean height of the first half above the chord, and of the second below it
ABRUPT_STEP = 0.7  # share of the drop
BOTH_STEPS, EACH_STEP = 0.7, 0.3  # shares of the drop
EVEN_SHARES = 2  # an abrupt step is at least this many times that of a straight line: matters on coarse grids
SMALL = 0.1  # drops shown to be smaller are called small
EQUIVALENCE_LEVEL = 0.9  # both one-sided tests at 5% (Schuirmann 1987), as an interval
_NO_SHAPE = SHAPE_NAMES.index(NO_SHAPE)
SETTINGS = "resamples, bootstrap_seed, interval_level, flat_below, curvature_threshold"  # columns, as in ShapeSettings
MAX_RESAMPLES = 100_000  # in stored settings
SEVERITY_AXIS, RMSE_AXIS, SSIM_AXIS, VALUE_AXIS = "severity", "rmse", "1-ssim", "level_value"


@dataclass(frozen=True)
class ShapeSettings:
    """Thresholds and resampling of the shape analysis; all are stored beside the shapes and printed.

    Resampling stands for another sample of test images alone, never for another training seed.

    Attributes:
        resamples: of each curve.
        seed: of the resampling.
        interval_level: of all intervals.
        flat_below: smaller changes count as none, 0-1.
        curvature_threshold: curvature from which on a curve drops late (positive) or early (negative).
    """

    resamples: int = 5000
    seed: int = 0
    interval_level: float = 0.95
    flat_below: float = 0.02
    curvature_threshold: float = 0.125


def stored_settings(con: duckdb.DuckDBPyConnection) -> ShapeSettings:
    """The settings of the stored shapes; the defaults without shapes, or if the stored settings are out of range.

    A file from outside may ask for a billion resamples.
    """
    row = fetch_first(
        con,
        f"select {SETTINGS} from shapes "
        f"where resamples between 1 and {MAX_RESAMPLES} and bootstrap_seed >= 0 and flat_below between 0 and 1 "
        "and interval_level between 0.5 and 0.999 and curvature_threshold >= 0 and isfinite(curvature_threshold) "
        "limit 1",
    )
    return ShapeSettings(*(row or ()))


class ShapesOfCurves(NamedTuple):
    """The shape of each of several curves, as positions in SHAPE_NAMES, and the positions of their largest steps.

    Attributes:
        codes: (…) positions in SHAPE_NAMES.
        starts: (…, 2) positions in the grid where the largest step begins, for `two_steps` where both begin.
    """

    codes: NDArray[np.intp]
    starts: NDArray[np.intp]


class CurveShape(NamedTuple):
    """One curve described.

    Attributes:
        shape: of the sample's own curve, one of SHAPE_NAMES.
        stability: share of resamples with the same shape and, if it names steps, with overlapping steps.
        shares: share of resamples by shape.
        drop: total drop, 0-1, with Newcombe's interval.
        curvature: None unless the curve drops.
        largest: accuracy drop in the steepest step; as the largest of several it is biased upwards, and its interval
            holds for all steps together.
        largest_at: positions in the grid where that step begins and ends.
        other_at: the same for the other step of `two_steps`; else None.
        largest_change: clean minus accuracy at the severity farthest from clean; its interval holds for all severities.
        largest_change_at: position in the grid of that severity.
        changes_within: the change from clean at every severity is at most this, with 95% confidence.
        changes: accuracy after minus before each adjacent step and the ends of its interval, each (S - 1,).
        smallest_shown: total drop that this number of images detects with a power of 80%, 0-1.
    """

    shape: str
    stability: float
    shares: dict[str, float]
    drop: Estimate
    curvature: Estimate | None
    largest: Estimate
    largest_at: tuple[int, int]
    other_at: tuple[int, int] | None
    largest_change: Estimate
    largest_change_at: int
    changes_within: float
    changes: tuple[Float64Array, Float64Array, Float64Array]
    smallest_shown: float


class ShapeOverAxis(NamedTuple):
    """The shape of one curve over one axis.

    Attributes:
        shape: of the sample's own curve, one of SHAPE_NAMES.
        stability: share of resamples with that shape.
        curvature: over this axis; None unless the curve drops.
        curvature_change: the curvature over this axis minus that over severity; None unless the curve drops.
    """

    shape: str
    stability: float
    curvature: Estimate | None
    curvature_change: Estimate | None


def curvature(accuracy: ArrayLike, severities: ArrayLike) -> Float64Array:
    """Mean height above the chord over the inner severities, as a share of the total drop (kappa).

    The weight of an inner point is the range of severities closest to it: equal on an even grid; on an uneven grid a
    cluster of points does not dominate.

    Args:
        accuracy: (…, S) curves, S at least 3.
        severities: (S,) rising, the same for all curves.

    Returns:
        (…): positive if a curve drops late, negative if it drops early, NaN if the total drop is 0.
    """
    curve = np.asarray(accuracy, dtype=np.float64)
    grid = np.asarray(severities, dtype=np.float64)
    above = ((curve - chord(curve, grid))[..., 1:-1] * _weights(grid)).sum(axis=-1)
    drop = total_drop(curve)
    kappa: Float64Array = np.divide(above, drop, out=np.full(np.shape(drop), np.nan), where=drop != 0)
    return kappa


def _weights(grid: Float64Array) -> Float64Array:
    """Weights of the inner points of a grid (S,), (S - 2,), with a sum of 1."""
    spans = (grid[2:] - grid[:-2]) / 2
    weights: Float64Array = spans / spans.sum()
    return weights


def total_drop(accuracy: ArrayLike) -> Float64Array:
    """First minus last accuracy of curves (…, S), shape (…)."""
    curve = np.asarray(accuracy, dtype=np.float64)
    return curve[..., 0] - curve[..., -1]


def chord(accuracy: ArrayLike, severities: ArrayLike) -> Float64Array:
    """The straight line over severity between the end points of curves (…, S), shape (…, S)."""
    curve = np.asarray(accuracy, dtype=np.float64)
    grid = np.asarray(severities, dtype=np.float64)
    position: Float64Array = (grid - grid[0]) / (grid[-1] - grid[0])
    return curve[..., :1] - total_drop(curve)[..., None] * position


def step_ends(severities: ArrayLike) -> NDArray[np.intp]:
    """For each point of a grid (S,) but the last, the position of the farthest within one severity, shape (S - 1,).

    If the next point is farther than that, it is the next point. On the published grid, steps are those between its
    levels; on a dense one they overlap, so that a drop is not divided into short steps.
    """
    grid = np.asarray(severities, dtype=np.float64)
    within_reach = np.searchsorted(grid, grid[:-1] + STRIDE + 1e-9, side="right") - 1
    ends: NDArray[np.intp] = np.maximum(within_reach, np.arange(1, len(grid)))
    return ends


def step_changes(accuracy: ArrayLike, severities: ArrayLike) -> Float64Array:
    """Accuracy after minus before of every step of curves (…, S), shape (…, S - 1)."""
    curve = np.asarray(accuracy, dtype=np.float64)
    changes: Float64Array = curve[..., step_ends(severities)] - curve[..., :-1]
    return changes


def shapes_of(accuracy: ArrayLike, severities: ArrayLike, settings: ShapeSettings) -> ShapesOfCurves:
    """The shapes of curves without sampling error, as defined above.

    Args:
        accuracy: (…, S) curves, 0-1.
        severities: (S,) rising.
        settings: thresholds.
    """
    curve = np.asarray(accuracy, dtype=np.float64)
    grid = np.asarray(severities, dtype=np.float64)
    least = settings.flat_below
    drop = total_drop(curve)
    steps = _shares_of_steps(curve, grid)
    largest = steps.max(axis=-1)
    start = steps.argmax(axis=-1)
    both, smaller, starts = _two_largest(steps, grid)
    even = np.maximum(STRIDE, grid[step_ends(grid)] - grid[:-1]) / (grid[-1] - grid[0])
    kappa = curvature(curve, grid)
    threshold = settings.curvature_threshold
    above = (curve - chord(curve, grid))[..., 1:-1]
    from_line = np.sqrt((np.square(above) * _weights(grid)).sum(axis=-1))
    half = np.sign((grid[0] + grid[-1]) / 2 - grid[1:-1])  # -1 of the second
    is_sigmoid = (above * half * _weights(grid)).sum(axis=-1) >= SIGMOID * drop
    swings, goes_down = _swings(curve, np.maximum(least, TURN * np.ptp(curve, axis=-1)))
    falls = (swings == 1) & goes_down & (drop >= least)
    conditions = {
        "flat": (np.abs(curve - curve[..., :1]) < least).all(axis=-1),
        "rise": (swings == 1) & ~goes_down & (-drop >= least),
        "recovers": (swings == 2) & goes_down,
        "up_and_down": swings >= 2,
        "near_linear": falls & (from_line <= np.where(is_sigmoid, least, np.maximum(least, NEAR_CHORD * drop))),
        "two_steps": falls & (both >= BOTH_STEPS) & (smaller >= EACH_STEP),
        "abrupt": falls & (largest >= np.maximum(ABRUPT_STEP, EVEN_SHARES * even[start])),
        "late": falls & (kappa >= threshold),
        "early": falls & (kappa <= -threshold),
        "middle": falls & (start > 0) & (step_ends(grid)[start] < len(grid) - 1),
    }
    codes = np.select(list(conditions.values()), codes_of(*conditions), _NO_SHAPE)
    is_two_steps = np.isin(codes, codes_of("two_steps"))
    return ShapesOfCurves(codes, np.where(is_two_steps[..., None], starts, start[..., None]))


def shape_of_curve(accuracy: ArrayLike, severities: ArrayLike, settings: ShapeSettings | None = None) -> str:
    """The shape of one curve (S,) without sampling error, one of SHAPE_NAMES."""
    return SHAPE_NAMES[int(shapes_of(accuracy, severities, settings or ShapeSettings()).codes)]


def codes_of(*names: str) -> list[int]:
    """The positions of shapes in SHAPE_NAMES."""
    return [SHAPE_NAMES.index(name) for name in names]


def _swings(curve: Float64Array, least: Float64Array) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """How often curves (…, S) change direction by `least` (…), the first time included, and whether that is down."""
    high = low = curve[..., 0]
    direction = np.zeros(high.shape, np.intp)
    swings = np.zeros_like(direction)
    goes_down = np.zeros(high.shape, np.bool_)
    for point in np.moveaxis(curve, -1, 0):
        down = (direction >= 0) & (high - point >= least)
        up = (direction <= 0) & (point - low >= least)
        goes_down |= down & (swings == 0)
        swings = swings + (down | up)
        direction = np.where(down, -1, np.where(up, 1, direction))
        high = np.where(up, point, np.maximum(high, point))
        low = np.where(down, point, np.minimum(low, point))
    return swings, goes_down


def _shares_of_steps(curve: Float64Array, grid: Float64Array) -> Float64Array:
    """The drop in every step as a share of the total drop, (…, S - 1); 0 for curves that do not drop."""
    drop = total_drop(curve)[..., None]
    lost = -step_changes(curve, grid)
    shares: Float64Array = np.divide(lost, drop, out=np.zeros_like(lost), where=drop > 0)
    return shares


def _two_largest(steps: Float64Array, grid: Float64Array) -> tuple[Float64Array, Float64Array, NDArray[np.intp]]:
    """The two largest steps (…, S - 1) with a step between them: their sum, the smaller one, both positions."""
    most = np.zeros(steps.shape[:-1])
    smaller = np.zeros(steps.shape[:-1])
    starts = np.zeros((*steps.shape[:-1], 2), np.intp)
    ends = step_ends(grid)
    large = np.flatnonzero((steps >= EACH_STEP).reshape(-1, len(grid) - 1).any(axis=0))
    for first, second in combinations(large.tolist(), 2):
        if second <= ends[first] or grid[second] - grid[ends[first]] < STRIDE - 1e-9:
            continue
        least = np.minimum(steps[..., first], steps[..., second])
        both = steps[..., first] + steps[..., second]
        is_more = (both > most) & (least >= EACH_STEP)
        most = np.where(is_more, both, most)
        smaller = np.where(is_more, least, smaller)
        starts = np.where(is_more[..., None], (first, second), starts)
    return most, smaller, starts


def resampled_curve(accuracy: ArrayLike, covariance: ArrayLike, resampling: ShapeSettings) -> Float64Array:
    """Normal samples (B, S) of a curve (S,) with the covariance (S, S) of its accuracies over images."""
    curve = np.asarray(accuracy, dtype=np.float64)
    draws = np.random.default_rng(resampling.seed).standard_normal((resampling.resamples, len(curve)))
    resampled: Float64Array = curve + draws @ np.linalg.cholesky(np.asarray(covariance, dtype=np.float64)).T
    return resampled


def describe_curve(
    correct: ArrayLike,
    severities: ArrayLike,
    settings: ShapeSettings,
    *,
    paired: bool = True,
    groups: Groups | None = None,
    resampled: Float64Array | None = None,
    curves: int = 1,
) -> CurveShape:
    """Describe one curve: its shape, drops and steps with intervals.

    Intervals of drops and steps are Newcombe's; those of the curvature, and stability, are over resamples.

    Args:
        correct: (N, S) bool, whether each image is correct from clean to the last severity.
        severities: (S,) rising.
        settings: thresholds, resampling and level.
        paired: whether rows of `correct` are the same images at every severity.
        groups: (N,) of duplicates among the images; None if they are distinct.
        resampled: (B, S) of `resampled_curve`, if already computed.
        curves: how many are described: a curve turns only if its largest change is shown among those of all curves,
            since resamples of a flat one turn as often as the sample does.

    Raises:
        ValueError: fewer than three points, or severities that do not rise.
    """
    is_correct = np.asarray(correct, dtype=bool)
    grid = np.asarray(severities, dtype=np.float64)
    if len(grid) < MIN_POINTS or not (np.diff(grid) > 0).all():
        raise ValueError(f"a shape needs at least {MIN_POINTS} rising severities, not {grid.tolist()}")
    if resampled is None:
        covariance = covariance_of_means(is_correct, paired=paired, groups=groups)
        resampled = resampled_curve(is_correct.mean(axis=0), covariance, settings)
    independent = independent_share(groups)
    pairs = partial(count_pairs, paired=paired, independent=independent)
    level = settings.interval_level
    ends = step_ends(grid)
    from_clean = pairs(is_correct[:, :1], is_correct[:, 1:])
    drops = _intervals(from_clean, level)
    farthest = int(np.abs(drops[0]).argmax())
    in_steps = _intervals(pairs(is_correct[:, :-1], is_correct[:, ends]), level, len(ends))
    changes = _intervals(pairs(is_correct[:, 1:], is_correct[:, :-1]), level)
    accuracy = np.vstack([is_correct.mean(axis=0), resampled])
    shapes = shapes_of(accuracy, grid, settings)
    change = Estimate(*_intervals(from_clean, level, (len(grid) - 1) * curves)[:, farthest].tolist())
    if not (change.above_zero or change.below_zero):
        shapes = _without_turns(shapes)
    shape = SHAPE_NAMES[shapes.codes[0]]
    starts = sorted(set(shapes.starts[0].tolist()), key=lambda start: -in_steps[0, start])
    steps = [(start, int(ends[start])) for start in starts]
    shares = np.bincount(shapes.codes[1:], minlength=len(SHAPE_NAMES)) / len(resampled)
    shown = smallest_detectable_difference(from_clean.discordant_share[-1], len(is_correct) * independent, level=level)
    return CurveShape(
        shape=shape,
        stability=float(_is_same(shapes, grid).mean()),
        shares=dict(zip(SHAPE_NAMES, shares.tolist(), strict=True)),
        drop=Estimate(*drops[:, -1].tolist()),
        curvature=bootstrap_estimate(curvature(accuracy, grid), level) if shape in FALLING else None,
        largest=Estimate(*in_steps[:, starts[0]].tolist()),
        largest_at=steps[0],
        other_at=steps[1] if len(steps) > 1 else None,
        largest_change=Estimate(*_intervals(from_clean, level, len(grid) - 1)[:, farthest].tolist()),
        largest_change_at=farthest + 1,
        changes_within=float(np.abs(_intervals(from_clean, EQUIVALENCE_LEVEL)[1:]).max()),
        changes=(changes[0], changes[1], changes[2]),
        smallest_shown=float(shown),
    )


def _without_turns(shapes: ShapesOfCurves) -> ShapesOfCurves:
    """The shapes, inconclusive where they turn."""
    return shapes._replace(codes=np.where(np.isin(shapes.codes, codes_of(*TURNING)), _NO_SHAPE, shapes.codes))


def _intervals(counts: PairedCounts, level: float, comparisons: int = 1) -> Float64Array:
    """Differences of pairs of cells with the ends of their intervals, (3, …)."""
    return np.stack([counts.difference, *newcombe_interval(counts, comparisons=comparisons, level=level)])


def _is_same(shapes: ShapesOfCurves, grid: Float64Array) -> NDArray[np.bool_]:
    """Whether each curve but the first has the same shape, (B,), and overlapping steps if the shape names steps."""
    is_same: NDArray[np.bool_] = shapes.codes[1:] == shapes.codes[0]
    if SHAPE_NAMES[shapes.codes[0]] in STEPPED:
        far = np.abs(grid[shapes.starts[1:]] - grid[shapes.starts[0]]) >= STRIDE - 1e-9
        is_same &= ~far.any(axis=-1)
    return is_same


def bootstrap_estimate(values: Float64Array, level: float = 0.95) -> Estimate:
    """The first of `values` (1 + B,) with the percentile interval of the rest, its resamples, where finite."""
    resampled = values[1:]
    ends = np.quantile(resampled[np.isfinite(resampled)], [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(values[0]), *ends.tolist())


def shapes_over_axes(
    accuracy: Float64Array, severities: ArrayLike, axes: Mapping[str, ArrayLike], settings: ShapeSettings
) -> dict[str, ShapeOverAxis]:
    """The shape of a curve over each of several axes.

    Args:
        accuracy: (1 + B, S): the curve, 0-1, and its resamples.
        severities: (S,) rising.
        axes: by name (S,) never decreasing, such as the mean distortion at each severity (see `axis_reason`).
        settings: thresholds and level.
    """
    over_severity = curvature(accuracy, severities)
    length = float(np.asarray(severities)[-1])
    shapes = {}
    for name, axis in axes.items():
        curves, values = _one_point_each(accuracy, axis)
        scaled = (values - values[0]) / (values[-1] - values[0]) * length
        kappa = curvature(curves, values)
        over_axis = shapes_of(curves, scaled, settings)
        shape = SHAPE_NAMES[over_axis.codes[0]]
        estimates = [
            bootstrap_estimate(curvatures, settings.interval_level) if shape in FALLING else None
            for curvatures in (kappa, kappa - over_severity)
        ]
        shapes[name] = ShapeOverAxis(shape, float(_is_same(over_axis, scaled).mean()), *estimates)
    return shapes


def _one_point_each(accuracy: Float64Array, axis: ArrayLike) -> tuple[Float64Array, Float64Array]:
    """Curves (…, S) over the different values of an axis (S,): points of the same value are averaged.

    Severities of the same distortion have the same images (motion blur of the CIFAR-C recipe at 3 and 4).
    """
    values, place, counts = np.unique(np.asarray(axis, dtype=np.float64), return_inverse=True, return_counts=True)
    members = (place[:, None] == np.arange(len(values))) / counts
    means: Float64Array = np.einsum("...s,sk->...k", accuracy, members)
    return means, values


def axis_reason(values: ArrayLike, severities: ArrayLike, name: str) -> str | None:
    """Why measured distortion (S,) is not a valid axis; None if it is: measured, never decreasing, MIN_POINTS values.

    Args:
        values: (S,) mean distortion at each severity, NaN if not measured.
        severities: (S,) rising.
        name: of the measure, for the reason.
    """
    axis = np.asarray(values, dtype=np.float64)
    grid = np.asarray(severities, dtype=np.float64)
    if not np.isfinite(axis).all():
        return "distortion was not measured: corrupted images do not pair with clean ones"
    falls = np.flatnonzero(np.diff(axis) < 0)
    if len(falls):
        return f"{name} decreases from severity {grid[falls[0]]:g} to {grid[falls[0] + 1]:g}"
    if len(np.unique(axis)) < MIN_POINTS:
        return f"{name} is the same at all but one severity"
    return None
