"""Requirements for a statement: enough images, finite predictions, accuracy above chance."""

from decimal import Decimal

import duckdb
import numpy as np
import polars as pl

from failmodes.analysis.evaluations.selection import read_metrics
from failmodes.analysis.statistics.estimate import Float64Array
from failmodes.analysis.statistics.run_rows import RunRows
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.metrics.intervals import wilson_interval
from failmodes.warehouse.schema import OF_TABLE

MAX_NON_FINITE = 0.01  # share of a cell's rows; beyond it shapes and drops are not reported
NON_FINITE = f"more than {MAX_NON_FINITE:.0%} of predictions are not finite"
AT_CHANCE = 0.05  # accuracy less than this above chance counts as chance


def non_finite_cells(
    con: duckdb.DuckDBPyConnection, evaluation_id: str, filtered: RunRows | None = None
) -> list[tuple[str, float]]:
    """Cells, as corruption and severity, in which more than MAX_NON_FINITE of the rows are not finite.

    None of a table of predictions: what it lacks counts as incorrect, as its import stated.

    Args:
        con: the warehouse.
        evaluation_id: of the evaluation.
        filtered: its rows on some of its images, which then count; default: all.
    """
    kind = fetch_first(con, "select source_kind from evaluation_labels where evaluation_id = ?", [evaluation_id])
    if kind == (OF_TABLE,):
        return []
    if filtered is not None:
        return [cell for cell in filtered.cells if 1 - filtered.rows(cell)["finite"].mean() > MAX_NON_FINITE]
    shares = read_metrics(con, [evaluation_id], ["non_finite_share"]).filter(pl.col("value") > MAX_NON_FINITE)
    return shares.select("corruption", "severity").sort("corruption", "severity").rows()


def chance_of(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> float | None:
    """Chance accuracy among the classes that the model may predict, 0-1; None if the warehouse does not have it."""
    row = fetch_first(
        con,
        "select 1 / nullif(case when class_protocol = 'all' then output_count else class_count end, 0) "
        "from evaluations inner join models using (model_id) where evaluation_id = ?",
        [evaluation_id],
    )
    return row[0] if row else None


def chance_from(
    correct: np.ndarray, severities: Float64Array, chance: float | None, level: float, independent: float = 1.0
) -> Decimal | None:
    """The severity from which on accuracy is shown to be at or below chance up to the last severity; None for none.

    At chance means that the whole Wilson interval is less than AT_CHANCE above chance.

    Args:
        correct: (N, S) bool, whether each image is correct at each severity.
        severities: (S,) rising.
        chance: chance accuracy, 0-1; None if unknown.
        level: of Wilson's intervals.
        independent: the effective number of images as a share of them, `RunRows.independent_share`.
    """
    if chance is None:
        return None
    _, high = wilson_interval(correct.mean(axis=0), len(correct) * independent, level=level)
    first = np.flatnonzero(np.append(True, high >= chance + AT_CHANCE))[-1]  # beyond the last that may be above
    return Decimal(f"{severities[first]:.3f}") if first < len(severities) else None


def is_below_chance(correct: np.ndarray, chance: float | None, level: float, independent: float = 1.0) -> bool | None:
    """Whether accuracy at the last severity is shown to be below chance; None if chance is unknown.

    Args:
        correct: (N, S) bool, whether each image is correct at each severity.
        chance: chance accuracy, 0-1.
        level: of Wilson's interval.
        independent: share of the images that are independent, 0-1.
    """
    if chance is None:
        return None
    _, high = wilson_interval(correct[:, -1].mean(), len(correct) * independent, level=level)
    return bool(high < chance)
