"""Derived tables of curves: shapes, steps, other axes, breaks, fits, ranks and early warning."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from failmodes.analysis.evaluations.connection_cache import read_once
from failmodes.analysis.evaluations.selection import read_metrics
from failmodes.analysis.statistics.curve_fits import (
    FEWEST_CHANGING,
    ChangePoint,
    covariance_of_means,
    find_change_point,
    fit_curve,
)
from failmodes.analysis.statistics.curve_shape import (
    INCONCLUSIVE,
    MIN_POINTS,
    RMSE_AXIS,
    SETTINGS,
    SEVERITY_AXIS,
    SHAPES,
    SSIM_AXIS,
    TURNING,
    CurveShape,
    ShapeSettings,
    axis_reason,
    describe_curve,
    resampled_curve,
    shapes_of,
    shapes_over_axes,
    stored_settings,
)
from failmodes.analysis.statistics.derived_rows import Made, derived_rows, evaluation_inputs, replace_rows
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
from failmodes.runtime.terminal import note
from failmodes.warehouse.database.checks import refuse_broken_relations
from failmodes.warehouse.database.connection import fetch_first, open_warehouse
from failmodes.warehouse.database_schema import CURVE_TABLES, EARLY_WARNING, SHAPE_LABELS, SHAPE_SWEEP, STEPS
from failmodes.warehouse.database_schema import SHAPES as SHAPE_TABLE
from failmodes.warehouse.metrics.metric import FEWEST_IMAGES, too_few
from failmodes.warehouse.schema import CLEAN, OTHER_GROUP

TABLES = (SHAPE_TABLE, STEPS, SHAPE_SWEEP, EARLY_WARNING, *CURVE_TABLES)
FLAT_SWEEP = (0.01, 0.02, 0.05)
CURVATURE_SWEEP = (0.10, 0.125, 0.15)
INCONCLUSIVE_SHAPE = SHAPES[INCONCLUSIVE]
FALSE_SHAPES = 0.05  # expected share of false ones among the named shapes of an evaluation
# Largest p value of a named shape: at the boundary between shapes, about 1% of samples are named falsely
MOST_P = 0.02
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


@contextmanager
def open_current(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse for reading, with current shapes: missing ones are computed for this connection.

    The file is never written: `failmodes load` stores derived tables. It works in one thread, so that results are
    reproducible to the last digit.

    Raises:
        WarehouseError: it is missing or in use, its tables are inconsistent, or a cell is incomplete.
    """
    with open_warehouse(warehouse, one_thread=True) as con:
        refuse_broken_relations(con)
        if update_shapes(con, stores=False):
            say_computed(con)
        yield con


@read_once
def say_computed(con: duckdb.DuckDBPyConnection) -> None:
    """Print a note, once for each connection, that it computes derived results that are not stored."""
    note(
        "results derived from the rows are missing from the warehouse, or other code or settings computed them: this "
        "call recomputes them; `failmodes load` stores them"
    )


def due_shapes(con: duckdb.DuckDBPyConnection) -> list[str]:
    """The derived tables that a load would compute."""
    settings = stored_settings(con)
    due = {"shapes": _due(con, shapes_made(con, settings), settings, stores=True)}
    due["published_shapes"] = published_made(con, settings).due(con, stores=True)
    return [name for name, keys in due.items() if keys]


def update_shapes(con: duckdb.DuckDBPyConnection, settings: ShapeSettings | None = None, *, stores: bool) -> bool:
    """Compute the shapes of evaluations, and of published models, whose stored shapes are not current.

    Args:
        con: the warehouse.
        settings: thresholds and resampling; None keeps those of the stored shapes, or takes the defaults.
        stores: whether to write them to the warehouse, without incomplete evaluations; else only `con` has them.

    Returns:
        Whether anything was computed.

    Raises:
        WarehouseError: a cell is incomplete, and `stores` is false.
    """
    settings = settings or stored_settings(con)
    published = update_published_shapes(con, settings, stores=stores)
    made = shapes_made(con, settings)
    due = sorted({*_due(con, made, settings, stores=stores), *_without_rows(con)})
    if not due:
        return published
    rows: dict[str, list[Row]] = {table.name: [] for table in TABLES}
    unfit = []
    for evaluation_id in counted("shapes", due):
        try:
            for name, own in shape_rows(con, evaluation_id, settings).items():
                rows[name] += [{"evaluation_id": evaluation_id, **row} for row in own]
        except WarehouseError:  # raised before any row is computed
            if not stores:
                raise
            unfit.append(evaluation_id)
    replaced = None if len(due) == len(made.inputs) else due  # also removes rows of evaluations that no longer exist
    for table in TABLES:
        replace_rows(con, table, derived_rows(rows[table.name], table), replaced, stores=stores)
    if stores:
        made.record(con, unfit)
    return True


def shapes_made(con: duckdb.DuckDBPyConnection, settings: ShapeSettings) -> Made:
    """The inputs of the shapes of each evaluation."""
    inputs = {key: identity_of([own, asdict(settings)]) for key, own in evaluation_inputs(con).items()}
    return Made("shapes", source_hash("failmodes.analysis.statistics"), inputs)


def _due(con: duckdb.DuckDBPyConnection, made: Made, settings: ShapeSettings, *, stores: bool) -> list[str]:
    return made.due(con, stores=stores) if _are_ours(con, settings) else list(made.inputs)


def _without_rows(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Evaluations with corrupted cells but without stored rows, whatever `computed` says."""
    rows = con.execute(
        "select distinct evaluation_id from shards semi join evaluations using (evaluation_id) "
        "anti join corruption_ranks using (evaluation_id) where table_name = 'prediction_facts' and corruption <> ?",
        [CLEAN],
    ).fetchall()
    return [evaluation_id for (evaluation_id,) in rows]


def _are_ours(con: duckdb.DuckDBPyConnection, settings: ShapeSettings) -> bool:
    """Whether the stored tables contain only rows that this program could have stored: a file may be malicious."""
    axes = [SEVERITY_AXIS, *AXIS_TITLES]
    if con.execute(f"select distinct {SETTINGS} from shapes").fetchall() not in ([], [astuple(settings)]):
        return False
    known = fetch_first(
        con,
        "select (select count(*) from shapes where not (shape = any($1) and sample_shape = any($1))) "
        "+ (select count(*) from shapes_over_distortion where not (shape = any($1) and axis = any($2))) "
        "+ (select count(*) from change_points where not threshold = any($3))",
        [list(SHAPES), axes, ["supported", "contradicted", "inconclusive"]],
    )
    curves = "select distinct evaluation_id, corruption from"
    over_axes = [f"(from shapes_over_distortion where axis = '{axis}')" for axis in axes]
    return known == (0,) and all(
        not con.execute(
            f"({curves} shapes except {curves} {other}) union all ({curves} {other} except {curves} shapes) limit 1"
        ).fetchall()
        for other in ("steps", "shape_sweep", *over_axes)
    )


def shape_rows(
    con: duckdb.DuckDBPyConnection, evaluation_id: str, settings: ShapeSettings
) -> Mapping[str, Iterable[Row]]:
    """Rows of every table for one evaluation, by name of the table; curves of fewer than three points have none.

    Raises:
        WarehouseError: a cell is incomplete.
    """
    run = read_run(con, evaluation_id)
    chance = chance_of(con, evaluation_id)
    curves = _described(run, non_finite_cells(con, evaluation_id), settings)
    found = EvaluationCurves(run, chance, settings, curves)
    rows = {table.name: list[Row]() for table in (SHAPE_TABLE, STEPS, SHAPE_SWEEP)}
    for curve in curves:
        key, correct = {"corruption": curve.corruption}, run.correct[:, curve.columns]
        swept = _sweep_rows(correct.mean(axis=0), curve.grid, settings)
        rows["shapes"].append(key | _shape_row(curve, found))
        rows["steps"] += [key | row for row in _step_rows(curve.shape, curve.grid)]
        withheld = {"shape": INCONCLUSIVE_SHAPE} if curve.is_withheld else {}
        rows["shape_sweep"] += [key | row | withheld for row in swept]
    distortion = _read_distortion(con, evaluation_id)
    ranked, unranked = _ranked_corruptions(con, found)
    averaged = _averaged_corruptions(con, found)
    return rows | {
        "early_warning": early_warning_rows(measure_early_warning(con, evaluation_id, averaged), averaged),
        "shapes_over_distortion": [row for curve in found.curves for row in _axis_rows(curve, found, distortion)],
        "change_points": _change_point_rows(found),
        "curve_fits": _fit_rows(found),
        "corruption_ranks": _corruption_rank_rows(found, ranked, unranked),
        "class_ranks": _class_rank_rows(con, found, ranked),
    }


def _described(run: RunRows, unfinished: Sequence[tuple[str, float]], settings: ShapeSettings) -> list[DescribedCurve]:
    """Every curve of at least three points; an expected share of FALSE_SHAPES of the named shapes are false.

    Benjamini and Hochberg's procedure (1995), over the curves of the evaluation.
    """
    described, curves = [], {name: own for name, own in run.curves().items() if len(own) >= MIN_POINTS}
    for corruption, column_of in curves.items():
        grid, columns = np.array(list(column_of)), list(column_of.values())
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
        if curve.reason or (is_named and p_value <= MOST_P)
        else curve._replace(reason=_reason(curve, settings.resamples))
        for curve, is_named, p_value in zip(described, are_named, p_values, strict=True)
    ]


def _p_value(curve: DescribedCurve, settings: ShapeSettings) -> float:
    """The p value of another shape than that of the sample; 1 if there is none to name."""
    if curve.reason or curve.shape.shape == INCONCLUSIVE_SHAPE:
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
    said = f"{listed} of resamples".replace(SHAPE_LABELS[INCONCLUSIVE_SHAPE], "no shape")
    if p_of_shape(1.0, resamples) > MOST_P:
        return f"{said}; {resamples} resamples are too few"
    if curve.shape.drop.above_zero:
        return said
    return f"{said}; accuracy changes by less than {100 * curve.shape.changes_within:.1f} points at every severity"


def _shape_row(curve: DescribedCurve, found: EvaluationCurves) -> Row:
    shape, grid, settings = curve.shape, curve.grid, found.settings
    correct = found.run.correct[:, curve.columns]
    independent = found.run.independent_share
    start, end = shape.largest_at
    other = shape.other_at and [_decimal(grid[place]) for place in shape.other_at]
    return {
        "shape": INCONCLUSIVE_SHAPE if curve.reason else shape.shape,
        "reason": curve.reason,
        "sample_shape": shape.shape,
        "stability": None if curve.is_withheld else shape.stability,
        **interval_columns("total_drop", shape.drop),
        "smallest_drop_shown": shape.smallest_shown,
        **interval_columns("largest_change", shape.largest_change),
        "largest_change_at": _decimal(grid[shape.largest_change_at]),
        "changes_within": shape.changes_within,
        "chance_from": chance_from(correct, grid, found.chance, settings.interval_level, independent),
        "below_chance": is_below_chance(correct, found.chance, settings.interval_level, independent),
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
            shape = SHAPES[int(shapes_of(curve, grid, tried).codes)]
            yield {"flat_below": flat_below, "curvature_threshold": threshold, "shape": shape}


def _read_distortion(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> dict[tuple[str, float], tuple[float, ...]]:
    """Mean RMSE and mean 1 - SSIM by corruption and severity; NaN if not measured."""
    rows = read_metrics(con, [evaluation_id], ["accuracy", "mean_rmse", "mean_ssim"])
    cells = rows.group_by("corruption", "severity").agg(
        pl.when(metric=name).then("value").max().fill_null(float("nan")).alias(name)
        for name in ("mean_rmse", "mean_ssim")
    )
    return {(corruption, severity): (rmse, 1 - ssim) for corruption, severity, rmse, ssim in cells.iter_rows()}


def _axis_rows(
    curve: DescribedCurve, found: EvaluationCurves, distortion: dict[tuple[str, float], tuple[float, ...]]
) -> Iterator[Row]:
    measured = [distortion.get((curve.corruption if s else CLEAN, s), (np.nan, np.nan)) for s in curve.grid.tolist()]
    axes = {SEVERITY_AXIS: curve.grid} | dict(zip(AXIS_TITLES, np.array(measured).T, strict=True))
    reasons = {name: axis_reason(axes[name], curve.grid, title) for name, title in AXIS_TITLES.items()}
    usable = {name: axis for name, axis in axes.items() if not reasons.get(name)}
    accuracy = np.vstack([found.run.accuracy[curve.columns], curve.resampled])
    shapes = shapes_over_axes(accuracy, curve.grid, usable, found.settings)
    for name, axis in axes.items():
        end = float(axis[-1])
        row = {"corruption": curve.corruption, "axis": name, "axis_end": end if np.isfinite(end) else None}
        row |= {"shape": INCONCLUSIVE_SHAPE, "reason": reasons.get(name) or curve.reason}
        if name in shapes and not curve.is_withheld:
            own = shapes[name]
            is_named = p_of_shape(own.stability, found.settings.resamples) <= MOST_P
            is_named &= own.shape not in TURNING or curve.shape.shape in TURNING
            if name == SEVERITY_AXIS:
                is_named = curve.reason is None
            row |= {"shape": own.shape if is_named else INCONCLUSIVE_SHAPE, "stability": own.stability, "reason": None}
            if not is_named:
                row |= {"reason": curve.reason or f"{SHAPE_LABELS[own.shape]} in {own.stability:.0%} of resamples"}
            row |= interval_columns("curvature", own.curvature) | interval_columns(
                "curvature_change", own.curvature_change
            )
        yield row


def _change_point_rows(found: EvaluationCurves) -> list[Row]:
    level, run = found.settings.interval_level, found.run
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
        for curve in found.curves
    ]
    p_values = [point.p_value for point in points if point is not None and point.p_value is not None]
    adjusted = iter(holm(p_values))
    rows = []
    for curve, point in zip(found.curves, points, strict=True):
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


def _fit_rows(found: EvaluationCurves) -> list[Row]:
    run = found.run
    return [
        {"corruption": curve.corruption, **fit._asdict()}
        for curve in found.curves
        if not curve.is_withheld
        for fit in fit_curve(
            run.correct[:, curve.columns], curve.grid, found.chance, paired=run.shares_images, groups=run.groups
        )
    ]


def _averaged_corruptions(con: duckdb.DuckDBPyConnection, found: EvaluationCurves) -> list[str]:
    """The averaged corruptions of an evaluation: headline ones if there are any, all if some have no recipe."""
    present = list(found.run.curves())
    groups = con.execute("select corruption, headline, corruption_group from corruptions").fetchall()
    if any(name in present and group == OTHER_GROUP for name, _, group in groups):
        return present
    headline = {name for name, is_headline, _ in groups if is_headline}
    return [name for name in present if name in headline] or present


def _ranked_corruptions(con: duckdb.DuckDBPyConnection, found: EvaluationCurves) -> tuple[list[str], dict[str, str]]:
    """The ranked corruptions, and for each other one the reason."""
    present, considered = list(found.run.curves()), _averaged_corruptions(con, found)
    reasons = {name: "extra corruptions are not ranked" for name in present if name not in considered}
    reasons |= {curve.corruption: curve.reason for curve in found.curves if curve.is_withheld and curve.reason}
    if found.image_count < FEWEST_IMAGES:
        reasons = dict.fromkeys(present, too_few(found.image_count))
    return [name for name in considered if name not in reasons], reasons


def _corruption_rank_rows(found: EvaluationCurves, ranked: Sequence[str], reasons: dict[str, str]) -> Iterator[Row]:
    level = found.settings.interval_level
    for measure in MEASURES:
        drops = rank_corruptions(found.run, ranked, measure, level)
        others = rank_corruptions(found.run, list(reasons), measure, level)
        for name, drop in (drops | others).items():
            row = {"corruption": name, "measure": measure, "ranked_count": len(drops)}
            yield row | _columns_of_drop(drop, reasons.get(name))


def _class_rank_rows(con: duckdb.DuckDBPyConnection, found: EvaluationCurves, ranked: Sequence[str]) -> Iterator[Row]:
    """Rows of class ranks; none if images of cells do not pair, since their classes then differ too."""
    run = found.run
    if not run.shares_images or not ranked:
        return
    labels = _read_labels(con, run.evaluation_id)
    classes, counts = np.unique(labels, return_counts=True)
    clean = run.curves()[ranked[0]][0.0]
    for measure in MEASURES:
        left = [run.correct[:, own].mean(axis=1) for own in columns_of_drops(run, ranked, measure).values()]
        losses = run.correct[:, clean] - np.mean(left, axis=0)
        drops = rank_classes(losses, labels, found.settings.interval_level, run.groups)
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
