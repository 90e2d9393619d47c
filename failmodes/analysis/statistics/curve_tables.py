"""Rows of the derived tables beside the shapes of curves: other axes, breaks, fitted curves, ranks."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.analysis.derived_rows import derived_rows
from failmodes.analysis.selection import read_metrics
from failmodes.analysis.statistics.bootstrap import CorrectnessMatrix, Float64Array
from failmodes.analysis.statistics.change_points import FEWEST_CHANGING, ChangePoint, find_change_point
from failmodes.analysis.statistics.curve_fits import CurveFit, fit_curve
from failmodes.analysis.statistics.curve_shape import (
    INCONCLUSIVE,
    RMSE_AXIS,
    SEVERITY_AXIS,
    SHAPE_CLASSES,
    SSIM_AXIS,
    CurveShape,
    ShapeSettings,
    axis_reason,
    shapes_over_axes,
)
from failmodes.analysis.statistics.failure_order import (
    FEWEST_OF_CLASS,
    MEASURES,
    RankedDrop,
    columns_of_drops,
    rank_classes,
    rank_corruptions,
)
from failmodes.analysis.statistics.mcnemar import holm
from failmodes.analysis.statistics.sufficiency import FEWEST_IMAGES
from failmodes.warehouse.database.curve_tables import CURVE_TABLES
from failmodes.warehouse.schema import CLEAN

METHOD = 2  # raise it when the method changes, so that stored rows are computed again
AXIS_TITLES = {RMSE_AXIS: "mean RMSE", SSIM_AXIS: "mean 1 \u2212 SSIM"}
Row = dict[str, Any]


class DescribedCurve(NamedTuple):
    """One curve of an evaluation with its shape.

    Attributes:
        corruption: its name.
        grid: (S,) severities, rising from 0.
        columns: of its cells in the correctness matrix.
        shape: as `describe_curve` gives it.
        reason: why its shape is inconclusive; None where it is not.
        is_withheld: whether too many of its predictions are no finite numbers.
    """

    corruption: str
    grid: Float64Array
    columns: list[int]
    shape: CurveShape
    reason: str | None
    is_withheld: bool


class EvaluationCurves(NamedTuple):
    """The curves of one evaluation, and what they are made from: draws are (B, C) accuracies of resampled images."""

    correctness: CorrectnessMatrix
    replicates: Float64Array
    chance: float | None
    curves: list[DescribedCurve]


def no_rows() -> dict[str, list[Row]]:
    """An empty list of rows for each table."""
    return {table.name: [] for table in CURVE_TABLES}


def as_tables(rows: dict[str, list[Row]], fingerprint: str) -> dict[str, pa.Table]:
    """The rows as Arrow tables, with the fingerprint of what they were made from."""
    return {
        table.name: derived_rows(({**row, "input_fingerprint": fingerprint} for row in rows[table.name]), table)
        for table in CURVE_TABLES
    }


def curve_rows(
    con: duckdb.DuckDBPyConnection, found: EvaluationCurves, settings: ShapeSettings
) -> dict[str, list[Row]]:
    """Rows of every table for one evaluation, by name of the table."""
    correctness, curves = found.correctness, found.curves
    distortion = _read_distortion(con, correctness.evaluation_id)
    ranked, unranked = _ranked_corruptions(con, found)
    rows = {
        "shapes_over_distortion": [row for curve in curves for row in _axis_rows(curve, found, distortion, settings)],
        "change_points": _change_point_rows(found, settings),
        "curve_fits": _fit_rows(found),
        "corruption_ranks": _corruption_rank_rows(found, ranked, unranked, settings),
        "class_ranks": _class_rank_rows(con, found, ranked, settings),
    }
    return {name: [{"evaluation_id": correctness.evaluation_id, **row} for row in own] for name, own in rows.items()}


def _read_distortion(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> dict[tuple[str, float], tuple[float, ...]]:
    """Mean RMSE and mean 1 - SSIM by corruption and severity; NaN where images have none."""
    rows = read_metrics(con, [evaluation_id], ["accuracy", "mean_rmse", "mean_ssim"])
    cells = rows.group_by("corruption", "severity").agg(
        pl.when(metric=name).then("value").max().fill_null(float("nan")).alias(name)
        for name in ("mean_rmse", "mean_ssim")
    )
    return {(corruption, severity): (rmse, 1 - ssim) for corruption, severity, rmse, ssim in cells.iter_rows()}


def _axis_rows(
    curve: DescribedCurve,
    found: EvaluationCurves,
    distortion: dict[tuple[str, float], tuple[float, ...]],
    settings: ShapeSettings,
) -> list[Row]:
    measured = [distortion.get((curve.corruption if s else CLEAN, s), (np.nan, np.nan)) for s in curve.grid.tolist()]
    axes = {SEVERITY_AXIS: curve.grid} | dict(zip(AXIS_TITLES, np.array(measured).T, strict=True))
    reasons = {name: axis_reason(axes[name], curve.grid, title) for name, title in AXIS_TITLES.items()}
    usable = {name: axis for name, axis in axes.items() if not reasons.get(name)}
    accuracy = found.correctness.accuracy[curve.columns]
    shapes = shapes_over_axes(
        accuracy, found.replicates[:, curve.columns], curve.grid, usable, curve.shape.margins, settings
    )
    rows = []
    for name, axis in axes.items():
        end = float(axis[-1])
        row = {"corruption": curve.corruption, "axis": name, "axis_end": end if np.isfinite(end) else None}
        row |= {"shape": SHAPE_CLASSES[INCONCLUSIVE], "reason": reasons.get(name) or curve.reason}
        if name in shapes and not curve.is_withheld:
            own = shapes[name]
            row |= {"shape": row["shape"] if curve.reason else own.shape, "stability": own.stability}
            row |= _with_interval("curvature", own.curvature) | _with_interval("curvature_change", own.curvature_change)
        rows.append(row)
    return rows


def _change_point_rows(found: EvaluationCurves, settings: ShapeSettings) -> list[Row]:
    level, paired = settings.interval_level, found.correctness.paired
    points = [
        None
        if curve.is_withheld or len(found.correctness.correct) < FEWEST_IMAGES
        else find_change_point(
            found.correctness.correct[:, curve.columns],
            found.replicates[:, curve.columns],
            curve.grid,
            level,
            paired=paired,
        )
        for curve in found.curves
    ]
    p_values = [point.p_value for point in points if point is not None and point.p_value is not None]
    adjusted = iter(holm(p_values))
    rows = []
    for curve, point in zip(found.curves, points, strict=True):
        row: Row = {"corruption": curve.corruption, "threshold": "inconclusive"}
        if point is None:
            rows.append(row | {"reason": curve.reason})
        elif point.p_value is None:
            rows.append(row | {"reason": f"fewer than {FEWEST_CHANGING} images change along the curve"})
        else:
            rows.append(row | _tested(point, next(adjusted), curve.grid, level))
    return rows


def _tested(point: ChangePoint, adjusted_p: float, grid: Float64Array, level: float) -> Row:
    row: Row = {
        "threshold": point.threshold(adjusted_p, level), "p_value": point.p_value, "adjusted_p_value": adjusted_p
    }  # fmt: skip
    if adjusted_p > 1 - level:
        return row
    places = {"break_at": point.at, "break_from": point.first, "break_to": point.last}
    row |= {name: Decimal(f"{grid[place]:.3f}") for name, place in places.items()}
    return row | _with_interval("slope_before", point.before) | _with_interval("slope_after", point.after)


def _fit_rows(found: EvaluationCurves) -> list[Row]:
    correct, paired = found.correctness.correct, found.correctness.paired
    return [
        _fit_row(curve, fit)
        for curve in found.curves
        if not curve.is_withheld
        for fit in fit_curve(correct[:, curve.columns], curve.grid, found.chance, paired=paired)
    ]


def _fit_row(curve: DescribedCurve, fit: CurveFit) -> Row:
    same = ("function", "upper", "floor", "location", "slope", "deviance", "degrees_of_freedom", "quasi_aic")
    return {
        "corruption": curve.corruption,
        "parameter_count": fit.parameters,
        "lack_of_fit_p_value": fit.lack_of_fit_p,
        **{name: getattr(fit, name) for name in same},
    }


def _ranked_corruptions(con: duckdb.DuckDBPyConnection, found: EvaluationCurves) -> tuple[list[str], dict[str, str]]:
    """The corruptions that are ranked, headline ones if there are any, and the reason why each other one is not."""
    present = list(found.correctness.curves())
    headline = {name for (name,) in con.execute("select corruption from corruptions where headline").fetchall()}
    considered = [name for name in present if name in headline] or present
    reasons = {name: "an extra corruption, which is not ranked" for name in present if name not in considered}
    reasons |= {
        curve.corruption: curve.reason for curve in found.curves if curve.is_withheld and curve.reason is not None
    }
    if len(found.correctness.correct) < FEWEST_IMAGES:
        reasons = dict.fromkeys(
            present, f"{len(found.correctness.correct)} images are too few: it takes {FEWEST_IMAGES}"
        )
    return [name for name in considered if name not in reasons], reasons


def _corruption_rank_rows(
    found: EvaluationCurves, ranked: Sequence[str], reasons: dict[str, str], settings: ShapeSettings
) -> list[Row]:
    rows = []
    for measure in MEASURES:
        drops = rank_corruptions(found.correctness, ranked, measure, settings.interval_level)
        others = rank_corruptions(found.correctness, list(reasons), measure, settings.interval_level)
        for name, drop in (drops | others).items():
            row = {"corruption": name, "measure": measure, "ranked_count": len(drops)}
            rows.append(row | _columns_of_drop(drop, reasons.get(name)))
    return rows


def _class_rank_rows(
    con: duckdb.DuckDBPyConnection, found: EvaluationCurves, ranked: Sequence[str], settings: ShapeSettings
) -> list[Row]:
    """None where images of cells do not pair: then their classes differ too."""
    correctness = found.correctness
    if not correctness.paired or not ranked:
        return []
    labels = _read_labels(con, correctness.evaluation_id)
    classes, counts = np.unique(labels, return_counts=True)
    clean = correctness.curves()[ranked[0]][0.0]
    rows = []
    for measure in MEASURES:
        left = [
            correctness.correct[:, own].mean(axis=1) for own in columns_of_drops(correctness, ranked, measure).values()
        ]
        losses = correctness.correct[:, clean] - np.mean(left, axis=0)
        drops = rank_classes(losses, labels, settings.interval_level)
        for index, count in zip(classes.tolist(), counts.tolist(), strict=True):
            row = {"class_index": index, "measure": measure, "image_count": count, "ranked_count": len(drops)}
            too_few = f"{count} images are too few: it takes {FEWEST_OF_CLASS}"
            plain: Row = {"accuracy_drop": float(losses[labels == index].mean()), "reason": too_few}
            rows.append(row | (_columns_of_drop(drops[index], None) if index in drops else plain))
    return rows


def _read_labels(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> NDArray[np.int64]:
    """Class of each image, in the order of image_id."""
    rows = con.execute(
        "select label from prediction_facts where evaluation_id = ? and corruption = ? order by image_id",
        [evaluation_id, CLEAN],
    ).fetchnumpy()
    return np.asarray(rows["label"], dtype=np.int64)


def _columns_of_drop(drop: RankedDrop, reason: str | None) -> Row:
    row = _with_interval("accuracy_drop", drop.drop) | {"reason": reason}
    if reason is not None:
        return row
    return row | {
        "rank": drop.rank,
        "rank_low": drop.rank_low,
        "rank_high": drop.rank_high,
        "smallest_difference_shown": drop.smallest_shown,
    }


def _with_interval(name: str, estimate: tuple[float, float, float] | None) -> Row:
    return dict(zip((name, f"{name}_low", f"{name}_high"), estimate or (None, None, None), strict=True))
