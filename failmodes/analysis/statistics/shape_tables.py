"""From correctness in the warehouse to the derived tables of shapes, steps and thresholds tried; only when needed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from failmodes.analysis.derived_rows import derived_rows
from failmodes.analysis.statistics.bootstrap import Float64Array, read_correctness
from failmodes.analysis.statistics.curve_shape import (
    INCONCLUSIVE,
    MIN_POINTS,
    SEVERITY_AXIS,
    SHAPE_CLASSES,
    CurveShape,
    ShapeSettings,
    classify,
    describe_curve,
)
from failmodes.analysis.statistics.curve_tables import (
    AXIS_TITLES,
    DescribedCurve,
    EvaluationCurves,
    as_tables,
    curve_rows,
    no_rows,
)
from failmodes.analysis.statistics.curve_tables import METHOD as CURVE_METHOD
from failmodes.analysis.statistics.published import due_published_shapes
from failmodes.analysis.statistics.sufficiency import (
    FEWEST_IMAGES,
    MOST_NON_FINITE,
    chance_from,
    chance_of,
    non_finite_cells,
)
from failmodes.warehouse.database.checks import refuse_broken_relations
from failmodes.warehouse.database.connection import fetch_first, open_warehouse
from failmodes.warehouse.database.fingerprints import input_fingerprint
from failmodes.warehouse.database.own_tables import SHAPE_SWEEP, SHAPES, STEPS
from failmodes.warehouse.errors import StorageError, WarehouseError
from failmodes.warehouse.stages import counted
from failmodes.warehouse.terminal import note

METHOD = 3  # raise it when the method changes, so that stored shapes are computed again
_SETTINGS = "resamples, bootstrap_seed, interval_level, flat_below, curvature_threshold"  # columns, as in ShapeSettings
MOST_RESAMPLES = 100_000  # that a stored setting may ask for
FLAT_SWEEP = (0.01, 0.02, 0.05)
CURVATURE_SWEEP = (0.10, 0.15, 0.20)
INCONCLUSIVE_SHAPE = SHAPE_CLASSES[INCONCLUSIVE]
WITHHELD = {"abrupt_drop": None, "flat": None}  # verdicts on a curve with too many rows that are not finite
Row = dict[str, Any]


def ensure_shapes(warehouse: Path, settings: ShapeSettings | None = None) -> bool:
    """Make the derived tables of `warehouse` current; close other connections to it first.

    Args:
        warehouse: the DuckDB file.
        settings: thresholds and resampling; None keeps those of the stored shapes, or takes the defaults.

    Returns:
        Whether anything had to be computed.

    Raises:
        WarehouseError: it is missing, in use, its tables do not fit together, or a cell is incomplete.
        StorageError: it cannot be written.
    """
    from failmodes.warehouse.database.updates import replace_derived_tables  # here: who only reads needs none of it

    with open_warehouse(warehouse) as con:
        refuse_broken_relations(con)
        tables = due_shapes(con, settings)
    if tables:
        replace_derived_tables(warehouse, tables)
    return bool(tables)


@contextmanager
def open_with_shapes(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse to read, with current shapes: computed and stored where they are out of date.

    Where they cannot be stored (a read-only file or folder, another writer at work), this connection alone has them.
    It works in one thread, so that what is drawn twice is the same to the last digit.

    Raises:
        WarehouseError: it is missing, in use, its tables do not fit together, or a cell is incomplete.
    """
    with open_warehouse(warehouse, one_thread=True) as con:
        refuse_broken_relations(con)
        tables = due_shapes(con)
        for name, rows in tables.items():
            con.register(name, rows)  # hides the stored one
        if tables:
            store_derived(warehouse, tables)
        yield con


def store_derived(warehouse: Path, tables: dict[str, pa.Table]) -> None:
    """Store derived tables; where that cannot be done say so: whoever made them goes on with what was made."""
    from failmodes.warehouse.database.updates import replace_derived_tables  # as above

    try:
        if not os.access(warehouse, os.W_OK):  # its folder may be open to writers all the same
            raise StorageError(f"{warehouse} is write-protected")
        replace_derived_tables(warehouse, tables)
    except (StorageError, WarehouseError) as error:
        note(f"the shapes of its curves hold for this call alone, since they cannot be stored: {error}")


def due_shapes(con: duckdb.DuckDBPyConnection, settings: ShapeSettings | None = None) -> dict[str, pa.Table]:
    """The tables of shapes, computed anew; empty where those stored are current.

    Args:
        con: the warehouse.
        settings: thresholds and resampling; None keeps those of the stored shapes, or takes the defaults.
    """
    settings = settings or stored_settings(con)
    fingerprint = input_fingerprint(con, {**asdict(settings), "method": METHOD, "curves": CURVE_METHOD})
    published = due_published_shapes(con, settings)
    if con.execute("select distinct input_fingerprint from shapes").fetchall() == [(fingerprint,)] and _are_ours(
        con, settings
    ):
        return published
    return shape_tables(con, settings, fingerprint) | published


def _are_ours(con: duckdb.DuckDBPyConnection, settings: ShapeSettings) -> bool:
    """Whether the stored tables hold what this program could have stored: whoever wrote a file may write rows too."""
    axes = [SEVERITY_AXIS, *AXIS_TITLES]
    if con.execute(f"select distinct {_SETTINGS} from shapes").fetchall() != [astuple(settings)]:
        return False
    known = fetch_first(
        con,
        "select (select bool_and(shape = any($1)) from shapes), "
        "(select bool_and(shape = any($1) and axis = any($2)) from shapes_over_distortion), "
        "(select bool_and(threshold = any($3)) from change_points)",
        [list(SHAPE_CLASSES), axes, ["supported", "contradicted", "inconclusive"]],
    )
    curves = "select distinct evaluation_id, corruption from"
    over_axes = [f"(from shapes_over_distortion where axis = '{axis}')" for axis in axes]
    agree = all(
        not con.execute(
            f"({curves} shapes except {curves} {other}) union all ({curves} {other} except {curves} shapes) limit 1"
        ).fetchall()
        for other in ("steps", "shape_sweep", *over_axes)
    )
    return agree and all(known or ())


def stored_settings(con: duckdb.DuckDBPyConnection) -> ShapeSettings:
    """The settings that the stored shapes were made with; the defaults without shapes, or where nobody could set them.

    Whoever wrote a file may have written a billion resamples.
    """
    row = fetch_first(
        con,
        f"select {_SETTINGS} from shapes "
        f"where resamples between 1 and {MOST_RESAMPLES} and bootstrap_seed >= 0 and flat_below between 0 and 1 "
        "and interval_level between 0.5 and 0.999 and curvature_threshold >= 0 and isfinite(curvature_threshold) "
        "limit 1",
    )
    return ShapeSettings(*(row or ()))


def shape_tables(con: duckdb.DuckDBPyConnection, settings: ShapeSettings, fingerprint: str) -> dict[str, pa.Table]:
    """The derived tables of every evaluation, by name. A curve of fewer than three points has no shape and no row."""
    rows: dict[str, list[Row]] = {table.name: [] for table in (SHAPES, STEPS, SHAPE_SWEEP)} | no_rows()
    evaluations = con.execute(
        "select evaluation_id from evaluations semi join (from shards where table_name = 'prediction_facts') "
        "using (evaluation_id) order by evaluation_id"
    ).fetchall()
    for (evaluation_id,) in counted("shapes", evaluations):
        correctness = read_correctness(con, evaluation_id)
        replicates = correctness.resampled(settings.resamples, settings.seed)
        chance, unfinished = chance_of(con, evaluation_id), non_finite_cells(con, evaluation_id)
        described = []
        curves = {name: curve for name, curve in correctness.curves().items() if len(curve) >= MIN_POINTS}
        for corruption, column_of in curves.items():
            grid, columns = np.array(list(column_of)), list(column_of.values())
            correct = correctness.correct[:, columns]
            shape = describe_curve(
                correct, replicates[:, columns], grid, settings, paired=correctness.paired, curves=len(curves)
            )
            withheld = [severity for cell, severity in unfinished if cell == corruption or not severity]
            key = {"evaluation_id": evaluation_id, "corruption": corruption, "input_fingerprint": fingerprint}
            own = _shape_row(shape, grid, len(correct), settings) | {
                "chance_from": chance_from(correct, grid, chance, settings.interval_level),
                "reason": _reason(shape, len(correct), withheld),
            }
            own |= {"shape": INCONCLUSIVE_SHAPE} if own["reason"] else {}
            rows["shapes"].append(key | (own | WITHHELD if withheld else own))
            rows["steps"].extend(key | row for row in _step_rows(shape, grid))
            swept = _sweep_rows(correct.mean(axis=0), grid, shape, settings)
            rows["shape_sweep"].extend(
                key | (row | {"shape": INCONCLUSIVE_SHAPE} if withheld else row) for row in swept
            )
            described.append(DescribedCurve(corruption, grid, columns, shape, own["reason"], bool(withheld)))
        found = EvaluationCurves(correctness, replicates, chance, described)
        for name, more in curve_rows(con, found, settings).items():
            rows[name].extend(more)
    tables = {table.name: derived_rows(rows[table.name], table) for table in (SHAPES, STEPS, SHAPE_SWEEP)}
    return tables | as_tables(rows, fingerprint)


def _reason(shape: CurveShape, images: int, withheld: list[float]) -> str | None:
    """Why a curve has no shape class; None where it has one."""
    if withheld:
        listed = ", ".join(f"{severity:g}" for severity in sorted(withheld))
        return f"more than {MOST_NON_FINITE:.0%} of the predictions are no finite numbers at severity {listed}"
    if images < FEWEST_IMAGES:
        return f"{images} images are too few: it takes {FEWEST_IMAGES}"
    if shape.shape == INCONCLUSIVE_SHAPE:
        shown = 100 * shape.smallest_shown
        return f"so many images show drops from {shown:.1f} points on"
    return None


def _shape_row(shape: CurveShape, grid: Float64Array, images: int, settings: ShapeSettings) -> Row:
    lost, falls = float(shape.largest.lost), shape.curvature is not None
    return {
        "shape": shape.shape,
        "stability": shape.stability,
        **dict(zip(("total_drop", "total_drop_low", "total_drop_high"), shape.drop, strict=True)),
        **dict(
            zip(("curvature", "curvature_low", "curvature_high"), shape.curvature or (None, None, None), strict=True)
        ),
        "largest_step": lost,
        **dict(zip(("largest_step_low", "largest_step_high"), shape.largest_interval, strict=True)),
        "largest_step_share": lost / shape.drop.value if falls else None,
        "largest_step_from": _decimal(float(grid[shape.largest.start])),
        "largest_step_to": _decimal(float(grid[shape.largest.end])),
        "abrupt_drop": shape.one_step,
        "flat": shape.flat,
        **dict(zip(("largest_change", "largest_change_low", "largest_change_high"), shape.largest_change, strict=True)),
        **dict(zip(("largest_rise", "largest_rise_low", "largest_rise_high"), shape.rise, strict=True)),
        "largest_rise_at": _decimal(float(grid[shape.rise_position])),
        "smallest_drop_shown": shape.smallest_shown,
        **{f"share_{name}": share for name, share in shape.shares.items()},
        "image_count": images,
        "resamples": settings.resamples,
        "bootstrap_seed": settings.seed,
        "interval_level": settings.interval_level,
        "flat_below": settings.flat_below,
        "curvature_threshold": settings.curvature_threshold,
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
        for threshold in sorted({*CURVATURE_SWEEP, settings.curvature_threshold}):
            tried = replace(settings, flat_below=flat_below, curvature_threshold=threshold)
            code = int(classify(curve, grid, shape.margins, tried))
            yield {"flat_below": flat_below, "curvature_threshold": threshold, "shape": SHAPE_CLASSES[code]}


def _decimal(severity: float) -> Decimal:
    return Decimal(f"{severity:.3f}")
