"""Metrics of correctness, and of the distribution of predictions over classes."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from failmodes.warehouse.metrics.cell_rows import ATTRIBUTE, OTHER, CellRows, Undefined
from failmodes.warehouse.metrics.duplicates import Groups, effective_counts, kept_groups
from failmodes.warehouse.metrics.intervals import Floats
from failmodes.warehouse.metrics.metric import (
    CONTINUOUS,
    FEWEST_IMAGES,
    PLAUSIBLE,
    POSITIVE,
    Bootstrap,
    Counted,
    ExactShare,
    Interval,
    Metric,
    SamplingBias,
    Weights,
    define,
)

TOP = 5
WORST_SLICE = "worst_slice_accuracy"
DRAWS, SEED = 400, 0  # of the extreme of many normal numbers
_EXACT = "; interval: Clopper & Pearson 1934"


def has_class(rows: CellRows) -> NDArray[np.bool_]:
    """(N,) for which images a class of the dataset is predicted."""
    found: NDArray[np.bool_] = rows["predicted"] != OTHER
    return found


@define(
    "accuracy", source="Hendrycks & Dietterich 2019" + _EXACT, columns=("label", "predicted"), interval=ExactShare()
)
def accuracy(rows: CellRows) -> NDArray[np.bool_]:
    """Mean of [predicted = label]; an image without a prediction is incorrect.

    >>> accuracy(CellRows.of({"label": [3, 3, 5], "predicted": [3, 5, 5]})).tolist()
    [True, False, True]
    """
    return rows["correct"]


@define(
    "error rate",
    source="Hendrycks & Dietterich 2019" + _EXACT,
    columns=("label", "predicted"),
    higher_is_better=False,
    interval=ExactShare(),
)
def error(rows: CellRows) -> NDArray[np.bool_]:
    """1 - accuracy.

    >>> error(CellRows.of({"label": [3, 3, 5], "predicted": [3, 5, 5]})).tolist()
    [False, True, False]
    """
    return ~rows["correct"]


@define(f"top-{TOP} accuracy", source="Russakovsky et al. 2015", columns=("label_rank",), interval=ExactShare())
def top5_accuracy(rows: CellRows) -> NDArray[np.bool_]:
    """Mean of [rank of the label among the logits ≤ 5].

    >>> top5_accuracy(CellRows.of({"label_rank": [1, 5, 6]})).tolist()
    [True, True, False]
    """
    ranks = rows["label_rank"]
    found: NDArray[np.bool_] = (ranks != OTHER) & (ranks <= TOP)
    return found


def _smallest_class(rows: CellRows) -> list[Counted]:
    labels = rows["label"].astype(np.int64)
    counts = effective_counts(rows.groups, labels, int(labels.max()) + 1)
    return [Counted(float(counts[counts > 0].min()), "image of the smallest class")]


@define(
    "balanced accuracy",
    source="Brodersen et al. 2010",
    columns=("label", "predicted"),
    interval=Interval(minimum=FEWEST_IMAGES, counted=_smallest_class),
)
def balanced_accuracy(rows: CellRows) -> Floats:
    """Mean over classes of the accuracy of their images.

    >>> rows = CellRows.of({"label": [0, 0, 0, 1], "predicted": [0, 0, 1, 1]})
    >>> round(float(balanced_accuracy(rows).mean()), 4)  # (2/3 + 1) / 2
    0.8333
    """
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
    return _bias_of_worst(rows["label"].astype(np.int64), rows["correct"], rows.groups)


def _bias_of_worst(labels: NDArray[np.int64], is_correct: NDArray[np.bool_], groups: Groups | None) -> SamplingBias:
    counts = np.bincount(labels)
    present = counts > 0
    correct = np.bincount(labels, is_correct, len(counts))[present]
    independent = effective_counts(groups, labels, len(counts))[present] / counts[present]
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


@define("accuracy of the worst class", columns=("label", "predicted"), interval=Bootstrap(bias=bias_of_worst_class))
def worst_class_accuracy(rows: CellRows, weights: Weights) -> Floats:
    """Min over classes of the accuracy of their images; below each class's expectation by chance.

    >>> rows = CellRows.of({"label": [0, 0, 1, 1], "predicted": [0, 0, 0, 1]})
    >>> worst_class_accuracy(rows, weights=np.ones((1, 4))).tolist()
    [0.5]
    """
    return _worst_accuracy(rows["label"].astype(np.int64), rows["correct"], weights)


def _worst_accuracy(labels: NDArray[np.int64], is_correct: NDArray[np.bool_], weights: Weights) -> Floats:
    """(B,) least accuracy of the images of any label, under weights (B, N)."""
    classes = int(labels.max()) + 1
    places = labels + classes * is_correct  # correct predictions follow the incorrect ones of all classes
    incorrect_count, correct_count = np.hsplit(totals(weights, places, np.ones(len(labels)), 2 * classes), 2)
    counts = incorrect_count + correct_count
    of_class = np.divide(correct_count, counts, out=np.ones(counts.shape), where=counts > 0)
    found: Floats = of_class.min(axis=1)
    return found


def worst_slice(name: str) -> Metric | None:
    """The metric `worst_slice_accuracy:ATTRIBUTE`, such as `worst_slice_accuracy:camera`; None for other names.

    Min over the groups of images by an attribute, of FEWEST_IMAGES images at least, of their accuracy. Images without a
    value take no part.
    """
    kind, _, attribute = name.partition(":")
    if kind != WORST_SLICE or not attribute:
        return None
    column = f"{ATTRIBUTE}{attribute}"

    def taking_part(rows: CellRows) -> NDArray[np.bool_]:
        codes = rows[column].astype(np.int64)
        counts = np.bincount(codes[codes != OTHER])
        known: NDArray[np.bool_] = (codes != OTHER) & (np.append(counts, 0)[codes] >= FEWEST_IMAGES)
        if not known.any():
            raise Undefined(f"no group by {attribute} has {FEWEST_IMAGES} images")
        return known

    def bias(rows: CellRows) -> SamplingBias:
        known = taking_part(rows)
        codes = rows[column][known].astype(np.int64)
        return _bias_of_worst(codes, rows["correct"][known], kept_groups(rows.groups, known))

    def worst_slice_accuracy(rows: CellRows, weights: Weights) -> Floats:
        known = taking_part(rows)
        kept = of_images(weights, known)
        return _worst_accuracy(rows[column][known].astype(np.int64), rows["correct"][known], kept)

    return Metric(
        name, f"accuracy of the worst group by {attribute}", worst_slice_accuracy,
        columns=("label", "predicted", column),
        formula=f"Min over groups of images by {attribute} of the accuracy of their images",
        interval=Bootstrap(bias=bias, taking_part=taking_part),
    )  # fmt: skip


@define(
    "share of the most frequent prediction",
    columns=("predicted",),
    higher_is_better=False,
    interval=Bootstrap(bias=bias_of_top_prediction, taking_part=has_class),
)
def top_prediction_share(rows: CellRows, weights: Weights) -> Floats:
    """Max over classes of the share of predictions.

    >>> top_prediction_share(CellRows.of({"predicted": [2, 2, 2, 7]}), weights=np.ones((1, 4))).tolist()
    [0.75]
    """
    known = has_class(rows)
    if not known.any():
        raise Undefined("no class of the dataset is predicted")
    predicted = rows["predicted"][known].astype(np.int64)
    kept = of_images(weights, known)
    counts = totals(kept, predicted, np.ones(len(predicted)), int(predicted.max()) + 1)
    found: Floats = counts.max(axis=1) / drawn(kept)
    return found


@define("mean confidence", columns=("confidence",), higher_is_better=None)
def mean_confidence(rows: CellRows) -> NDArray[np.float32]:
    """Mean of the largest softmax probability.

    >>> mean_confidence(CellRows.of({"confidence": [0.25, 0.75]})).tolist()
    [0.25, 0.75]
    """
    return rows["confidence"]


@define(
    "mean entropy",
    source="Shannon 1948",
    columns=("entropy_nats",),
    unit="nats",
    range=POSITIVE,
    higher_is_better=None,
    interval=CONTINUOUS,
)
def mean_entropy_nats(rows: CellRows) -> NDArray[np.float32]:
    """Mean of -Σ p ln p over classes.

    >>> mean_entropy_nats(CellRows.of({"entropy_nats": [0.5, 1.5]})).tolist()
    [0.5, 1.5]
    """
    return rows["entropy_nats"]


@define("share of images with non-finite logits", columns=("finite",), higher_is_better=False, interval=ExactShare())
def non_finite_share(rows: CellRows) -> NDArray[np.bool_]:
    """Mean of [a logit is not a finite number].

    >>> non_finite_share(CellRows.of({"finite": [True, False]})).tolist()
    [False, True]
    """
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
    from scipy import sparse  # here: it takes .06 s, and what reads stored metrics does not need it

    shape = count, len(places)
    numbers = np.asarray(values, weights.dtype)
    of_places = sparse.csr_array((numbers, (places, np.arange(len(places)))), shape=shape)
    found: NDArray[np.floating[Any]] = (of_places @ weights.T).T
    return found
