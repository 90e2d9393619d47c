"""Detect permuted outputs of a model: another assignment to classes fits clean images far better."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.metrics.cell_rows import OTHER
from failmodes.warehouse.metrics.intervals import mean_with_pseudo_images, normal_quantile

MIN_RISE = 0.1  # of accuracy on held-out images with reassigned classes, below its whole interval
MIN_FACTOR = 2.0  # by which reassigned classes must multiply accuracy …
MAX_ERRORS_LEFT = 0.25  # … or the largest share of errors that may remain, for few swapped classes
MAX_CLASSES = 2000  # more would take minutes
Classes = NDArray[np.int64]


class ClassOrder(NamedTuple):
    """Another assignment of outputs to classes, chosen on half of the images and tested on the other half.

    Attributes:
        outputs: (C,) the output of each class.
        actual: current accuracy, 0-1.
        matched: accuracy with that assignment.
        rise: matched minus actual.
        low: lower end of its 95% interval, paired.
        high: upper end.
        images: number of held-out images.
    """

    outputs: Classes
    actual: float
    matched: float
    rise: float
    low: float
    high: float
    images: int


def far_better_order(labels: Classes, predictions: Classes, classes: int) -> ClassOrder | None:
    """The assignment that is far better than the given one; None if there is none.

    It needs a rise of MIN_RISE, interval included, larger than any bias of a model between two classes. Every other
    image of a class, in the given order, chooses the assignment; the rest test it.

    Args:
        labels: (N,) of clean images.
        predictions: (N,) of the same images, OTHER for no class of the dataset.
        classes: their number.
    """
    is_held_out = occurrences(labels) % 2 == 1
    if classes > MAX_CLASSES or not is_held_out.any():
        return None
    held_out, given = labels[is_held_out], predictions[is_held_out]
    actual = given == held_out
    best = _confusion(held_out, given, classes).max(axis=0).sum() / len(held_out)
    if best - actual.mean() <= MIN_RISE:  # an upper bound: an assignment may not repeat
        return None
    from scipy.optimize import linear_sum_assignment  # here: 20 MB, needed for few models

    weights = _confusion(labels[~is_held_out], predictions[~is_held_out], classes)
    # Half an image more for each given output: among equal assignments the given one wins
    _, outputs = linear_sum_assignment(weights + np.eye(classes) / 2, maximize=True)
    matched = given == outputs[held_out]
    gains = matched.astype(np.float64) - actual
    center, variance = mean_with_pseudo_images(gains, -1, 1)
    half = normal_quantile() * variance**0.5
    found = ClassOrder(
        outputs, float(actual.mean()), float(matched.mean()), float(gains.mean()), center - half, center + half,
        len(held_out),
    )  # fmt: skip
    leaves_few_errors = 1 - found.matched <= MAX_ERRORS_LEFT * (1 - found.actual)
    is_large = found.matched >= MIN_FACTOR * found.actual or leaves_few_errors
    return found if found.low > MIN_RISE and is_large else None


def occurrences(labels: Classes) -> NDArray[np.int64]:
    """How many images of the same class precede each image, (N,)."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    before = np.empty(len(labels), np.int64)
    before[order] = np.arange(len(labels)) - np.searchsorted(ordered, ordered)
    return before


def _confusion(labels: Classes, predictions: Classes, classes: int) -> NDArray[np.float64]:
    """(classes, classes) images by label and prediction."""
    counts = np.zeros((classes, classes))
    known = predictions != OTHER
    np.add.at(counts, (labels[known], predictions[known]), 1)
    return counts
