"""Scores of how sure a model is of an answer, and the images of one cell ranked by each."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.warehouse.measures.columns import Values, flags, list_items, lists, numbers, places_of
from failmodes.warehouse.measures.ranking import Keys, ranked
from failmodes.warehouse.measures.temperature import CellLogits

OF_LOGITS = ("confidence", "margin", "entropy", "energy", "logit_gap")
OF_ATTENTION = {  # of which target, which column
    "attention_spread": ("predicted", "spread"),
    "attention_drift": ("clean", "centroid_shift"),
}
SCORES = (*OF_LOGITS, *OF_ATTENTION)


def rankings_of_outcomes(
    rows: pa.Table, correct: NDArray[np.bool_], logits: CellLogits | None = None
) -> dict[str, Keys]:
    """Images of one cell ranked by each score of the logits; those that lack it take no part.

    Args:
        rows: the columns of `predictions`.
        correct: (N,) bool, which rows are right.
        logits: what `read_logits` has read of them.
    """
    finite = flags(rows, "finite")
    certainty = {
        "confidence": numbers(rows, "confidence"),
        "margin": numbers(rows, "margin"),
        "entropy": -numbers(rows, "entropy_nats"),
        "energy": numbers(rows, "log_sum_exp"),  # energy is minus this
        "logit_gap": _logit_gaps(rows, finite, logits),
    }
    return {score: _ranked(values, ~correct, ~finite) for score, values in certainty.items()}


def _ranked(certainty: Values, failed: NDArray[np.bool_], uncertain: NDArray[np.bool_]) -> Keys:
    """Rank those that have a score, and those that `unsure` says have none since they are not sure of anything."""
    kept = places_of(~np.isnan(certainty) | uncertain)
    return ranked(certainty[kept], failed[kept])


def _logit_gaps(rows: pa.Table, finite: NDArray[np.bool_], logits: CellLogits | None) -> Values:
    """(N,) largest minus second largest logit; NaN where fewer than two are on record."""
    if logits is not None and logits.has_all and logits.values.shape[1] == rows.num_rows and len(logits.values) > 1:
        return _gap_of_largest(logits.values)  # those of all rows, which are finite
    gaps = np.full(rows.num_rows, np.nan, np.float32)
    if "logits" not in rows.column_names:
        return gaps
    values, starts, counts = lists(rows, "logits")
    for count in np.unique(counts[counts > 1]):
        chosen = np.flatnonzero(counts == count)
        gaps[chosen] = _gap_of_largest(list_items(values, starts, counts, chosen))
    gaps[~finite] = np.nan
    return gaps


def _gap_of_largest(logits: Values) -> Values:
    """(N,) largest minus second largest of (K, N): faster than sorting, for few are stored."""
    largest, second = np.maximum(logits[0], logits[1]), np.minimum(logits[0], logits[1])
    for row in logits[2:]:
        second = np.maximum(second, np.minimum(largest, row))
        largest = np.maximum(largest, row)
    gap: Values = largest - second
    return gap
