"""From correctness in the warehouse to stored shapes, steps and the sweep of thresholds; only when needed."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.analysis.statistics.correctness import CorrectnessMatrix, read_correctness
from failmodes.analysis.statistics.curve_shape import (
    MIN_POINTS,
    SHAPE_CLASSES,
    CurveShape,
    ShapeSettings,
    classify,
    describe_curve,
)
from failmodes.warehouse.database.connection import fetch_first, open_warehouse
from failmodes.warehouse.database.tables import DERIVED
from failmodes.warehouse.database.updates import input_fingerprint, replace_derived_tables

METHOD = 2  # raise it when the method changes, so that stored shapes are made anew

FLAT_SWEEP = (0.01, 0.02, 0.05)

BOW_SWEEP = (0.10, 0.15, 0.20)

Row = dict[str, Any]


def ensure_shapes(warehouse: Path, settings: ShapeSettings | None = None) -> bool:
    """Make the derived tables of `warehouse` current; close other connections to it first.

    Args:
        warehouse: the DuckDB file.
        settings: thresholds and resampling; None keeps those of the stored shapes, or takes the defaults.

    Returns:
        Whether anything had to be computed.

    Raises:
        WarehouseError: it is missing, in use, or a cell is not whole.
        StorageError: it cannot be written.
    """
    with open_warehouse(warehouse) as con:
        chosen = settings or stored_settings(con) or ShapeSettings()
        fingerprint = input_fingerprint(con, {**asdict(chosen), "method": METHOD})
        if _stored_fingerprints(con) == {fingerprint}:
            return False
        tables = shape_tables(con, chosen, fingerprint)
    replace_derived_tables(warehouse, tables)
    return True


def shape_tables(con: duckdb.DuckDBPyConnection, settings: ShapeSettings, fingerprint: str) -> dict[str, pa.Table]:
    """The derived tables of every evaluation, by name. A curve of fewer than three points has no shape and no row."""
    rows: dict[str, list[Row]] = {table.name: [] for table in DERIVED}
    evaluations = con.execute("select evaluation_id from evaluations order by evaluation_id").fetchall()
    for (evaluation_id,) in evaluations:
        if _has_predictions(con, evaluation_id):
            _describe_evaluation(read_correctness(con, evaluation_id), settings, fingerprint, rows)
    return {table.name: pa.Table.from_pylist(rows[table.name], schema=table.arrow()) for table in DERIVED}


def stored_settings(con: duckdb.DuckDBPyConnection) -> ShapeSettings | None:
    """The settings that the stored shapes were made with; None without shapes."""
    row = fetch_first(
        con, "select flat_below, bow_threshold, resamples, bootstrap_seed, interval_level from shapes limit 1"
    )
    return ShapeSettings(*row) if row else None


def chosen_settings(warehouse: Path, changes: dict[str, Any]) -> ShapeSettings:
    """The stored settings, or the defaults, with some of them changed."""
    with open_warehouse(warehouse) as con:
        return replace(stored_settings(con) or ShapeSettings(), **changes)


def _describe_evaluation(
    correctness: CorrectnessMatrix, settings: ShapeSettings, fingerprint: str, rows: dict[str, list[Row]]
) -> None:
    accuracy = correctness.accuracy
    draws = correctness.resampled(settings.resamples, settings.seed)
    for corruption, (grid, columns) in correctness.curves().items():
        if len(grid) < MIN_POINTS:
            continue
        curve = accuracy[columns]
        shape = describe_curve(curve, draws[:, columns], grid, settings)
        key = {"evaluation_id": correctness.evaluation_id, "corruption": corruption, "input_fingerprint": fingerprint}
        rows["shapes"].append(key | _shape_row(shape, grid, len(correctness.correct), settings))
        rows["steps"].extend(key | row for row in _step_rows(shape, grid))
        rows["shape_sweep"].extend(key | row for row in _sweep_rows(curve, grid, shape, settings))


def _shape_row(shape: CurveShape, grid: NDArray[np.float64], images: int, settings: ShapeSettings) -> Row:
    start, end = int(shape.largest.start), int(shape.largest.end)
    bow = shape.bow or (None, None, None)
    lost = float(shape.largest.lost)
    return {
        "shape": shape.shape,
        "stability": shape.stability,
        **dict(zip(("total_drop", "total_drop_low", "total_drop_high"), shape.drop, strict=True)),
        **dict(zip(("bow", "bow_low", "bow_high"), bow, strict=True)),
        "largest_step": lost,
        "largest_step_share": None if shape.bow is None else lost / shape.drop[0],
        "largest_step_from": _decimal(grid[start]),
        "largest_step_to": _decimal(grid[end]),
        **{f"share_{name}": shape.shares[name] for name in SHAPE_CLASSES},
        "image_count": images,
        "resamples": settings.resamples,
        "bootstrap_seed": settings.seed,
        "interval_level": settings.interval_level,
        "flat_below": settings.flat_below,
        "bow_threshold": settings.bow_threshold,
    }


def _step_rows(shape: CurveShape, grid: NDArray[np.float64]) -> Iterator[Row]:
    for index, (value, low, high) in enumerate(zip(*shape.changes, strict=True)):
        yield {
            "severity_from": _decimal(grid[index]),
            "severity_to": _decimal(grid[index + 1]),
            "accuracy_change": float(value),
            "accuracy_change_low": float(low),
            "accuracy_change_high": float(high),
        }


def _sweep_rows(
    curve: NDArray[np.float64], grid: NDArray[np.float64], shape: CurveShape, settings: ShapeSettings
) -> Iterator[Row]:
    for flat_below in sorted({*FLAT_SWEEP, settings.flat_below}):
        for threshold in sorted({*BOW_SWEEP, settings.bow_threshold}):
            swept = replace(settings, flat_below=flat_below, bow_threshold=threshold)
            code = int(classify(curve, grid, shape.margins, swept))
            yield {"flat_below": flat_below, "bow_threshold": threshold, "shape": SHAPE_CLASSES[code]}


def _has_predictions(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> bool:
    found = fetch_first(
        con, "select count(*) from shards where evaluation_id = ? and table_name = 'predictions'", [evaluation_id]
    )
    return bool(found and found[0])


def _stored_fingerprints(con: duckdb.DuckDBPyConnection) -> set[str]:
    return {row[0] for row in con.execute("select distinct input_fingerprint from shapes").fetchall()}


def _decimal(severity: float) -> Decimal:
    return Decimal(f"{severity:.3f}")


def shape_settings(con: duckdb.DuckDBPyConnection) -> ShapeSettings:
    """Settings of the stored shapes, so that every interval of a report has one level and one resample."""
    return stored_settings(con) or ShapeSettings()
