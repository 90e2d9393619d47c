"""Scores of how sure a network is of an answer, and the images of one cell ranked by each."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.warehouse.measures.columns import Values, flags, numbers, targets_of, whole_numbers
from failmodes.warehouse.measures.ranking import Keys, ranked
from failmodes.warehouse.schema import TARGETS

OF_LOGITS = ("confidence", "margin", "entropy", "energy", "logit_gap")
OF_ATTENTION = ("attention_spread", "attention_drift")
SCORES = (*OF_LOGITS, *OF_ATTENTION)


def rankings_of_outcomes(rows: pa.Table, correct: NDArray[np.bool_]) -> dict[str, Keys]:
    """Images of one cell ranked by each score of the logits; those that lack it take no part.

    Args:
        rows: the columns of `predictions`.
        correct: (N,) bool, which rows are right.
    """
    sureness = {
        "confidence": numbers(rows, "confidence"),
        "margin": numbers(rows, "margin"),
        "entropy": -numbers(rows, "entropy_nats"),
        "energy": numbers(rows, "log_sum_exp"),  # energy is minus this
        "logit_gap": _logit_gaps(rows),
    }
    return {score: _ranked(values, ~correct, ~flags(rows, "finite")) for score, values in sureness.items()}


def rankings_of_maps(
    rows: pa.Table, image_ids: NDArray[np.int32], correct: NDArray[np.bool_], *, is_clean: bool
) -> dict[str, Keys]:
    """Images of one cell ranked by each score of attention; those without a map take no part.

    A map without the score (an empty one has none) is the least sure, where another map of the cell has it.

    Args:
        rows: the columns of `attention`.
        image_ids: (N,) of the cell's outcomes, rising, each once.
        correct: (N,) bool, in their order.
        is_clean: of the clean cell, from which nothing has drifted.
    """
    mine, targets = whole_numbers(rows, "image_id", np.int32), targets_of(rows)
    places = np.searchsorted(image_ids, mine).clip(max=len(image_ids) - 1)
    known, failed = image_ids[places] == mine, ~correct[places]

    def of_target(name: str, target: str) -> Keys:
        kept = known & (targets == TARGETS.index(target))
        sureness = -numbers(rows, name)[kept]
        return _ranked(sureness, failed[kept], np.full(len(sureness), not np.isnan(sureness).all()))

    found = {"attention_spread": of_target("spread", "predicted")}
    if not is_clean:
        found["attention_drift"] = of_target("centroid_shift", "clean")
    return found


def _ranked(sureness: Values, failed: NDArray[np.bool_], unsure: NDArray[np.bool_]) -> Keys:
    """Rank those that have a score, and those that `unsure` says have none since they are not sure of anything."""
    kept = ~np.isnan(sureness) | unsure
    return ranked(sureness[kept], failed[kept])


def _logit_gaps(rows: pa.Table) -> Values:
    """(N,) largest minus second largest logit; NaN where fewer than two are on record."""
    gaps = np.full(rows.num_rows, np.nan, np.float32)
    if "logits" not in rows.column_names:
        return gaps
    lists = rows["logits"].combine_chunks()
    counts = np.asarray(lists.value_lengths().fill_null(0), np.int64)
    values = np.asarray(lists.flatten(), np.float32)  # nulls have no values here
    starts = np.cumsum(counts) - counts
    for count in np.unique(counts[counts > 1]):
        chosen = np.flatnonzero(counts == count)
        gaps[chosen] = _gap_of_largest(values[starts[chosen] + np.arange(count)[:, None]])
    gaps[~flags(rows, "finite")] = np.nan
    return gaps


def _gap_of_largest(logits: Values) -> Values:
    """(N,) largest minus second largest of (K, N): faster than sorting, for few are stored."""
    largest, second = np.maximum(logits[0], logits[1]), np.minimum(logits[0], logits[1])
    for row in logits[2:]:
        second = np.maximum(second, np.minimum(largest, row))
        largest = np.maximum(largest, row)
    gap: Values = largest - second
    return gap
