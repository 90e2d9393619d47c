"""Temperature scaling (Guo et al. 2017, arXiv 1706.04599), fitted on one half of the clean images for the other.

The halves are the images of even and of odd image_id, so that no image is judged by a temperature that it has shaped;
the same two temperatures are applied to every corrupted cell (Ovadia et al. 2019, arXiv 1906.02530). They come from the
fixed grid TEMPERATURES, on which the mean negative log-likelihood is least. It takes all logits, or where only the
largest are on record the log-sum-exp at each temperature of the grid.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.warehouse.measures.calibration import Floats, ece_of_bins
from failmodes.warehouse.measures.columns import (
    Row,
    Values,
    bins_of,
    flags,
    list_items,
    lists,
    numbers,
    places_of,
    whole_numbers,
)
from failmodes.warehouse.schema import SCALED_LOG_SUM_EXP, TEMPERATURES


class CellLogits(NamedTuple):
    """What temperature scaling needs of the images of one cell, of those that have it.

    Attributes:
        is_odd: (N,) bool, whether the image_id is odd.
        correct: (N,) bool.
        confidence: (N,) as it is.
        loss: (N,) negative log-likelihood as it is, nats.
        top: (N,) the largest logit.
        own: (N,) the logit of the label.
        values: (K, N), all logits; or (T, N), the log-sum-exp at each of TEMPERATURES; in single precision, as stored.
        has_all: whether the values are all logits.
    """

    is_odd: NDArray[np.bool_]
    correct: NDArray[np.bool_]
    confidence: Floats
    loss: Floats
    top: Floats
    own: Floats
    values: Values
    has_all: bool

    def where(self, chosen: NDArray[np.bool_]) -> "CellLogits":
        """Some of the images."""
        parts = {name: part[..., chosen] for name, part in self._asdict().items() if name != "has_all"}
        return self._replace(**parts)

    def scaled(self, places: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """(N,) negative log-likelihood in nats and (N,) confidence, each image at its own place in TEMPERATURES."""
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


def read_logits(rows: pa.Table, correct: NDArray[np.bool_]) -> CellLogits | None:
    """What temperature scaling needs of one cell; None where no image has it, or not all have as many logits.

    Args:
        rows: the columns of `predictions`.
        correct: (N,) bool, which rows are right.
    """
    finite, labels = flags(rows, "finite"), whole_numbers(rows, "label", np.int16)
    every_loss, every_confidence = (numbers(rows, column) for column in ("loss_nats", "confidence"))
    finite = finite & ~(np.isnan(every_loss) | np.isnan(every_confidence))  # a foreign record may lack one
    for name in ("logits", SCALED_LOG_SUM_EXP):
        if name not in rows.column_names:
            continue
        has_all = name == "logits"
        values, starts, counts = lists(rows, name)
        kept = finite & (labels < counts) & _is_whole(rows) if has_all else finite & (counts == len(TEMPERATURES))
        places = places_of(kept)
        lengths = counts[places]
        if not len(lengths) or (lengths != lengths[0]).any():
            continue
        found = list_items(values, starts, counts, np.flatnonzero(kept))
        loss, confidence = (every[places].astype(np.float64) for every in (every_loss, every_confidence))
        if has_all:
            largest, of_labels = found.max(axis=0), values[starts[places] + labels[places]]
            top, own = largest.astype(np.float64), of_labels.astype(np.float64)
        else:
            total = found[TEMPERATURES.index(1.0)].astype(np.float64)
            top, own = total + np.log(confidence), total - loss
        is_odd = (whole_numbers(rows, "image_id", np.int32)[places] & 1).astype(np.bool_)
        return CellLogits(is_odd, correct[places], confidence, loss, top, own, found, has_all)
    return None


def _is_whole(rows: pa.Table) -> NDArray[np.bool_]:
    """Whether the logits of each row are all there are."""
    if "logit_classes" not in rows.column_names or rows["logit_classes"].null_count == rows.num_rows:
        return np.ones(rows.num_rows, np.bool_)
    return np.asarray(rows["logit_classes"].is_null().to_numpy(), np.bool_)


def fit_temperatures(clean: CellLogits) -> dict[bool, int]:
    """Place in TEMPERATURES of each half, by whether its image_ids are odd: what fits the other half when clean."""
    found = {}
    for is_odd in (False, True):
        other = clean.is_odd != is_odd
        if other.any():
            half = clean.where(other)
            count = len(half.loss)
            losses = [half.scaled(np.full(count, place))[0].mean() for place in range(len(TEMPERATURES))]
            found[is_odd] = int(np.argmin(losses))
    return found


def measure_temperature(cell: CellLogits, places: Mapping[bool, int]) -> list[Row]:
    """The row of cell_temperature; none where no image has a temperature.

    Args:
        cell: its logits.
        places: in TEMPERATURES, of each half, by whether its image_ids are odd.
    """
    halves = [np.flatnonzero(cell.is_odd == is_odd) for is_odd in sorted(places)]
    order = np.concatenate([np.empty(0, np.intp), *halves])
    count = len(order)
    if not count:
        return []
    of_images = np.where(cell.is_odd, places.get(True, 0), places.get(False, 0))
    loss, confidence = (values[order] for values in cell.scaled(of_images))
    correct, as_it_is = cell.correct[order], cell.confidence[order]
    return [
        {
            "even_temperature": TEMPERATURES[places[False]] if False in places else None,
            "odd_temperature": TEMPERATURES[places[True]] if True in places else None,
            "image_count": count,
            "nll_nats": sum(float(cell.loss[half].sum()) for half in halves) / count,
            "scaled_nll_nats": float(loss.mean()),
            "ece": ece_of_bins(bins_of(as_it_is), as_it_is, correct),
            "scaled_ece": ece_of_bins(bins_of(confidence), confidence, correct),
            "scaled_mean_confidence": float(confidence.mean()),
        }
    ]
