"""Columns of predictions from the outputs of all classes, without PyTorch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from failmodes.evaluate.study.study_schema import OutputKind
from failmodes.warehouse.schema import FULL_LOGITS_CLASSES, TEMPERATURES, TOP_LOGITS

FLOOR = float(np.finfo(np.float32).eps)  # for probabilities of 0: where scikit-learn's log_loss clips float32
SUM_TOLERANCE, TOLERANCE_IF_ROUNDED = 1e-3, 0.2  # for a sum of probabilities
MAX_DECIMALS = 6  # for detecting rounded probabilities; float32 has seven digits
ALWAYS_KNOWN = ("label", "finite")  # for any outputs


def as_logits(values: NDArray[np.float64], kind: OutputKind) -> NDArray[np.float32]:
    """Logits (N, C) of outputs (N, C): log p for probabilities, whose softmax returns p; −inf for 0.

    A logit beyond single precision becomes infinite.
    """
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        if kind == "logits":
            return values.astype(np.float32)
        return np.log(np.where((values <= 0) & np.isfinite(values), 0, values)).astype(np.float32)


def filled(logits: NDArray[np.float32], half_step: float | None) -> NDArray[np.float32]:
    """Logarithms of probabilities with a floor in place of −inf, or half the smallest other p of the row if less.

    Args:
        logits: (N, C), see `as_logits`.
        half_step: half the step of rounded probabilities, which those of a row share; None for FLOOR.
    """
    zero = np.isneginf(logits)
    counts = np.maximum(zero.sum(axis=1, keepdims=True), 1)
    floor = np.log(FLOOR if half_step is None else half_step / counts)
    least_other = np.where(zero, np.inf, logits).min(axis=1, keepdims=True) - np.log(2)
    return np.where(zero, np.minimum(least_other, floor), logits).astype(np.float32)


def prediction_columns(logits: NDArray[np.float32], labels: NDArray[np.int64], kind: OutputKind) -> dict[str, Any]:
    """Columns of `prediction_facts` from logits (N, C), as `engine.statistics` computes them on a device.

    Columns are masked where logits are not finite. Of probabilities, what depends on the unknown constant of their
    logits is None.
    """
    finite = np.isfinite(logits).all(axis=1)
    kept = np.where(finite[:, None], logits, np.float32(0))
    classes = np.argsort(-kept, axis=1, kind="stable")
    ordered = np.take_along_axis(kept, classes, axis=1)
    total = np.asarray(logsumexp(kept, axis=1), np.float32)
    log_p = kept - total[:, None]
    p = np.exp(log_p)
    own = np.take_along_axis(log_p, labels[:, None], axis=1)[:, 0]
    top = np.exp(ordered[:, :2] - total[:, None])
    columns: dict[str, Any] = {
        "label": labels,
        "predicted": classes[:, 0],
        "runner_up": classes[:, 1],
        "label_rank": (classes == labels[:, None]).argmax(axis=1) + 1,
        "confidence": top[:, 0],
        "label_probability": np.exp(own),
        "margin": top[:, 0] - top[:, 1],
        "entropy_nats": -(p * log_p).sum(axis=1),
        "loss_nats": -own,
        "sum_p2": np.square(p).sum(axis=1),
        "log_sum_exp": total,
        "max_logit": ordered[:, 0],
        "finite": finite,
    }
    if logits.shape[1] <= FULL_LOGITS_CLASSES:
        columns["logits"] = logits
    else:
        below = ordered - ordered[:, :1]  # to prevent overflow
        scaled = [logsumexp(below / t, axis=1) + ordered[:, 0] / t for t in TEMPERATURES]
        columns |= {
            "logits": ordered[:, :TOP_LOGITS],
            "logit_classes": classes[:, :TOP_LOGITS],
            "scaled_log_sum_exp": np.stack(scaled, axis=1).astype(np.float32),
        }
    masked = {
        name: value if name in ALWAYS_KNOWN or value.ndim > 1 else np.ma.masked_array(value, ~finite)
        for name, value in columns.items()
    }
    return masked | ({"log_sum_exp": None, "max_logit": None} if kind == "probabilities" else {})


def decimals_of(values: NDArray[np.float64]) -> int | None:
    """Decimals of rounded probabilities, 0 if all are 0 or 1; None for more than MAX_DECIMALS."""
    known = values[np.isfinite(values).all(axis=1)]
    return next((decimals for decimals in range(MAX_DECIMALS + 1) if _are_rounded(known, decimals)), None)


def _are_rounded(values: NDArray[np.float64], decimals: int) -> bool:
    """Whether all values are numbers of that many decimals, in double or single precision."""
    rounded = values.round(decimals)
    return bool(((rounded == values) | (rounded.astype(np.float32) == values)).all())
