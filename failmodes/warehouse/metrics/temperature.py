"""Temperature scaling (Guo et al. 2017, arXiv 1706.04599), fitted on one half of the clean images for the other.

The halves are the images of even and of odd image_id, so that no image is scaled by a temperature fitted on it
(exact duplicates go with the first of them); the same two temperatures are applied to every corrupted cell (Ovadia et
al. 2019, arXiv 1906.02530). They minimize the mean negative log-likelihood over the fixed grid TEMPERATURES. This
needs all logits, or, if only the largest are stored, the log-sum-exp at each temperature of the grid.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.metrics.calibration import LOSS_RANGE, binned_error
from failmodes.warehouse.metrics.cell_rows import CellRows, Undefined
from failmodes.warehouse.metrics.intervals import Floats
from failmodes.warehouse.metrics.metric import POSITIVE, Interval, Unstored, Value, define
from failmodes.warehouse.schema import SCALED_LOG_SUM_EXP, TEMPERATURES

NO_LOGITS = "neither all logits nor their log-sum-exp at each temperature are stored"
_COLUMNS = ("image_id", "label", "predicted", "finite", "confidence", "loss_nats", "logits", "logit_classes",
            SCALED_LOG_SUM_EXP)  # fmt: skip
NO_ERROR = "the error of the fitted temperatures is unknown"  # why gates refuse what they scale
_GUO = "Guo et al. 2017; Ovadia et al. 2019"


class ScalableLogits(NamedTuple):
    """What temperature scaling needs of the images of one cell, of those that have it.

    Attributes:
        known: (N,) bool, which images these M are.
        is_odd: (M,) bool, whether the image_id is odd; of duplicates that of the first.
        top: (M,) the largest logit.
        own: (M,) the logit of the label.
        values: (K, M), all logits; or (T, M), the log-sum-exp at each of TEMPERATURES; in single precision, as stored.
        has_all: whether the values are all logits.
    """

    known: NDArray[np.bool_]
    is_odd: NDArray[np.bool_]
    top: Floats
    own: Floats
    values: NDArray[np.float32]
    has_all: bool

    def scaled(self, places: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """(M,) negative log-likelihood in nats and (M,) confidence, each image at its own place in TEMPERATURES."""
        temperature = np.array(TEMPERATURES)[places]
        if self.has_all:
            total = np.zeros(len(places))
            for logits in self.values:  # one class at a time stays in the cache
                odds = logits - self.top  # relative to the largest, so that nothing overflows
                odds /= temperature
                total += np.exp(odds, out=odds)
            np.log(total, out=total)
        else:
            total = self.values[places, np.arange(len(places))] - self.top / temperature
        return total - (self.own - self.top) / temperature, np.exp(-total)


def scalable_logits(rows: CellRows) -> ScalableLogits:
    """What temperature scaling needs of one cell.

    Raises:
        Undefined: no image has it.
    """
    finite = rows["finite"] & ~(np.isnan(rows["loss_nats"]) | np.isnan(rows["confidence"]))
    labels = rows["label"].astype(np.int64)
    if "logits" in rows:
        logits = rows["logits"]
        whole = ~rows["logit_classes"] if "logit_classes" in rows else np.ones(len(rows), np.bool_)
        known = finite & whole & (labels < logits.shape[1]) & ~np.isnan(logits).any(axis=1)
        if known.any():
            values = np.ascontiguousarray(logits[known].T)
            own = values[labels[known], np.arange(values.shape[1])]
            return _of(rows, known, values.max(axis=0).astype(np.float64), own.astype(np.float64), values, True)
    if SCALED_LOG_SUM_EXP in rows:
        sums = rows[SCALED_LOG_SUM_EXP]
        known = finite & ~np.isnan(sums).any(axis=1)
        if sums.shape[1] == len(TEMPERATURES) and known.any():
            values = np.ascontiguousarray(sums[known].T)
            total = values[TEMPERATURES.index(1.0)].astype(np.float64)
            top = total + np.log(rows["confidence"][known].astype(np.float64))
            return _of(rows, known, top, total - rows["loss_nats"][known].astype(np.float64), values, False)
    raise Undefined(NO_LOGITS)


def _of(
    rows: CellRows, known: NDArray[np.bool_], top: Floats, own: Floats, values: NDArray[np.float32], has_all: bool
) -> ScalableLogits:
    return ScalableLogits(known, (rows.originals[known] & 1).astype(np.bool_), top, own, values, has_all)


def fitted_temperatures(clean: CellRows) -> dict[bool, int]:
    """Place in TEMPERATURES of each half, by whether its image_ids are odd: what fits the other half when clean."""
    return clean.once("temperatures", lambda: _fitted(clean))


def _fitted(clean: CellRows) -> dict[bool, int]:
    logits: ScalableLogits = clean.once("logits", lambda: scalable_logits(clean))
    found: dict[bool, int] = {}
    losses = [logits.scaled(np.full(len(logits.top), place))[0] for place in range(len(TEMPERATURES))]
    for is_odd in (False, True):
        chosen = logits.is_odd != is_odd
        if chosen.any():
            found[is_odd] = int(np.argmin([loss[chosen].mean() for loss in losses]))
    return found


class Scaled(NamedTuple):
    """Images with a temperature: (N,) bool which, and (M,) loss in nats and confidence with it."""

    known: NDArray[np.bool_]
    loss: Floats
    confidence: Floats


def scaled(rows: CellRows, reference: CellRows | None) -> Scaled:
    """Losses and confidences of one cell at the temperatures that fit the clean images."""
    if reference is None:
        raise Undefined("there is no clean cell")
    return rows.once("scaled", lambda: _scaled(rows, reference))


def _scaled(rows: CellRows, reference: CellRows) -> Scaled:
    logits: ScalableLogits = rows.once("logits", lambda: scalable_logits(rows))
    places = fitted_temperatures(reference)
    kept = np.isin(logits.is_odd, list(places))
    if not kept.any():
        raise Undefined(NO_LOGITS)
    of_images = np.where(logits.is_odd, places.get(True, 0), places.get(False, 0))
    loss, confidence = logits.scaled(of_images)
    known = logits.known.copy()
    known[known] = kept
    return Scaled(known, loss[kept], confidence[kept])


def _spread(known: NDArray[np.bool_], values: Floats) -> Floats:
    found = np.full(len(known), np.nan)
    found[known] = values
    return found


@define(
    "negative log-likelihood with temperature scaling",
    source=_GUO,
    columns=_COLUMNS,
    unit="nats",
    range=POSITIVE,
    interval=Interval(image_range=LOSS_RANGE),
    higher_is_better=False,
    refusal=NO_ERROR,
)
def scaled_nll_nats(rows: CellRows, reference: CellRows | None) -> Floats:
    """Mean of -ln softmax(logits / T) of the label.

    >>> logits = {"logits": [[2, 0]] * 2, "confidence": [0.88] * 2, "loss_nats": [0.13] * 2, "finite": [True] * 2}
    >>> rows = CellRows.of({"image_id": [0, 1], "label": [0, 0], "correct": [1, 1], **logits})
    >>> scaled_nll_nats(rows, reference=rows).round(3).tolist()  # at T = 1/2
    [0.018, 0.018]
    """
    found = scaled(rows, reference)
    return _spread(found.known, found.loss)


@define(
    "mean confidence with temperature scaling", source=_GUO, columns=_COLUMNS, higher_is_better=None, refusal=NO_ERROR
)
def scaled_mean_confidence(rows: CellRows, reference: CellRows | None) -> Floats:
    """Mean of the largest softmax(logits / T).

    >>> logits = {"logits": [[2, 0]] * 2, "confidence": [0.88] * 2, "loss_nats": [0.13] * 2, "finite": [True] * 2}
    >>> rows = CellRows.of({"image_id": [0, 1], "label": [0, 0], "correct": [1, 1], **logits})
    >>> scaled_mean_confidence(rows, reference=rows).round(3).tolist()  # at T = 1/2
    [0.982, 0.982]
    """
    found = scaled(rows, reference)
    return _spread(found.known, found.confidence)


@define(
    "calibration error (ECE) with temperature scaling",
    source=_GUO,
    columns=_COLUMNS,
    higher_is_better=False,
    refusal=NO_ERROR,
    interval=Unstored(),
)
def scaled_ece(rows: CellRows, reference: CellRows | None) -> Value:
    """As ECE, of softmax(logits / T).

    >>> logits = {"logits": [[2, 0]] * 2, "confidence": [0.88] * 2, "loss_nats": [0.13] * 2, "finite": [True] * 2}
    >>> rows = CellRows.of({"image_id": [0, 1], "label": [0, 0], "correct": [1, 1], **logits})
    >>> round(scaled_ece(rows, reference=rows).value, 3)
    0.018
    """
    found = scaled(rows, reference)
    return Value(binned_error(found.confidence, rows["correct"][found.known]), len(found.loss))


def _temperature(rows: CellRows, reference: CellRows | None, is_odd: bool) -> Value:
    found = scaled(rows, reference)
    places = {} if reference is None else fitted_temperatures(reference)
    if is_odd not in places:
        raise Undefined(NO_LOGITS)
    return Value(TEMPERATURES[places[is_odd]], len(found.loss))


_FITTED: dict[str, Any] = {
    "source": _GUO,
    "columns": _COLUMNS,
    "unit": "temperature",
    "range": (TEMPERATURES[0], TEMPERATURES[-1]),
    "higher_is_better": None,
    "refusal": NO_ERROR,
    "interval": Unstored(),
}


@define("temperature of images of even image_id", **_FITTED)
def even_temperature(rows: CellRows, reference: CellRows | None) -> Value:
    """Argmin over the grid of the mean negative log-likelihood of clean images of odd image_id.

    >>> logits = {"logits": [[2, 0]] * 2, "confidence": [0.88] * 2, "loss_nats": [0.13] * 2, "finite": [True] * 2}
    >>> rows = CellRows.of({"image_id": [0, 1], "label": [0, 0], "correct": [1, 1], **logits})
    >>> even_temperature(rows, reference=rows).value
    0.5
    """
    return _temperature(rows, reference, is_odd=False)


@define("temperature of images of odd image_id", **_FITTED)
def odd_temperature(rows: CellRows, reference: CellRows | None) -> Value:
    """Argmin over the grid of the mean negative log-likelihood of clean images of even image_id.

    >>> logits = {"logits": [[2, 0]] * 2, "confidence": [0.88] * 2, "loss_nats": [0.13] * 2, "finite": [True] * 2}
    >>> rows = CellRows.of({"image_id": [0, 1], "label": [0, 0], "correct": [1, 1], **logits})
    >>> odd_temperature(rows, reference=rows).value
    0.5
    """
    return _temperature(rows, reference, is_odd=True)
