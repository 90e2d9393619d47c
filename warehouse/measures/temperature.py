"""Temperature scaling (Guo et al. 2017, arXiv 1706.04599), fitted on one half of the clean images for the other.

The halves are the images of even and of odd image_id, so that no image is judged by a temperature that it has shaped;
the same two temperatures are applied to every corrupted cell (Ovadia et al. 2019, arXiv 1906.02530). They come from a
fixed grid, on which the mean negative log-likelihood is least. It takes all logits: where only the largest are on
record nothing is measured.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.warehouse.measures.columns import Row, bins_of, flags, lists, whole_numbers

TEMPERATURES = 2.0 ** (np.arange(-24, 33) / 8)  # 1/8 to 16 by eighths of a doubling
Floats = NDArray[np.float64]


class CellLogits(NamedTuple):
    """All logits of the images of one cell that have them.

    Attributes:
        is_odd: (N,) bool, whether the image_id is odd.
        labels: (N,) int16.
        correct: (N,) bool.
        logits: (K, N) float64, all of an image in a column.
    """

    is_odd: NDArray[np.bool_]
    labels: NDArray[np.int16]
    correct: NDArray[np.bool_]
    logits: Floats


def read_logits(rows: pa.Table, correct: NDArray[np.bool_]) -> CellLogits | None:
    """The logits of one cell; None where no image has all of them, or not all as many.

    Args:
        rows: the columns of `predictions`.
        correct: (N,) bool, which rows are right.
    """
    if "logits" not in rows.column_names or "logit_classes" not in rows.column_names:
        return None
    (values, starts, counts), labels = lists(rows, "logits"), whole_numbers(rows, "label", np.int16)
    is_whole = np.asarray(rows["logit_classes"].is_null().to_numpy())
    kept = flags(rows, "finite") & is_whole & (labels < counts)
    if not kept.any() or len(np.unique(counts[kept])) > 1:
        return None
    logits = values[starts[kept] + np.arange(counts[kept][0])[:, None]].astype(np.float64)
    is_odd = whole_numbers(rows, "image_id", np.int32)[kept] % 2 == 1
    return CellLogits(is_odd, labels[kept], correct[kept], logits)


def fit_temperatures(clean: CellLogits) -> dict[bool, float]:
    """The temperature of each half, by whether its image_ids are odd: what fits the clean images of the other."""
    found = {}
    for is_odd in (False, True):
        other = clean.is_odd != is_odd
        if other.any():
            logits, labels = clean.logits[:, other], clean.labels[other]
            losses = [_scaled(logits, labels, np.full(len(labels), t))[0].mean() for t in TEMPERATURES]
            found[is_odd] = float(TEMPERATURES[int(np.argmin(losses))])
    return found


def measure_temperature(cell: CellLogits, temperatures: Mapping[bool, float]) -> list[Row]:
    """The row of cell_temperature; none where no image has a temperature.

    Args:
        cell: its logits.
        temperatures: of each half, by whether its image_ids are odd.
    """
    kept = np.isin(cell.is_odd, list(temperatures))
    if not kept.any():
        return []
    logits, labels, correct = cell.logits[:, kept], cell.labels[kept], cell.correct[kept]
    own = np.where(cell.is_odd[kept], temperatures.get(True, np.nan), temperatures.get(False, np.nan))
    loss, confidence = _scaled(logits, labels, np.ones(len(labels)))
    scaled_loss, scaled_confidence = _scaled(logits, labels, own)
    return [
        {
            "even_temperature": temperatures.get(False),
            "odd_temperature": temperatures.get(True),
            "image_count": len(labels),
            "nll_nats": float(loss.mean()),
            "scaled_nll_nats": float(scaled_loss.mean()),
            "ece": _ece(confidence, correct),
            "scaled_ece": _ece(scaled_confidence, correct),
            "scaled_mean_confidence": float(scaled_confidence.mean()),
        }
    ]


def _scaled(logits: Floats, labels: NDArray[np.int16], temperatures: Floats) -> tuple[Floats, Floats]:
    """(N,) negative log-likelihood in nats and (N,) confidence at (N,) temperatures."""
    top = logits.max(axis=0)
    total = np.exp((logits - top) / temperatures).sum(axis=0)
    own = logits[labels, np.arange(len(labels))]
    return np.log(total) - (own - top) / temperatures, 1 / total


def _ece(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """Expected calibration error in equal bins [low, high), 1.0 in the last."""
    return float(np.abs(np.bincount(bins_of(confidence), confidence - correct)).sum()) / len(confidence)
