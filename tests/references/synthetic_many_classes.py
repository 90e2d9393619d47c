"""Synthetic predictions of models with many classes, from a few rows of logits: a thousand classes cost what ten do.

Each image has one of the rows, rotated so that its largest logit, which is raised, falls to the class to be predicted.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from failmodes.warehouse import schema

ROWS = 500


class LogitRows(NamedTuple):
    """Rows of logits, and sums over all classes but the largest.

    Attributes:
        logits: (ROWS, C).
        order: (ROWS, C), classes from the largest logit to the smallest.
        ranks: (ROWS, C), place of each class in that order, from 0.
        sums: (ROWS, T) of exp(logit / T), for each of TEMPERATURES.
        weighted: (ROWS,) of exp(logit) logit.
        squares: (ROWS,) of exp(2 logit).
    """

    logits: np.ndarray
    order: np.ndarray
    ranks: np.ndarray
    sums: np.ndarray
    weighted: np.ndarray
    squares: np.ndarray


@cache
def _logit_rows(classes: int) -> LogitRows:
    logits = np.random.default_rng(classes).normal(0, 1, (ROWS, classes)).astype(np.float32).astype(np.float64)
    order = np.argsort(-logits, axis=1)
    others = np.take_along_axis(logits, order[:, 1:], axis=1)
    return LogitRows(
        logits, order, np.argsort(order, axis=1),
        np.stack([np.exp(others / t).sum(1) for t in schema.TEMPERATURES], axis=1),
        (np.exp(others) * others).sum(1), np.exp(2 * others).sum(1),
    )  # fmt: skip


def columns_of_many_classes(
    labels: np.ndarray, correct: np.ndarray, rng: np.random.Generator, classes: int
) -> dict[str, Any]:
    """Columns of `predictions` that come from logits.

    Args:
        labels: (N,).
        correct: (N,), which images are correct.
        rng: draws the rest.
        classes: more than are kept whole.
    """
    rows, chosen = _logit_rows(classes), rng.integers(0, ROWS, len(labels))
    predicted = np.where(correct, labels, (labels + rng.integers(1, classes, len(labels))) % classes)
    largest = rows.order[chosen, 0]
    shift = (predicted - largest) % classes
    top = (rows.logits[chosen, largest] + rng.uniform(0.1, 4, len(labels))).astype(np.float32).astype(np.float64)
    place = (labels - shift) % classes
    own = np.where(correct, top, rows.logits[chosen, place])
    order = rows.order[chosen, : schema.TOP_LOGITS]
    shown = np.take_along_axis(rows.logits[chosen], order, axis=1)
    shown[:, 0] = top
    scaled = np.log(rows.sums[chosen] + np.exp(top[:, None] / np.array(schema.TEMPERATURES)))
    total = scaled[:, schema.TEMPERATURES.index(1.0)]
    probabilities = np.exp(shown - total[:, None])
    return {
        "predicted": predicted, "runner_up": (order[:, 1] + shift) % classes,
        "label_rank": rows.ranks[chosen, place] + 1, "confidence": probabilities[:, 0],
        "label_probability": np.exp(own - total), "margin": probabilities[:, 0] - probabilities[:, 1],
        "entropy_nats": total - (rows.weighted[chosen] + np.exp(top) * top) / np.exp(total),
        "loss_nats": total - own, "sum_p2": (rows.squares[chosen] + np.exp(2 * top)) / np.exp(2 * total),
        "log_sum_exp": total, "max_logit": top, "logits": shown,
        "logit_classes": ((order + shift[:, None]) % classes).astype(np.int16), "scaled_log_sum_exp": scaled,
    }  # fmt: skip
