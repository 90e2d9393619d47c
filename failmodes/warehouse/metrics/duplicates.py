"""Exact duplicates: images of the same pixels are one group, and intervals and tests count a group as one image.

Closed-form intervals take Kish's effective sample size (Kish 1965, Survey Sampling, section 5.4; for exact intervals
Korn and Graubard 1998, Survey Methodology 24, 193-201), errors from the spread of images add up the contributions of a
group first (cluster-robust variance: Liang and Zeger 1986, Biometrika 73, 13-22), and a bootstrap draws groups (Davison
and Hinkley 1997, section 3.8). Copies of a clean image meet other random numbers under a corruption, so that they are
partly dependent there: the effective size, which is exact where copies are all alike, is then too small and intervals
are rather too wide; the other two are right either way.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Groups = NDArray[np.intp]  # (N,) number of the group of each image, from 0 by first appearance
Kept = NDArray[Any] | slice  # which images: rows, bool, or a slice


def number_groups(hashes: ArrayLike) -> Groups | None:
    """Number of the group of each image by first appearance, (N,); None where all are distinct.

    Args:
        hashes: (N,) equal for images of one group.
    """
    values, first, inverse = np.unique(np.asarray(hashes), return_index=True, return_inverse=True)
    if len(values) == len(inverse):
        return None
    numbers = np.empty(len(values), np.intp)
    numbers[np.argsort(first)] = np.arange(len(values))
    return numbers[inverse]


def kept_groups(groups: Groups | None, kept: Kept | None) -> Groups | None:
    """Groups of some of the images; None where these are distinct."""
    if groups is None or kept is None:
        return groups
    return number_groups(groups[kept])


def effective_counts(groups: Groups | None, places: ArrayLike, size: int) -> NDArray[np.float64]:
    """Kish's effective number of the images of each place, (size,): N² / Σ over groups of m².

    Args:
        groups: (N,) of all images; None where they are distinct.
        places: (N,) whole numbers below `size`.
        size: number of places.
    """
    own = np.asarray(places, dtype=np.intp)
    counts = np.bincount(own, minlength=size).astype(np.float64)
    if groups is None:
        return counts
    pairs, repeats = np.unique(own * (groups.max() + 1) + groups, return_counts=True)
    squares = np.bincount(pairs // (groups.max() + 1), repeats.astype(np.float64) ** 2, size)
    return np.divide(counts**2, squares, out=np.zeros(size), where=squares > 0)


def independent_share(groups: Groups | None) -> float:
    """Kish's effective number of images as a share of them, above 0 to 1; 1 without duplicates."""
    if groups is None or not len(groups):
        return 1.0
    sizes = np.bincount(groups).astype(np.float64)
    return float(len(groups) / np.square(sizes).sum())


def group_sums(values: NDArray[Any], groups: Groups) -> NDArray[np.float64]:
    """What the values of the images of each group add up to: (N, …) to (G, …)."""
    found = np.zeros((int(groups.max()) + 1, *values.shape[1:]))
    np.add.at(found, groups, values)
    return found


def duplicates_note(images: int, distinct: int) -> str:
    """How many images are exact duplicates of others, in words; empty where none is."""
    copies = images - distinct
    if copies < 1:
        return ""
    said = "is an exact duplicate of another" if copies == 1 else "are exact duplicates of others"
    return f"{copies:,} of {images:,} images {said} ({distinct:,} distinct); intervals treat copies as one"
