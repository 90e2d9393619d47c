"""Measures of a cell that can be compared and limited, computed from its images: the catalog.

Most are means over images, or as good as that: an image's contribution is its value plus what it changes in others'
(its influence), so that the mean of contributions is the measure and their spread its error. The calibration error, the
worst class and the commonest answer have no such form (they are an absolute value, a minimum and a maximum): they are
computed again for resampled images.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from failmodes.analysis.statistics.bootstrap import Float64Array
from failmodes.analysis.statistics.run_rows import NO_CLASS, CellRows
from failmodes.analysis.statistics.sampling_bias import (
    SamplingBias,
    bias_of_ece,
    bias_of_top_prediction,
    bias_of_worst_class,
)
from failmodes.warehouse.measures.columns import BINS, bins_of

Weights = NDArray[np.float32]

# How certain each score says that a model is: the column, and whether a higher value is more certain
SCORES: dict[str, tuple[str, bool]] = {
    "confidence": ("confidence", True),
    "margin": ("margin", True),
    "entropy": ("entropy_nats", False),
    "energy": ("log_sum_exp", True),  # energy is minus this
}


class Measure(NamedTuple):
    """One measure of a cell.

    Attributes:
        title: what it is, in words.
        better: whether higher or lower is better.
        unit: 'share' (0-1; differences are told in points) or 'nats' and 'score', told as they are.
        view: where its values stand, as view.column.
        columns: of the predictions that it is computed from, beside whether they are right.
        contributions: (N,) of a cell's rows, whose mean is the measure; or why it is not defined there.
        resampled: (B,) measure under weights (B, N) of images, first (1, N) of ones for the measure itself.
        bias: how far the value of a sample may be from the truth on average, of resampled measures.
        takes_score: whether it is about a score of how sure the model is.
        most: the most it can be; None where it has no bound.
        image_range: the least and the most that one image can contribute, for its made-up images.
    """

    title: str
    better: Literal["higher", "lower"]
    unit: Literal["share", "score", "nats"]
    view: str
    columns: tuple[str, ...] = ()
    contributions: Callable[[CellRows], Float64Array | str] | None = None
    resampled: Callable[[CellRows, Weights], Float64Array | str] | None = None
    bias: Callable[[CellRows], SamplingBias] | None = None
    takes_score: bool = False
    most: float | None = 1.0
    image_range: float = 1.0


def certainty_of(rows: CellRows, score: str) -> Float64Array:
    """(N,) how sure the model is of each answer by a score; -inf where logits are no numbers, NaN without a score."""
    column, is_rising = SCORES[score]
    values = rows[column].astype(np.float64)
    return np.where(rows["finite"], values if is_rising else -values, -np.inf)


def _correct(rows: CellRows) -> Float64Array:
    return rows["correct"].astype(np.float64)


def _incorrect(rows: CellRows) -> Float64Array:
    return 1 - _correct(rows)


def _balanced(rows: CellRows) -> Float64Array:
    correct, labels = _correct(rows), rows["label"].astype(np.int64)
    counts = np.bincount(labels)
    present = counts > 0
    accuracy = np.bincount(labels, correct) / np.maximum(counts, 1)
    mean, classes = float(accuracy[present].mean()), int(present.sum())
    found: Float64Array = mean + len(labels) / classes / counts[labels] * (correct - accuracy[labels])
    return found


def _of_known(values: Float64Array, known: NDArray[np.bool_]) -> Float64Array | str:
    """Contributions to the mean of those values that are known."""
    count = int(known.sum())
    if not count:
        return "no image has finite logits"
    mean = float(values[known].mean())
    spread: Float64Array = np.where(known, values - mean, 0) * (len(values) / count)
    return spread + mean


def _brier(rows: CellRows) -> Float64Array | str:
    values = rows["sum_p2"].astype(np.float64) - 2 * rows["label_probability"].astype(np.float64) + 1
    return _of_known(values, ~np.isnan(rows["confidence"]))


def _nll(rows: CellRows) -> Float64Array | str:
    known = ~np.isnan(rows["confidence"]) & ~np.isnan(rows["loss_nats"])
    return _of_known(rows["loss_nats"].astype(np.float64), known)


def augrc_contributions(rows: CellRows) -> Float64Array | str:
    """Of the area under the generalized risk-coverage curve (Traub et al. 2024): the mean of f_j K(j, i) over pairs.

    f is 1 of a failure, K is 1 where i is less sure than j and 1/2 where they tie. An image contributes as j and as i.
    """
    return _with_score(rows, _augrc_of_known)


def auroc_contributions(rows: CellRows) -> Float64Array | str:
    """Of the area under the ROC curve for failures: DeLong's components (DeLong et al. 1988) about the area."""
    return _with_score(rows, _auroc_of_known)


def _with_score(
    rows: CellRows, of_known: Callable[[Float64Array, NDArray[np.bool_]], Float64Array | str]
) -> Float64Array | str:
    """Contributions of the images that have the score, and the mean of the others."""
    certainty, failed = rows["certainty"], ~rows["correct"]
    known = ~np.isnan(certainty)
    if known.all():
        return of_known(certainty, failed)
    if not known.any():
        return "the score is not on record"
    found = of_known(certainty[known], failed[known])
    if isinstance(found, str):
        return found
    mean = float(found.mean())
    spread = np.zeros(len(certainty))
    spread[known] = (found - mean) * (len(certainty) / len(found))
    total: Float64Array = mean + spread
    return total


def _augrc_of_known(certainty: Float64Array, failed: NDArray[np.bool_]) -> Float64Array:
    count = len(certainty)
    below, ties, failures_above, failed_ties = _beside(certainty, failed)
    as_failure = failed * (below + ties / 2) / count
    found: Float64Array = as_failure + (failures_above + failed_ties / 2) / count
    return found - float(as_failure.mean())


def _auroc_of_known(certainty: Float64Array, failed: NDArray[np.bool_]) -> Float64Array | str:
    count, failures = len(certainty), int(failed.sum())
    if failures in (0, count):
        return "no failure" if not failures else "no right answer"
    below, ties, failures_above, failed_ties = _beside(certainty, failed)
    failures_below = failures - failures_above - failed_ties
    correct_above = count - below - ties - failures_above
    of_failures = (correct_above + (ties - failed_ties) / 2) / (count - failures)
    of_correct = (failures_below + failed_ties / 2) / failures
    area = float(of_failures[failed].mean())
    found: Float64Array = area + np.where(
        failed, count / failures * (of_failures - area), count / (count - failures) * (of_correct - area)
    )
    return found


def _beside(certainty: Float64Array, failed: NDArray[np.bool_]) -> tuple[Float64Array, ...]:
    """Of each image: how many score lower, how many the same (with itself), and the failures above and beside it."""
    order = np.argsort(certainty, kind="stable")
    ordered = certainty[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    ends = np.append(starts[1:], len(ordered))
    group = np.repeat(np.arange(len(starts)), ends - starts)
    failures = np.append(0, np.cumsum(failed[order]))
    place = np.empty(len(order), np.int64)
    place[order] = group
    found = (starts, ends - starts, failures[-1] - failures[ends], failures[ends] - failures[starts])
    return tuple(values[place].astype(np.float64) for values in found)


def _ece(rows: CellRows, weights: Weights) -> Float64Array | str:
    known = ~np.isnan(rows["confidence"])
    if not known.any():
        return "no image has finite logits"
    confidence = rows["confidence"][known].astype(np.float64)
    kept = _of_images(weights, known)
    gaps = _totals(kept, bins_of(confidence), rows["correct"][known] - confidence, BINS)
    found: Float64Array = np.abs(gaps).sum(axis=1, dtype=np.float64) / _drawn(kept)
    return found


def _worst_class(rows: CellRows, weights: Weights) -> Float64Array:
    labels = rows["label"].astype(np.int64)
    classes, places = np.unique(labels, return_inverse=True)
    offset = rows["correct"] * len(classes)  # right answers of a class lie behind the wrong ones of all
    incorrect_count, correct_count = np.hsplit(
        _totals(weights, places + offset, np.ones(len(labels)), 2 * len(classes)), 2
    )
    counts = incorrect_count + correct_count
    accuracy = np.divide(correct_count, counts, out=np.ones(counts.shape), where=counts > 0)
    found: Float64Array = accuracy.min(axis=1)
    return found


def _top_prediction(rows: CellRows, weights: Weights) -> Float64Array | str:
    known = rows["predicted"] != NO_CLASS
    if not known.any():
        return "no image is taken for a class of the data set"
    predictions, places = np.unique(rows["predicted"][known], return_inverse=True)
    kept = _of_images(weights, known)
    counts = _totals(kept, places, np.ones(len(places)), len(predictions))
    found: Float64Array = counts.max(axis=1) / _drawn(kept)
    return found


def _drawn(weights: Weights) -> Float64Array:
    """(B,) how many images are drawn: whole numbers, which float32 adds up exactly below 16 million."""
    found: Float64Array = weights.sum(axis=1).astype(np.float64)
    return found


def _of_images(weights: Weights, kept: NDArray[np.bool_]) -> Weights:
    """Weights (B, N) of the images that are `kept`."""
    return weights if kept.all() else weights.T[kept].T


def _totals(weights: Weights, places: NDArray[np.int64], values: NDArray[Any], count: int) -> NDArray[np.float32]:
    """(B, count): what the values (N,) of the images of each place add up to under weights (B, N).

    An image has one place, so that a full product would be zeros but for one column in `count`, and BLAS keeps threads
    busy for it; this one takes a tenth of the time of processors where weights lie image by image.
    """
    shape = count, len(places)
    of_places = sparse.csr_array((np.asarray(values, np.float32), (places, np.arange(len(places)))), shape=shape)
    found: NDArray[np.float32] = (of_places @ weights.T).T
    return found


MEASURES: dict[str, Measure] = {
    "accuracy": Measure("accuracy", "higher", "share", "accuracy_by_severity.accuracy", contributions=_correct),
    "error": Measure("error", "lower", "share", "accuracy_by_severity.error", contributions=_incorrect),
    "balanced_accuracy": Measure(
        "balanced accuracy", "higher", "share", "predictions_by_severity.balanced_accuracy", ("label",), _balanced
    ),
    "worst_class_accuracy": Measure(
        "accuracy of the worst class", "higher", "share", "predictions_by_severity.worst_class_accuracy", ("label",),
        resampled=_worst_class, bias=bias_of_worst_class,
    ),
    "top_prediction_share": Measure(
        "share of the commonest answer", "lower", "share", "predictions_by_severity.top_prediction_share",
        ("predicted",), resampled=_top_prediction, bias=bias_of_top_prediction,
    ),
    "ece": Measure(
        "calibration error (ECE)", "lower", "share", "calibration_by_severity.ece", ("confidence",), resampled=_ece,
        bias=bias_of_ece,
    ),
    "brier": Measure(
        "Brier score", "lower", "score", "calibration_by_severity.brier",
        ("confidence", "sum_p2", "label_probability"), _brier, most=2.0, image_range=2.0,
    ),
    "nll_nats": Measure(
        "negative log-likelihood", "lower", "nats", "calibration_by_severity.nll_nats",
        ("confidence", "loss_nats"), _nll, most=None,
    ),
    "auroc": Measure(
        "AUROC for failures", "higher", "score", "failure_prediction.auroc", ("finite",), auroc_contributions,
        takes_score=True,
    ),
    "augrc": Measure(
        "AUGRC", "lower", "score", "failure_prediction.augrc", ("finite",), augrc_contributions, takes_score=True,
        most=0.5,
    ),
}  # fmt: skip
