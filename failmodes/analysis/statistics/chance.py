"""What a guess would get right, and from which severity on accuracy cannot be told from it."""

from decimal import Decimal

import duckdb
import numpy as np

from failmodes.analysis.statistics.bootstrap import Float64Array
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.metrics.intervals import wilson_interval


def chance_of(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> float | None:
    """Accuracy of a guess among what the model may answer, 0-1; None where that is not on record."""
    row = fetch_first(
        con,
        "select case when class_protocol = 'all' then output_count else class_count end from evaluations "
        "inner join models using (model_id) where evaluation_id = ?",
        [evaluation_id],
    )
    return 1 / row[0] if row and row[0] else None


def chance_from(correct: np.ndarray, severities: Float64Array, chance: float | None, level: float) -> Decimal | None:
    """The severity from which on the accuracy cannot be told from chance, or lies below it, to the last; None for none.

    Args:
        correct: (N, S) bool, whether each image is right at each severity.
        severities: (S,) rising.
        chance: accuracy of a guess, 0-1; None where it is not known.
        level: of Wilson's intervals.
    """
    if chance is None:
        return None
    low, _ = wilson_interval(correct.mean(axis=0), len(correct), level=level)
    above = np.flatnonzero(low > chance)
    first = int(above[-1]) + 1 if len(above) else 0
    return Decimal(f"{severities[first]:.3f}") if first < len(severities) else None
