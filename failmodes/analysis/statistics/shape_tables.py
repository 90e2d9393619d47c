"""Derived tables of curves: shapes, steps, other axes, breaks, fits, ranks and early warning."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, replace
from decimal import Decimal
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from failmodes.analysis.evaluations.selection import read_metrics
from failmodes.analysis.statistics.curve_fits import (
    FEWEST_CHANGING,
    ChangePoint,
    covariance_of_means,
    find_change_point,
    fit_curve,
)
from failmodes.analysis.statistics.curve_shape import (
    MIN_POINTS,
    RMSE_AXIS,
    SETTINGS,
    SEVERITY_AXIS,
    SSIM_AXIS,
    VALUE_AXIS,
    CurveShape,
    ShapeOverAxis,
    ShapeSettings,
    axis_reason,
    describe_curve,
    resampled_curve,
    shapes_of,
    shapes_over_axes,
    stored_settings,
)
from failmodes.analysis.statistics.derived_rows import DerivedTable, evaluation_inputs, replace_rows
from failmodes.analysis.statistics.early_warning import early_warning_rows, measure_early_warning
from failmodes.analysis.statistics.estimate import Float64Array, interval_columns
from failmodes.analysis.statistics.failure_order import (
    FEWEST_OF_CLASS,
    MEASURES,
    RankedDrop,
    columns_of_drops,
    rank_classes,
    rank_corruptions,
)
from failmodes.analysis.statistics.level_axes import OFF_SCALE, LevelAxis, read_level_axes
from failmodes.analysis.statistics.published import published_made, update_published_shapes
from failmodes.analysis.statistics.run_rows import RunRows, read_run
from failmodes.analysis.statistics.shares import discoveries, holm
from failmodes.analysis.statistics.sufficiency import (
    NON_FINITE,
    chance_from,
    chance_of,
    is_below_chance,
    non_finite_cells,
)
from failmodes.runtime.errors import WarehouseError
from failmodes.runtime.hashing import identity_of, source_hash
from failmodes.runtime.progress import counted
from failmodes.warehouse.curve_shapes import NO_SHAPE, SHAPE_LABELS, SHAPE_NAMES, TURNING
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.database_schema import CURVE_TABLES, EARLY_WARNING, SHAPE_SWEEP, STEPS
from failmodes.warehouse.database_schema import SHAPES as SHAPE_TABLE
from failmodes.warehouse.metrics.metric import FEWEST_IMAGES, too_few
from failmodes.warehouse.schema import CLEAN, OTHER_GROUP

TABLES = (SHAPE_TABLE, STEPS, SHAPE_SWEEP, EARLY_WARNING, *CURVE_TABLES)
FLAT_SWEEP = (0.01, 0.02, 0.05)
CURVATURE_SWEEP = (0.10, 0.125, 0.15)
FALSE_SHAPES = 0.05  # expected share of false ones among the named shapes of an evaluation
# Largest p value of a named shape: at the boundary between shapes, about 1% of samples are named falsely
MAX_P = 0.02
AXIS_TITLES = {RMSE_AXIS: "mean RMSE", SSIM_AXIS: "mean 1 \u2212 SSIM"}
Row = dict[str, Any]


class DescribedCurve(NamedTuple):
    """One curve of an evaluation with its shape.

    Attributes:
        corruption: its name.
        grid: (S,) severities, rising from 0.
        columns: of its cells in the rows of the evaluation.
        resampled: (B, S) resamples of the curve.
        shape: of `describe_curve`.
        reason: why its shape is inconclusive; None if it is not.
        is_withheld: whether there are too few images, or too many predictions that are not finite, for a shape.
    """

    corruption: str
    grid: Float64Array
    columns: list[int]
    resampled: Float64Array
    shape: CurveShape
    reason: str | None
    is_withheld: bool


class EvaluationCurves(NamedTuple):
    """The curves of one evaluation, with its rows, chance accuracy and settings."""

    run: RunRows
    chance: float | None
    settings: ShapeSettings
    curves: list[DescribedCurve]

    @property
    def image_count(self) -> int:
        """Effective number of images of each cell."""
        return round(self.run.effective_count)


def due_shapes(con: duckdb.DuckDBPyConnection) -> list[str]:
    """The derived tables that a load would compute."""
    settings = stored_settings(con)
    due = {"shapes": _due(con, shapes_made(con, settings), settings)}
    due["published_shapes"] = published_made(con, settings).due(con)
    return [name for name, keys in due.items() if keys]


def update_shapes(con: duckdb.DuckDBPyConnection, settings: ShapeSettings | None = None) -> bool:
    """Store the shapes of evaluations, and of published models, whose stored shapes are not current.

    Incomplete evaluations have none: `open_current` gives the reason.

    Args:
        con: the warehouse, which may be written.
        settings: thresholds and resampling; None keeps those of the stored shapes, or takes the defaults.

    Returns:
        Whether anything was computed.
    """
    settings = settings or stored_settings(con)
    published = update_published_shapes(con, settings)
    made = shapes_made(con, settings)
    due = sorted({*_due(con, made, settings), *without_shapes(con)})
    if not due:
        return published
    rows: dict[str, list[Row]] = {table.name: [] for table in TABLES}
    unfit = []
    for evaluation_id in counted("shapes", due):
        try:
            for name, table_rows in shape_rows(con, evaluation_id, settings).items():
                rows[name] += [{"evaluation_id": evaluation_id, **row} for row in table_rows]
        except WarehouseError:  # raised before any row is computed
            unfit.append(evaluation_id)
    replaced = None if len(due) == len(made.inputs) else due  # also removes rows of evaluations that no longer exist
    for table in TABLES:
        replace_rows(con, table, rows[table.name], replaced)
    made.record(con, unfit)
    return True


def shapes_made(con: duckdb.DuckDBPyConnection, settings: ShapeSettings) -> DerivedTable:
    """The inputs of the shapes of each evaluation."""
    inputs = {key: identity_of([inputs_hash, asdict(settings)]) for key, inputs_hash in evaluation_inputs(con).items()}
    return DerivedTable("shapes", source_hash("failmodes.analysis.statistics"), inputs)


def _due(con: duckdb.DuckDBPyConnection, made: DerivedTable, settings: ShapeSettings) -> list[str]:
    return made.due(con) if are_ours(con, settings) else list(made.inputs)


def without_shapes(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Evaluations with clean and corrupted cells but without stored rows, whatever `computed` says.

    Those whose cells have different numbers of images have none.
    """
    rows = con.execute(
        "select evaluation_id from shards semi join evaluations using (evaluation_id) "
        "anti join corruption_ranks using (evaluation_id) anti join (select evaluation_id from cell_predictions "
        "group by evaluation_id having count(distinct image_count) > 1) using (evaluation_id) "
        "where table_name = 'prediction_facts' "
        "group by evaluation_id having bool_or(corruption = $1) and bool_or(corruption <> $1)",
        [CLEAN],
    ).fetchall()
    return [evaluation_id for (evaluation_id,) in rows]


def are_ours(con: duckdb.DuckDBPyConnection, settings: ShapeSettings) -> bool:
    """Whether the stored tables contain only rows that this program could have stored: a file may be malicious."""
    axes = [SEVERITY_AXIS, *AXIS_TITLES]  # of every curve; VALUE_AXIS of those whose levels have values
    if con.execute(f"select distinct {SETTINGS} from shapes").fetchall() not in ([], [astuple(settings)]):
        return False
    known = fetch_first(
        con,
        "select (select count(*) from shapes where not (shape = any($1) and sample_shape = any($1))) "
        "+ (select count(*) from shapes_over_distortion where not (shape = any($1) and axis = any($2))) "
        "+ (select count(*) from change_points where not threshold = any($3))",
        [list(SHAPE_NAMES), [*axes, VALUE_AXIS], ["supported", "contradicted", "inconclusive"]],
    )
    curves = "select distinct evaluation_id, corruption from"
    over_axes = [f"(from shapes_over_distortion where axis = '{axis}')" for axis in axes]
    beyond = f"{curves} shapes_over_distortion where axis = '{VALUE_AXIS}' except {curves} shapes limit 1"
    return (
        known == (0,)
        and not con.execute(beyond).fetchall()
        and all(
            not con.execute(
                f"({curves} shapes except {curves} {other}) union all ({curves} {other} except {curves} shapes) limit 1"
            ).fetchall()
            for other in ("steps", "shape_sweep", *over_axes)
        )
    )


def shape_rows(
    con: duckdb.DuckDBPyConnection, evaluation_id: str, settings: ShapeSettings
) -> Mapping[str, Iterable[Row]]:
    """Rows of every table for one evaluation, by name of the table; curves of fewer than three points have none.

    There are none for cells of different numbers of images either: shapes are of one number.

    Raises:
        WarehouseError: a cell is incomplete.
    """
    run = read_run(con, evaluation_id)
    if not run.is_even:
        return {table.name: () for table in TABLES}
    chance = chance_of(con, evaluation_id)
    curves = _described(run, non_finite_cells(con, evaluation_id), settings)
    evaluation = EvaluationCurves(run, chance, settings, curves)
    rows = {table.name: list[Row]() for table in (SHAPE_TABLE, STEPS, SHAPE_SWEEP)}
    for curve in curves:
        key = {"corruption": curve.corruption}
        correct = run.correct[:, curve.columns]
        swept = _sweep_rows(correct.mean(axis=0), curve.grid, settings)
        rows["shapes"].append(key | _shape_row(curve, evaluation))
        rows["steps"] += [key | row for row in _step_rows(curve.shape, curve.grid)]
        withheld = {"shape": NO_SHAPE} if curve.is_withheld else {}
        rows["shape_sweep"] += [key | row | withheld for row in swept]
    distortion = _read_distortion(con, evaluation_id)
    levels = _read_levels(con, evaluation_id)
    ranked, unranked = _ranked_corruptions(con, evaluation)
    averaged = _averaged_corruptions(con, evaluation)
    return rows | {
        "early_warning": early_warning_rows(measure_early_warning(con, evaluation_id, averaged), averaged),
        "shapes_over_distortion": [
            row
            for curve in evaluation.curves
            for row in _axis_rows(curve, evaluation, distortion, levels.get(curve.corruption))
        ],
        "change_points": _change_point_rows(evaluation),
        "curve_fits": _fit_rows(evaluation),
        "corruption_ranks": _corruption_rank_rows(evaluation, ranked, unranked),
        "class_ranks": _class_rank_rows(con, evaluation, ranked),
    }


def _described(run: RunRows, unfinished: Sequence[tuple[str, float]], settings: ShapeSettings) -> list[DescribedCurve]:
    """Every curve of at least three points; an expected share of FALSE_SHAPES of the named shapes are false.

    Benjamini and Hochberg's procedure (1995), over the curves of the evaluation.
    """
    described = []
    curves = {name: columns for name, columns in run.curves().items() if len(columns) >= MIN_POINTS}
    for corruption, column_of in curves.items():
        grid = np.array(list(column_of))
        columns = list(column_of.values())
        correct = run.correct[:, columns]
        covariance = covariance_of_means(correct, paired=run.shares_images, groups=run.groups)
        resampled = resampled_curve(correct.mean(axis=0), covariance, settings)
        shape = describe_curve(
            correct, grid, settings, paired=run.shares_images, groups=run.groups, resampled=resampled,
            curves=len(curves),
        )  # fmt: skip
        withheld = [severity for cell, severity in unfinished if cell == corruption or not severity]
        reason = _reason_to_withhold(round(run.effective_count), withheld)
        described.append(DescribedCurve(corruption, grid, columns, resampled, shape, reason, reason is not None))
    p_values = [_p_value(curve, settings) for curve in described]
    are_named = discoveries(p_values, FALSE_SHAPES)
    return [
        curve
        if curve.reason or (is_named and p_value <= MAX_P)
        else curve._replace(reason=_reason(curve, settings.resamples))
        for curve, is_named, p_value in zip(described, are_named, p_values, strict=True)
    ]


def _p_value(curve: DescribedCurve, settings: ShapeSettings) -> float:
    """The p value of another shape than that of the sample; 1 if there is none to name."""
    if curve.reason or curve.shape.shape == NO_SHAPE:
        return 1.0
    return p_of_shape(curve.shape.stability, settings.resamples)


def p_of_shape(stability: float, resamples: int) -> float:
    """The p value of a shape that a share of resamples has; never 0."""
    return (1 + round((1 - stability) * resamples)) / (1 + resamples)


def _reason_to_withhold(images: int, withheld: list[float]) -> str | None:
    """The reason why the shape of a curve is not reported; None if it is."""
    if withheld:
        listed = ", ".join(f"{severity:g}" for severity in sorted(withheld))
        return f"{NON_FINITE} at severity {listed}"
    if images < FEWEST_IMAGES:
        return too_few(images)
    return None


def _reason(curve: DescribedCurve, resamples: int) -> str:
    """The most frequent shapes among resamples of an inconclusive curve, and the smallest margin that is shown."""
    likeliest = sorted(curve.shape.shares.items(), key=lambda item: -item[1])[:2]
    listed = " and ".join(f"{SHAPE_LABELS[name]} in {share:.0%}" for name, share in likeliest if share >= 0.005)
    said = f"{listed} of resamples".replace(SHAPE_LABELS[NO_SHAPE], "no shape")
    if p_of_shape(1.0, resamples) > MAX_P:
        return f"{said}; {resamples} resamples are too few"
    if curve.shape.drop.above_zero:
        return said
    return f"{said}; accuracy changes by less than {100 * curve.shape.changes_within:.1f} points at every severity"


def _shape_row(curve: DescribedCurve, evaluation: EvaluationCurves) -> Row:
    shape = curve.shape
    grid = curve.grid
    settings = evaluation.settings
    correct = evaluation.run.correct[:, curve.columns]
    independent = evaluation.run.independent_share
    start, end = shape.largest_at
    other = shape.other_at and [_decimal(grid[place]) for place in shape.other_at]
    return {
        "shape": NO_SHAPE if curve.reason else shape.shape,
        "reason": curve.reason,
        "sample_shape": shape.shape,
        "stability": None if curve.is_withheld else shape.stability,
        **interval_columns("total_drop", shape.drop),
        "smallest_drop_shown": shape.smallest_shown,
        **interval_columns("largest_change", shape.largest_change),
        "largest_change_at": _decimal(grid[shape.largest_change_at]),
        "changes_within": shape.changes_within,
        "chance_from": chance_from(correct, grid, evaluation.chance, settings.interval_level, independent),
        "below_chance": is_below_chance(correct, evaluation.chance, settings.interval_level, independent),
        **interval_columns("curvature", shape.curvature),
        **interval_columns("largest_step", shape.largest),
        "largest_step_share": None if shape.curvature is None else shape.largest.value / shape.drop.value,
        "largest_step_from": _decimal(grid[start]),
        "largest_step_to": _decimal(grid[end]),
        **dict(zip(("other_step_from", "other_step_to"), other or (None, None), strict=True)),
        **{f"share_{name}": None if curve.is_withheld else share for name, share in shape.shares.items()},
        "image_count": len(correct),
        **dict(zip(SETTINGS.split(", "), astuple(settings), strict=True)),
    }


def _step_rows(shape: CurveShape, grid: Float64Array) -> Iterator[Row]:
    for start, end, change in zip(grid.tolist(), grid[1:].tolist(), zip(*shape.changes, strict=True), strict=False):
        changed = interval_columns("accuracy_change", tuple(map(float, change)))
        yield {"severity_from": _decimal(start), "severity_to": _decimal(end), **changed}


def _sweep_rows(curve: Float64Array, grid: Float64Array, settings: ShapeSettings) -> Iterator[Row]:
    for flat_below in sorted({*FLAT_SWEEP, settings.flat_below}):
        for threshold in sorted({*CURVATURE_SWEEP, settings.curvature_threshold}):
            tried = replace(settings, flat_below=flat_below, curvature_threshold=threshold)
            shape = SHAPE_NAMES[int(shapes_of(curve, grid, tried).codes)]
            yield {"flat_below": flat_below, "curvature_threshold": threshold, "shape": shape}


def _read_distortion(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> dict[tuple[str, float], tuple[float, ...]]:
    """Mean RMSE and mean 1 - SSIM by corruption and severity; NaN if not measured."""
    rows = read_metrics(con, [evaluation_id], ["accuracy", "mean_rmse", "mean_ssim"])
    cells = rows.group_by("corruption", "severity").agg(
        pl.when(metric=name).then("value").max().fill_null(float("nan")).alias(name)
        for name in ("mean_rmse", "mean_ssim")
    )
    return {(corruption, severity): (rmse, 1 - ssim) for corruption, severity, rmse, ssim in cells.iter_rows()}


def _read_levels(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> dict[str, LevelAxis]:
    """The axes of the values of levels, by corruption."""
    row = fetch_first(con, "select source_id from evaluations where evaluation_id = ?", [evaluation_id])
    return read_level_axes(con, row[0]) if row else {}


def _axis_rows(
    curve: DescribedCurve,
    evaluation: EvaluationCurves,
    distortion: dict[tuple[str, float], tuple[float, ...]],
    levels: LevelAxis | None,
) -> Iterator[Row]:
    """The shape over each axis; over values of levels only if every severity of the curve has one."""
    measured = [distortion.get((curve.corruption if s else CLEAN, s), (np.nan, np.nan)) for s in curve.grid.tolist()]
    axes = {SEVERITY_AXIS: curve.grid} | dict(zip(AXIS_TITLES, np.array(measured).T, strict=True))
    reasons: dict[str, str | None] = {
        name: axis_reason(axes[name], curve.grid, title) for name, title in AXIS_TITLES.items()
    }
    ends = {name: float(axis[-1]) for name, axis in axes.items()}
    severities = curve.grid.tolist()
    if levels is not None and set(severities) <= levels.values.keys():
        axes[VALUE_AXIS] = np.array(levels.positions(severities))
        ends[VALUE_AXIS] = levels.values[severities[-1]]
        reasons |= {VALUE_AXIS: OFF_SCALE} if levels.is_reference_off else {}
    usable = {name: axis for name, axis in axes.items() if not reasons.get(name)}
    accuracy = np.vstack([evaluation.run.accuracy[curve.columns], curve.resampled])
    shapes = shapes_over_axes(accuracy, curve.grid, usable, evaluation.settings)
    for name, end in ends.items():
        row = {"corruption": curve.corruption, "axis": name, "axis_end": end if np.isfinite(end) else None}
        if name in shapes and not curve.is_withheld:
            yield row | _shape_over_axis(curve, name, shapes[name], evaluation.settings.resamples)
        else:
            yield row | {"shape": NO_SHAPE, "reason": reasons.get(name) or curve.reason}


def _shape_over_axis(curve: DescribedCurve, axis: str, shape: ShapeOverAxis, resamples: int) -> Row:
    """The shape over an axis, or why none is named; over severity as in the table of shapes."""
    is_named = p_of_shape(shape.stability, resamples) <= MAX_P
    is_named &= shape.shape not in TURNING or curve.shape.shape in TURNING
    if axis == SEVERITY_AXIS:
        is_named = curve.reason is None
    reason = (
        axis != VALUE_AXIS and curve.reason
    ) or f"{SHAPE_LABELS[shape.shape]} in {shape.stability:.0%} of resamples"
    return {
        "shape": shape.shape if is_named else NO_SHAPE,
        "reason": None if is_named else reason,
        "stability": shape.stability,
        **interval_columns("curvature", shape.curvature),
        **interval_columns("curvature_change", shape.curvature_change),
    }


def _change_point_rows(evaluation: EvaluationCurves) -> list[Row]:
    level = evaluation.settings.interval_level
    run = evaluation.run
    points = [
        None
        if curve.is_withheld
        else find_change_point(
            run.correct[:, curve.columns],
            curve.resampled,
            curve.grid,
            level,
            paired=run.shares_images,
            groups=run.groups,
        )
        for curve in evaluation.curves
    ]
    p_values = [point.p_value for point in points if point is not None and point.p_value is not None]
    adjusted = iter(holm(p_values))
    rows = []
    for curve, point in zip(evaluation.curves, points, strict=True):
        row: Row = {"corruption": curve.corruption, "threshold": "inconclusive"}
        if point is None:
            row["reason"] = curve.reason
        elif point.p_value is None:
            row["reason"] = f"fewer than {FEWEST_CHANGING} images change along the curve"
        else:
            row |= _tested(point, next(adjusted), curve.grid, level)
        rows.append(row)
    return rows


def _tested(point: ChangePoint, adjusted_p: float, grid: Float64Array, level: float) -> Row:
    row: Row = {
        "threshold": point.threshold(adjusted_p, level), "p_value": point.p_value, "adjusted_p_value": adjusted_p
    }  # fmt: skip
    if adjusted_p > 1 - level:
        return row
    places = {"break_at": point.at, "break_from": point.first, "break_to": point.last}
    row |= {name: _decimal(grid[place]) for name, place in places.items()}
    return row | interval_columns("slope_before", point.before) | interval_columns("slope_after", point.after)


def _fit_rows(evaluation: EvaluationCurves) -> list[Row]:
    run = evaluation.run
    return [
        {"corruption": curve.corruption, **fit._asdict()}
        for curve in evaluation.curves
        if not curve.is_withheld
        for fit in fit_curve(
            run.correct[:, curve.columns], curve.grid, evaluation.chance, paired=run.shares_images, groups=run.groups
        )
    ]


def _averaged_corruptions(con: duckdb.DuckDBPyConnection, evaluation: EvaluationCurves) -> list[str]:
    """The averaged corruptions of an evaluation: headline ones if there are any, all if some have no recipe."""
    present = list(evaluation.run.curves())
    groups = con.execute("select corruption, headline, corruption_group from corruptions").fetchall()
    if any(name in present and group == OTHER_GROUP for name, _, group in groups):
        return present
    headline = {name for name, is_headline, _ in groups if is_headline}
    return [name for name in present if name in headline] or present


def _ranked_corruptions(
    con: duckdb.DuckDBPyConnection, evaluation: EvaluationCurves
) -> tuple[list[str], dict[str, str]]:
    """The ranked corruptions, and for each other one the reason."""
    present = list(evaluation.run.curves())
    considered = _averaged_corruptions(con, evaluation)
    reasons = {name: "extra corruptions are not ranked" for name in present if name not in considered}
    reasons |= {curve.corruption: curve.reason for curve in evaluation.curves if curve.is_withheld and curve.reason}
    if evaluation.image_count < FEWEST_IMAGES:
        reasons = dict.fromkeys(present, too_few(evaluation.image_count))
    return [name for name in considered if name not in reasons], reasons


def _corruption_rank_rows(
    evaluation: EvaluationCurves, ranked: Sequence[str], reasons: dict[str, str]
) -> Iterator[Row]:
    level = evaluation.settings.interval_level
    for measure in MEASURES:
        drops = rank_corruptions(evaluation.run, ranked, measure, level)
        others = rank_corruptions(evaluation.run, list(reasons), measure, level)
        for name, drop in (drops | others).items():
            row = {"corruption": name, "measure": measure, "ranked_count": len(drops)}
            yield row | _columns_of_drop(drop, reasons.get(name))


def _class_rank_rows(
    con: duckdb.DuckDBPyConnection, evaluation: EvaluationCurves, ranked: Sequence[str]
) -> Iterator[Row]:
    """Rows of class ranks; none if images of cells do not pair, since their classes then differ too."""
    run = evaluation.run
    if not run.shares_images or not ranked:
        return
    labels = _read_labels(con, run.evaluation_id)
    classes, counts = np.unique(labels, return_counts=True)
    clean = run.curves()[ranked[0]][0.0]
    for measure in MEASURES:
        left = [run.correct[:, columns].mean(axis=1) for columns in columns_of_drops(run, ranked, measure).values()]
        losses = run.correct[:, clean] - np.mean(left, axis=0)
        drops = rank_classes(losses, labels, evaluation.settings.interval_level, run.groups)
        for index, count in zip(classes.tolist(), counts.tolist(), strict=True):
            row = {"class_index": index, "measure": measure, "image_count": count, "ranked_count": len(drops)}
            reason = too_few(count, least=FEWEST_OF_CLASS)
            plain: Row = {"accuracy_drop": float(losses[labels == index].mean()), "reason": reason}
            yield row | (_columns_of_drop(drops[index], None) if index in drops else plain)


def _read_labels(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> NDArray[np.int64]:
    """The class of each image, in the order of image_id."""
    rows = con.execute(
        "select label from prediction_facts where evaluation_id = ? and corruption = ? order by image_id",
        [evaluation_id, CLEAN],
    ).fetchnumpy()
    return np.asarray(rows["label"], dtype=np.int64)


def _columns_of_drop(drop: RankedDrop, reason: str | None) -> Row:
    row = interval_columns("accuracy_drop", drop.drop) | {"reason": reason}
    if reason is not None:
        return row
    return row | {
        "rank": drop.rank,
        "rank_low": drop.rank_low,
        "rank_high": drop.rank_high,
        "smallest_difference_shown": drop.smallest_shown,
    }


def _decimal(severity: float) -> Decimal:
    return Decimal(f"{severity:.3f}")
