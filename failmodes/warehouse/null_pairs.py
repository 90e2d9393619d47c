"""Null pairs of attention drift: the other image whose clean map each image is compared with, from seeded cycles.

Positions are those of the evaluated images by ascending image_id.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NULL_SEED = 0  # part of every evaluation's identity


class NullPairs(NamedTuple):
    """For each position another position, (N,) int64; -1 if there is none."""

    any_image: NDArray[np.int64]
    same_class: NDArray[np.int64]


def sample_null_pairs(labels: NDArray[np.integer], seed: int = NULL_SEED) -> NullPairs:
    """Seeded derangements: no image pairs with itself, and each is the pair of exactly one other.

    Args:
        labels: (N,) class of each image, by ascending image_id.
        seed: of the cycles: one through all images, then one through each class, by ascending class index.
    """
    rng = np.random.default_rng(seed)
    any_image = _derangement(np.arange(len(labels)), len(labels), rng)
    same_class = np.full(len(labels), -1, np.int64)
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        same_class[of_class] = _derangement(of_class, len(labels), rng)[of_class]
    return NullPairs(any_image, same_class)


def _derangement(positions: NDArray[np.int64], size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """One random cycle through `positions`."""
    pair = np.full(size, -1, np.int64)
    if len(positions) > 1:
        cycle = rng.permutation(positions)
        pair[cycle] = np.roll(cycle, -1)
    return pair
