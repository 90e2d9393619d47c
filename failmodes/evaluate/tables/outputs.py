"""Columns of predictions from the outputs of all classes, without PyTorch."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from failmodes.evaluate.probabilities import FLOOR, SUM_TOLERANCE
from failmodes.evaluate.study.study_schema import OutputKind
from failmodes.evaluate.tables.checking import refuse
from failmodes.evaluate.tables.reading import PredictionTable
from failmodes.runtime.errors import DataError
from failmodes.warehouse.schema import FULL_LOGITS_CLASSES, TEMPERATURES, TOP_LOGITS

TOLERANCE_IF_ROUNDED = 0.2  # for a sum of rounded probabilities
MAX_DECIMALS = 6  # for detecting rounded probabilities; float32 has seven digits
BLOCK_VALUES = 1 << 21  # outputs processed at a time
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
    finite = np.asarray(np.isfinite(logits).all(axis=1))
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


class CheckedOutputs(NamedTuple):
    """What the outputs of rows have in common, and of each.

    Attributes:
        finite: (N,) bool, whether all outputs of a row are finite in single precision.
        has_zeros: (N,) bool, whether a row has probabilities of 0.
        decimals: decimals of rounded probabilities, 0 if all are 0 or 1; None for more than MAX_DECIMALS, and for
            logits.
    """

    finite: NDArray[np.bool_]
    has_zeros: NDArray[np.bool_]
    decimals: int | None


def check_outputs(table: PredictionTable, chosen: NDArray[np.bool_] | None, *, renormalize: bool) -> CheckedOutputs:
    """Check the outputs of all classes of a table.

    Args:
        table: rows with outputs.
        chosen: (N,) which rows are stored; None for all.
        renormalize: accept rounded probabilities, which sum to 1 only approximately.

    Raises:
        DataError: a probability is out of range, those of a row do not sum to 1, logits are probabilities, or no row
            is finite.
    """
    outputs = table.outputs
    kind = table.columns.kind
    assert outputs is not None
    assert kind is not None
    count = len(table)
    finite = np.zeros(count, np.bool_)
    has_zeros = np.zeros(count, np.bool_)
    decimals: int | None = 0
    are_all_probabilities = True
    for start, stop in blocks(count, outputs.shape[1]):
        values = np.asarray(outputs[start:stop])
        logits = as_logits(values, kind)
        is_zero = np.isneginf(logits) & (kind == "probabilities")
        finite[start:stop] = (np.isfinite(logits) | is_zero).all(axis=1)
        has_zeros[start:stop] = finite[start:stop] & is_zero.any(axis=1)
        kept = finite[start:stop] if chosen is None else finite[start:stop] & chosen[start:stop]
        known = values[kept]
        are_all_probabilities = are_all_probabilities and _are_probabilities(known)
        if kind == "probabilities":
            _check_probabilities(table, start, values, kept, TOLERANCE_IF_ROUNDED if renormalize else SUM_TOLERANCE)
            block = decimals_of(known)
            decimals = None if block is None or decimals is None else max(block, decimals)
    name = table.parts[0].name
    if not (finite if chosen is None else finite & chosen).any() and (chosen is None or chosen.any()):
        raise DataError(f"{name} has no row of finite values, so no prediction is defined")
    if kind == "logits" and are_all_probabilities and (chosen is None or chosen.any()):
        raise DataError(
            f"{name} has probabilities in the columns of logits: each row is in 0 to 1 and sums to 1; name the columns "
            "probability_… (a list: probabilities)"
        )
    return CheckedOutputs(finite, has_zeros, decimals if kind == "probabilities" else None)


def _check_probabilities(
    table: PredictionTable, start: int, values: NDArray[np.float64], kept: NDArray[np.bool_], tolerance: float
) -> None:
    """Refuse the first row of a block whose probabilities are out of range, or do not sum to 1."""
    wrong = np.zeros(len(table), np.bool_)
    block = slice(start, start + len(values))
    total = values.sum(axis=1)
    with np.errstate(invalid="ignore"):
        wrong[block] = kept & ~((values >= -1e-6) & (values <= 1 + 1e-6)).all(axis=1)  # rounded past 1
        refuse(
            table, wrong,
            lambda row: f"probability {values[row - start][np.abs(values[row - start] - 0.5).argmax()]:g} is outside 0 "
            "to 1: if these are logits, name the columns logit_…",
        )  # fmt: skip
        wrong[block] = kept & (np.abs(total - 1) > tolerance)
    refuse(
        table, wrong,
        lambda row: f"probabilities sum to {total[row - start]:.6g}: expected 1 (± {tolerance:g}) over all classes; "
        "for rounded probabilities use --renormalize",
    )  # fmt: skip


def _are_probabilities(values: NDArray[np.float64]) -> bool:
    """Whether all rows of outputs (N, C) are in 0 to 1 and sum to 1, as after a softmax."""
    in_range = (values >= 0) & (values <= 1)
    return bool(in_range.all() and (np.abs(values.sum(axis=1) - 1) < SUM_TOLERANCE).all())


def blocks(count: int, width: int) -> Iterator[tuple[int, int]]:
    """Start and stop of blocks of rows of `width` outputs."""
    step = max(1, BLOCK_VALUES // width)
    for start in range(0, count, step):
        yield start, min(start + step, count)


def decimals_of(values: NDArray[np.float64]) -> int | None:
    """Decimals of rounded probabilities, 0 if all are 0 or 1; None for more than MAX_DECIMALS."""
    known = values[np.isfinite(values).all(axis=1)]
    return next((decimals for decimals in range(MAX_DECIMALS + 1) if _are_rounded(known, decimals)), None)


def _are_rounded(values: NDArray[np.float64], decimals: int) -> bool:
    """Whether all values are numbers of that many decimals, in double or single precision."""
    rounded = values.round(decimals)
    return bool(((rounded == values) | (rounded.astype(np.float32) == values)).all())
