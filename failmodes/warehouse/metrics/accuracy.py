"""Metrics of correctness, and of the distribution of predictions over classes."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from failmodes.warehouse.metrics.cell_rows import OTHER, CellRows, Undefined
from failmodes.warehouse.metrics.duplicates import effective_counts
from failmodes.warehouse.metrics.intervals import Floats, exact_interval
from failmodes.warehouse.metrics.metric import (
    FEWEST_IMAGES,
    PLAUSIBLE,
    POSITIVE,
    Counted,
    SamplingBias,
    Weights,
    define,
)

TOP = 5
DRAWS, SEED = 400, 0  # of the extreme of many normal numbers
_EXACT = "; interval: Clopper & Pearson 1934"


def has_class(rows: CellRows) -> NDArray[np.bool_]:
    """(N,) for which images a class of the dataset is predicted."""
    found: NDArray[np.bool_] = rows["predicted"] != OTHER
    return found


def interval_of_share(rows: CellRows, value: float, level: float, comparisons: int) -> tuple[float, float]:
    """The exact interval of a share of all images of a cell, of duplicates with the effective number of images."""
    independent = rows.independent_share()
    correct, count = round(value * len(rows)) * independent, len(rows) * independent
    low, high = exact_interval(correct, count, comparisons=comparisons, level=level)
    return float(low), float(high)


@define("accuracy", "mean of [predicted = label]; an image without a prediction is incorrect",
        "Hendrycks & Dietterich 2019" + _EXACT, columns=("label", "predicted"), interval=interval_of_share)  # fmt: skip
def accuracy(rows: CellRows) -> NDArray[np.bool_]:
    return rows["correct"]


@define("error rate", "1 - accuracy", "Hendrycks & Dietterich 2019" + _EXACT, columns=("label", "predicted"),
        higher_is_better=False, interval=interval_of_share)  # fmt: skip
def error(rows: CellRows) -> NDArray[np.bool_]:
    return ~rows["correct"]


@define(f"top-{TOP} accuracy", f"mean of [rank of the label among the logits ≤ {TOP}]", "Russakovsky et al. 2015",
        columns=("label_rank",), interval=interval_of_share)  # fmt: skip
def top5_accuracy(rows: CellRows) -> NDArray[np.bool_]:
    ranks = rows["label_rank"]
    found: NDArray[np.bool_] = (ranks != OTHER) & (ranks <= TOP)
    return found


def _of_smallest_class(rows: CellRows) -> Counted:
    labels = rows["label"].astype(np.int64)
    counts = effective_counts(rows.groups, labels, int(labels.max()) + 1)
    return Counted(float(counts[counts > 0].min()), "image of the smallest class")


@define("balanced accuracy", "mean over classes of the accuracy of their images", "Brodersen et al. 2010",
        columns=("label", "predicted"), fewest=FEWEST_IMAGES, counted=_of_smallest_class)  # fmt: skip
def balanced_accuracy(rows: CellRows) -> Floats:
    correct, labels = rows["correct"].astype(np.float64), rows["label"].astype(np.int64)
    counts = np.bincount(labels)
    present = counts > 0
    of_class = np.bincount(labels, correct) / np.maximum(counts, 1)
    mean, classes = float(of_class[present].mean()), int(present.sum())
    effective = effective_counts(rows.groups, labels, len(counts))
    unbiased = np.sqrt(effective / np.maximum(effective - 1, 1))  # as the variance of each class
    weights = len(labels) / classes / np.maximum(counts, 1) * unbiased
    return mean + weights[labels] * (correct - of_class[labels])


def bias_of_worst_class(rows: CellRows) -> SamplingBias:
    """Bias of the accuracy of the worst class, which is too small."""
    labels = rows["label"].astype(np.int64)
    counts = np.bincount(labels)
    present = counts > 0
    correct = np.bincount(labels, rows["correct"], len(counts))[present]
    independent = effective_counts(rows.groups, labels, len(counts))[present] / counts[present]
    found = _bias_of_least(correct * independent, counts[present] * independent)
    return SamplingBias(low=-found.high, error=found.error)


def bias_of_top_prediction(rows: CellRows) -> SamplingBias:
    """Bias of the share of the most frequent prediction, which is too large: one minus a minimum of shares."""
    known = rows["predicted"] != OTHER
    predictions = np.bincount(rows["predicted"][known].astype(np.int64))
    predictions, independent = predictions[predictions > 0], rows.independent_share(known)
    count = known.sum() * independent
    return _bias_of_least((known.sum() - predictions) * independent, np.full(len(predictions), count))


def _bias_of_least(hits: ArrayLike, counts: ArrayLike) -> SamplingBias:
    """Bias of the minimum of some shares, if all that may be the minimum are equal."""
    hits, counts = np.asarray(hits, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    shares = hits / counts
    smoothed = (hits + 1) / (counts + 2)  # so that a share of 0 or 1 has an error too
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


@define("accuracy of the worst class", "min over classes of the accuracy of their images; below each class's "
        "expectation by chance", columns=("label", "predicted"), bias=bias_of_worst_class)  # fmt: skip
def worst_class_accuracy(rows: CellRows, weights: Weights) -> Floats:
    labels = rows["label"].astype(np.int64)
    classes = int(labels.max()) + 1
    places = labels + classes * rows["correct"]  # correct predictions follow the incorrect ones of all classes
    incorrect_count, correct_count = np.hsplit(totals(weights, places, np.ones(len(labels)), 2 * classes), 2)
    counts = incorrect_count + correct_count
    of_class = np.divide(correct_count, counts, out=np.ones(counts.shape), where=counts > 0)
    found: Floats = of_class.min(axis=1)
    return found


@define("share of the most frequent prediction", "max over classes of the share of predictions",
        columns=("predicted",), higher_is_better=False, bias=bias_of_top_prediction,
        taking_part=has_class)  # fmt: skip
def top_prediction_share(rows: CellRows, weights: Weights) -> Floats:
    known = has_class(rows)
    if not known.any():
        raise Undefined("no class of the dataset is predicted")
    predicted = rows["predicted"][known].astype(np.int64)
    kept = of_images(weights, known)
    counts = totals(kept, predicted, np.ones(len(predicted)), int(predicted.max()) + 1)
    found: Floats = counts.max(axis=1) / drawn(kept)
    return found


@define("mean confidence", "mean of the largest softmax probability", columns=("confidence",),
        higher_is_better=None)  # fmt: skip
def mean_confidence(rows: CellRows) -> NDArray[np.float32]:
    return rows["confidence"]


@define("mean entropy", "mean of -Σ p ln p over classes", "Shannon 1948", columns=("entropy_nats",), unit="nats",
        range=POSITIVE, higher_is_better=None, is_continuous=True)  # fmt: skip
def mean_entropy_nats(rows: CellRows) -> NDArray[np.float32]:
    return rows["entropy_nats"]


@define("share of images with non-finite logits", "mean of [a logit is not a finite number]", columns=("finite",),
        higher_is_better=False, interval=interval_of_share)  # fmt: skip
def non_finite_share(rows: CellRows) -> NDArray[np.bool_]:
    return ~rows["finite"]


def drawn(weights: Weights) -> Floats:
    """(B,) number of images per resample: whole numbers, exact in float32 below 16 million."""
    found: Floats = weights.sum(axis=1).astype(np.float64)
    return found


def of_images(weights: Weights, kept: NDArray[np.bool_]) -> Weights:
    """Weights (B, N) of the images that are `kept`."""
    return weights if kept.all() else weights.T[kept].T


def totals(weights: Weights, places: NDArray[np.int64], values: NDArray[Any], count: int) -> NDArray[np.floating[Any]]:
    """(B, count): sums of values (N,) over the images of each place, under weights (B, N).

    An image has one place, so a dense product would be mostly zeros and occupy all threads of BLAS; the sparse one
    takes a tenth of the processor time for column-major weights.
    """
    shape = count, len(places)
    numbers = np.asarray(values, weights.dtype)
    of_places = sparse.csr_array((numbers, (places, np.arange(len(places)))), shape=shape)
    found: NDArray[np.floating[Any]] = (of_places @ weights.T).T
    return found
