"""Which images of a data set are evaluated: all, or the first ones of every class in turn."""

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.errors import StudyError


def balanced_subset(labels: NDArray[np.int64], count: int | None) -> tuple[NDArray[np.int64], str]:
    """Choose images, balanced over classes.

    Images are taken in rounds: the first of every class, the second of every class, and so on; where classes
    interleave this is the prefix. Nothing is drawn at random.

    Args:
        labels: (N,) class indices.
        count: how many images; all if None.

    Returns:
        The chosen images' numbers, (count,) int64, rising; and which these are, in words.

    Raises:
        StudyError: there are fewer images than asked for, or fewer than one is asked for.
    """
    total = len(labels)
    if count is None or count == total:
        return np.arange(total, dtype=np.int64), f"all {total:,} images"
    if not 1 <= count <= total:
        raise StudyError(f"{count:,} images are asked for and the data set has {total:,}: ask for 1 to {total:,}")
    rounds = _occurrences(labels)
    chosen = np.sort(np.lexsort((np.arange(total), rounds))[:count]).astype(np.int64)
    counts = np.bincount(labels[chosen], minlength=int(labels.max()) + 1)[np.unique(labels)]
    balance = "balanced over classes" if np.ptp(counts) <= 1 else f"{counts.min():,} to {counts.max():,} a class"
    return chosen, f"first {count:,} of {total:,}, {balance}"


def _occurrences(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many images of the same class come before each image, (N,)."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    starts = np.searchsorted(ordered, ordered)
    before = np.empty(len(labels), dtype=np.int64)
    before[order] = np.arange(len(labels)) - starts
    return before
