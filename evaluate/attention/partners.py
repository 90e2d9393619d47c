"""Whose clean map stands in for the null: for each image another one, overall and within its class."""

from typing import NamedTuple

import numpy as np

NULL_SEED = 0  # part of every evaluation's identity


class Partners(NamedTuple):
    """For each position another position, (N,) int64; −1 where there is no other."""

    any_image: np.ndarray
    same_class: np.ndarray


def choose_partners(labels: np.ndarray, seed: int = NULL_SEED) -> Partners:
    """Seeded derangements: nobody is their own partner, and everybody is somebody's partner exactly once."""
    rng = np.random.default_rng(seed)
    any_image = _derangement(np.arange(len(labels)), len(labels), rng)
    same_class = np.full(len(labels), -1, np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        same_class[members] = _derangement(members, len(labels), rng)[members]
    return Partners(any_image, same_class)


def _derangement(members: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """One random cycle through `members`."""
    partner = np.full(size, -1, np.int64)
    if len(members) > 1:
        cycle = rng.permutation(members)
        partner[cycle] = np.roll(cycle, -1)
    return partner
