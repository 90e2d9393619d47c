"""From correctness in the warehouse to the derived tables of shapes, steps and thresholds tried; only when needed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from failmodes.analysis.statistics.bootstrap import Float64Array, read_correctness
from failmodes.analysis.statistics.curve_shape import (
    MIN_POINTS,
    SHAPE_CLASSES,
    CurveShape,
    ShapeSettings,
    classify,
    describe_curve,
)
from failmodes.warehouse.database.connection import fetch_first, open_warehouse
from failmodes.warehouse.database.own_tables import DERIVED
from failmodes.warehouse.database.updates import input_fingerprint, replace_derived_tables
from failmodes.warehouse.errors import StorageError, WarehouseError
from failmodes.warehouse.terminal import remark

METHOD = 2  # raise it when the method changes, so that stored shapes are computed again
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
        WarehouseError: it is missing, in use, or a cell is incomplete.
        StorageError: it cannot be written.
    """
    with open_warehouse(warehouse) as con:
        tables = _due_tables(con, settings or stored_settings(con))
    if tables:
        replace_derived_tables(warehouse, tables)
    return bool(tables)


@contextmanager
def open_with_shapes(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse to read, with current shapes: computed and stored where they are out of date.

    Where they cannot be stored (a read-only file or folder, another writer at work), this connection alone has them.
    It works in one thread, so that what is drawn twice is the same to the last digit.

    Raises:
        WarehouseError: it is missing, in use, or a cell is incomplete.
    """
    with open_warehouse(warehouse, one_thread=True) as con:
        tables = _due_tables(con, stored_settings(con))
        if not tables or not _are_stored(warehouse, tables):
            for name, rows in tables.items():
                con.register(name, rows)  # hides the stored one
            yield con
            return
    with open_warehouse(warehouse, one_thread=True) as con:  # the former shows what it opened
        yield con


def _are_stored(warehouse: Path, tables: dict[str, pa.Table]) -> bool:
    """Store derived tables; where that cannot be done say so, and return False."""
    try:
        if not os.access(warehouse, os.W_OK):  # its folder may be open to writers all the same
            raise StorageError(f"{warehouse} is write-protected")
        replace_derived_tables(warehouse, tables)
    except (StorageError, WarehouseError) as error:
        remark(f"the shapes of its curves hold for this call alone, since they cannot be stored: {error}")
        return False
    return True


def _due_tables(con: duckdb.DuckDBPyConnection, settings: ShapeSettings) -> dict[str, pa.Table]:
    """The derived tables, computed anew; empty where those stored are current."""
    fingerprint = input_fingerprint(con, {**asdict(settings), "method": METHOD})
    if con.execute("select distinct input_fingerprint from shapes").fetchall() == [(fingerprint,)]:
        return {}
    return shape_tables(con, settings, fingerprint)


def stored_settings(con: duckdb.DuckDBPyConnection) -> ShapeSettings:
    """The settings that the stored shapes were made with; the defaults without shapes."""
    row = fetch_first(
        con, "select resamples, bootstrap_seed, interval_level, flat_below, bow_threshold from shapes limit 1"
    )
    return ShapeSettings(*(row or ()))


def shape_tables(con: duckdb.DuckDBPyConnection, settings: ShapeSettings, fingerprint: str) -> dict[str, pa.Table]:
    """The derived tables of every evaluation, by name. A curve of fewer than three points has no shape and no row."""
    rows: dict[str, list[Row]] = {table.name: [] for table in DERIVED}
    evaluations = con.execute(
        "select evaluation_id from evaluations semi join (from shards where table_name = 'predictions') "
        "using (evaluation_id) order by evaluation_id"
    ).fetchall()
    for (evaluation_id,) in evaluations:
        correctness = read_correctness(con, evaluation_id)
        accuracy, draws = correctness.accuracy, correctness.resampled(settings.resamples, settings.seed)
        for corruption, column_of in correctness.curves().items():
            if len(column_of) < MIN_POINTS:
                continue
            grid, columns = np.array(list(column_of)), list(column_of.values())
            curve = accuracy[columns]
            shape = describe_curve(curve, draws[:, columns], grid, settings)
            key = {"evaluation_id": evaluation_id, "corruption": corruption, "input_fingerprint": fingerprint}
            rows["shapes"].append(key | _shape_row(shape, grid, len(correctness.correct), settings))
            rows["steps"].extend(key | row for row in _step_rows(shape, grid))
            rows["shape_sweep"].extend(key | row for row in _sweep_rows(curve, grid, shape, settings))
    return {table.name: pa.Table.from_pylist(rows[table.name], schema=table.arrow()) for table in DERIVED}


def _shape_row(shape: CurveShape, grid: Float64Array, images: int, settings: ShapeSettings) -> Row:
    lost = float(shape.largest.lost)
    return {
        "shape": shape.shape,
        "stability": shape.stability,
        **dict(zip(("total_drop", "total_drop_low", "total_drop_high"), shape.drop, strict=True)),
        **dict(zip(("bow", "bow_low", "bow_high"), shape.bow or (None, None, None), strict=True)),
        "largest_step": lost,
        "largest_step_share": None if shape.bow is None else lost / shape.drop.value,
        "largest_step_from": _decimal(float(grid[shape.largest.start])),
        "largest_step_to": _decimal(float(grid[shape.largest.end])),
        **{f"share_{name}": share for name, share in shape.shares.items()},
        "image_count": images,
        "resamples": settings.resamples,
        "bootstrap_seed": settings.seed,
        "interval_level": settings.interval_level,
        "flat_below": settings.flat_below,
        "bow_threshold": settings.bow_threshold,
    }


def _step_rows(shape: CurveShape, grid: Float64Array) -> Iterator[Row]:
    severities = grid.tolist()
    changes = zip(*shape.changes, strict=True)
    for start, end, (value, low, high) in zip(severities, severities[1:], changes, strict=False):
        yield {
            "severity_from": _decimal(start),
            "severity_to": _decimal(end),
            "accuracy_change": float(value),
            "accuracy_change_low": float(low),
            "accuracy_change_high": float(high),
        }


def _sweep_rows(curve: Float64Array, grid: Float64Array, shape: CurveShape, settings: ShapeSettings) -> Iterator[Row]:
    for flat_below in sorted({*FLAT_SWEEP, settings.flat_below}):
        for threshold in sorted({*BOW_SWEEP, settings.bow_threshold}):
            tried = replace(settings, flat_below=flat_below, bow_threshold=threshold)
            code = int(classify(curve, grid, shape.margins, tried))
            yield {"flat_below": flat_below, "bow_threshold": threshold, "shape": SHAPE_CLASSES[code]}


def _decimal(severity: float) -> Decimal:
    return Decimal(f"{severity:.3f}")
