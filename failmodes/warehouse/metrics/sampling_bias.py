"""How far metrics that are no means over images may be from the truth on average, and how uncertain they are at least.

The calibration error is a sum of absolute values, the worst class a minimum, the most frequent prediction a maximum:
of a sample the first and the last are too large on average, the second too small, and the more so where no gap is clear
and classes are alike. How much depends on the truth, so it is bounded: bins and classes that may be alike, within twice
their errors, are taken to be so. A bootstrap does not tell: its resamples are of a sample whose gaps are too large.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from failmodes.warehouse.metrics.cell_rows import CellRows
from failmodes.warehouse.metrics.columns import BINS, OTHER, bins_of
from failmodes.warehouse.metrics.duplicates import effective_counts
from failmodes.warehouse.metrics.intervals import Floats

PLAUSIBLE = 2.0  # standard errors within which two values may be the same
DRAWS, SEED = 400, 0  # of the extreme of many normal numbers


class SamplingBias(NamedTuple):
    """What a sample's value may be beyond the truth.

    Attributes:
        low: the least that the value exceeds the truth by on average; below 0 where it may fall short.
        high: the most.
        error: standard error of the group that may be the extreme one; 0 where there is none.
    """

    low: float = 0.0
    high: float = 0.0
    error: float = 0.0


def bias_of_ece(rows: CellRows) -> SamplingBias:
    """Of the calibration error: E|gap + error| - |gap| of bins, whose gap is as small as it may be."""
    from scipy.special import ndtr  # here: it takes .2 s, and most charts do without

    known = np.isfinite(rows["confidence"])
    confidence = rows["confidence"][known].astype(np.float64)
    bins, count = bins_of(confidence), int(known.sum())
    of_images = rows["correct"][known] - confidence
    gaps = np.abs(np.bincount(bins, of_images, BINS)) / count
    squares = np.bincount(bins, of_images**2, BINS), np.bincount(bins, confidence * (1 - confidence), BINS)
    errors = np.sqrt(np.maximum(*squares)) / count  # of calibrated images too, where all are correct so far
    errors = errors / np.sqrt(rows.independent_share(known))
    least = np.maximum(gaps - PLAUSIBLE * errors, 0)[errors > 0]
    errors = errors[errors > 0]
    place = least / errors
    folded = errors * np.sqrt(2 / np.pi) * np.exp(-(place**2) / 2) + least * (1 - 2 * ndtr(-place))
    return SamplingBias(high=float((folded - least).sum()))


def bias_of_worst_class(rows: CellRows) -> SamplingBias:
    """Of the accuracy of the worst class, which falls short."""
    labels = rows["label"].astype(np.int64)
    counts = np.bincount(labels)
    present = counts > 0
    correct = np.bincount(labels, rows["correct"], len(counts))[present]
    independent = effective_counts(rows.groups, labels, len(counts))[present] / counts[present]
    found = _bias_of_least(correct * independent, counts[present] * independent)
    return SamplingBias(low=-found.high, error=found.error)


def bias_of_top_prediction(rows: CellRows) -> SamplingBias:
    """Of the share of the most frequent prediction, which exceeds: that of the rarest of the shares of all others."""
    known = rows["predicted"] != OTHER
    predictions = np.bincount(rows["predicted"][known].astype(np.int64))
    predictions, independent = predictions[predictions > 0], rows.independent_share(known)
    count = known.sum() * independent
    return _bias_of_least((known.sum() - predictions) * independent, np.full(len(predictions), count))


def _bias_of_least(hits: ArrayLike, counts: ArrayLike) -> SamplingBias:
    """Of the least of some shares: by how much it falls short, where those that may be the least are."""
    hits, counts = np.asarray(hits, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    shares = hits / counts
    smoothed = (hits + 1) / (counts + 2)  # a share of 0 or 1 has an error too
    errors = np.sqrt(smoothed * (1 - smoothed) / counts)
    least = float(shares.min())
    reach = PLAUSIBLE * np.hypot(errors, errors[shares.argmin()])  # of a difference to the least
    plausible = np.maximum(shares - reach, least)
    short = least - float((plausible + errors * _noise(len(shares))).min(axis=1).mean())
    return SamplingBias(high=max(0.0, short), error=float(errors[plausible <= least].max()))


@lru_cache(maxsize=8)
def _noise(count: int) -> Floats:
    """(DRAWS, count) normal numbers, the same for every cell."""
    return np.random.default_rng(SEED).standard_normal((DRAWS, count))
