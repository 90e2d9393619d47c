"""Distinct slices among those that a search supports: hundreds of conjunctions may name one failure.

Night images that fail make "night and camera B" fail too, "dark" a little, and every conjunction of either. Slices of
one corruption are listed from the smallest p value on, each if it tells something that the listed ones do not:

- A conjunction that is not below the rest of a shorter one that is supported as well adds nothing to it: the shorter
  one is listed.
- Of each other slice, the images outside the listed ones must be below all others outside them, at the error rate of
  the search; a slice within a listed one must be below the rest of it. Any other is explained by it.
"""

from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from failmodes.analysis.statistics.estimate import Float64Array
from failmodes.analysis.statistics.shares import ALPHA
from failmodes.analysis.statistics.slice_search import (
    MAX_CONDITIONS,
    NO_GROUP,
    Bools,
    Candidates,
    GroupedImages,
    Integers,
    SliceSearch,
    deviations,
    fisher_p,
)

WITHIN = 0.9  # of the images of a slice are in another: it is a part of it
MAX_CANDIDATES = 5_000  # of a corruption, the most deviating; of the others none is listed
BLOCK = 50_000_000  # elements of arrays of slices and images


class DistinctSlice(NamedTuple):
    """A slice that a list shows.

    Attributes:
        groups: (D,) of the slice.
        cell: in which it deviates most under its corruption.
        images: in the slice.
        correct: of these, in the cell.
        p_value: one-sided, corrected for the search.
        comparisons: by which it is multiplied.
        explained: further supported slices of the corruption that it explains.
    """

    groups: Integers
    cell: int
    images: int
    correct: int
    p_value: float
    comparisons: int
    explained: int


def distinct_slices(search: SliceSearch, *, rows: int, level: float = 1 - ALPHA) -> list[DistinctSlice]:
    """Supported slices, by corrected p value; without any, the slices that deviate most.

    Args:
        search: what was searched.
        rows: most slices of a corruption, or most without any that is supported.
        level: of all supported slices together.
    """
    images, candidates = search.images, search.candidates
    comparisons = np.array([0, *(search.comparisons(depth + 1) for depth in range(len(search.slice_counts)))])
    rate = 1 - level
    is_supported = ndtr(candidates.deviations) * comparisons[candidates.depths] <= rate
    found: list[DistinctSlice] = []
    corruptions = images.corruptions[candidates.cells]
    for corruption in np.unique(corruptions[is_supported]):
        chosen = np.flatnonzero(is_supported & (corruptions == corruption))
        found += _listed(search, candidates.take(chosen), comparisons, rate, rows)
    if not found:
        return _most_deviating(search, comparisons, rows)
    return sorted(found, key=lambda one: (one.p_value, -one.images))


def _judged(
    search: SliceSearch, groups: Integers, cell: int, comparisons: Integers, explained: int = 0
) -> DistinctSlice:
    inside = search.images.images_of(groups)
    correct = search.images.correct[:, cell]
    size, hits = int(inside.sum()), int(correct[inside].sum())
    among = int(comparisons[(groups != NO_GROUP).sum()])
    p_value = min(1.0, float(fisher_p(size, hits, len(correct), int(correct.sum()))) * among)
    return DistinctSlice(groups[groups != NO_GROUP], cell, size, hits, p_value, among, explained)


def _most_deviating(search: SliceSearch, comparisons: Integers, rows: int) -> list[DistinctSlice]:
    """The slices of the smallest p values, each of other images than the ones before it."""
    found: list[DistinctSlice] = []
    masks: list[Bools] = []
    candidates = search.candidates.take(np.arange(min(len(search.candidates.cells), MAX_CANDIDATES)))
    order = np.argsort(ndtr(candidates.deviations) * comparisons[candidates.depths], kind="stable")
    for place in order:
        inside = search.images.images_of(candidates.groups[place])
        if candidates.deviations[place] < 0 and not any(_is_within(inside, mask) for mask in masks):
            masks.append(inside)
            found.append(_judged(search, candidates.groups[place], int(candidates.cells[place]), comparisons))
        if len(found) == rows:
            break
    return found


def _is_within(inside: Bools, other: Bools) -> bool:
    shared = (inside & other).sum()
    return bool(shared >= WITHIN * min(inside.sum(), other.sum()))


def _listed(
    search: SliceSearch, supported: Candidates, comparisons: Integers, rate: float, rows: int
) -> list[DistinctSlice]:
    """The distinct ones among the supported slices of one corruption."""
    images = search.images
    order = np.argsort(ndtr(supported.deviations) * comparisons[supported.depths], kind="stable")
    left = supported.take(order[:MAX_CANDIDATES])
    known = {_key(groups) for groups in left.groups}
    covered = np.zeros(len(images.members), np.bool_)
    refines = np.zeros(len(left.cells), np.bool_)
    found: list[DistinctSlice] = []
    while len(left.cells) and len(found) < rows:
        cell = int(left.cells[0])
        groups = _shortest(images, left.groups[0], cell, known)
        known.discard(_key(groups))  # it is listed once
        inside = images.images_of(groups)
        covered |= inside
        others = np.array([_key(one) != _key(groups) for one in left.groups])
        others[0] = False
        left, refines = left.take(others), refines[others]
        is_part, is_below = _within(images, left, inside, groups)
        stays = np.where(is_part, is_below, _outside(images, left, covered, comparisons, rate) | refines)
        one = _judged(search, groups, cell, comparisons, int((~stays).sum()))
        if one.p_value <= rate:
            found.append(one)
        left, refines = left.take(stays), (refines | (is_part & is_below))[stays]
    return found


def _key(groups: Integers) -> frozenset[int]:
    return frozenset(groups[groups != NO_GROUP].tolist())


def _shortest(images: GroupedImages, groups: Integers, cell: int, known: set[frozenset[int]]) -> Integers:
    """The shortest supported part of a slice to which its further conditions add nothing; else the slice itself."""
    own = sorted(_key(groups))
    inside = images.images_of(groups)
    correct = images.correct[:, cell]
    for depth in range(1, len(own)):
        for part in combinations(own, depth):
            if frozenset(part) in known:
                whole = images.images_of(part)
                p_value = fisher_p(inside.sum(), correct[inside].sum(), whole.sum(), correct[whole].sum())
                if p_value * _additions(images, np.array(part), len(own), cell) > ALPHA:
                    return np.array([*part, *[NO_GROUP] * (len(groups) - depth)])
    return groups


def _additions(images: GroupedImages, part: Integers, depth: int, cell: int) -> int:
    """Among how many slices and severities one of `depth` conditions was picked that is in another slice."""
    own = part[part != NO_GROUP]
    others = int((~np.isin(images.attributes, images.attributes[own])).sum())
    severities = int((images.corruptions == images.corruptions[cell]).sum())
    return MAX_CONDITIONS * max(1, comb(others, max(1, depth - len(own)))) * severities


def _counts(images: GroupedImages, slices: Candidates, among: Bools) -> tuple[Integers, Integers]:
    """(K,) images and correct ones of slices, among some images, each in its own cell."""
    members = images.members[among]
    correct = images.correct[among]
    cells, own = np.unique(slices.cells, return_inverse=True)
    of_cells = np.concatenate([correct[:, cells], np.ones((len(correct), 1), np.float32)], axis=1)
    sizes, hits = (np.zeros(len(slices.cells), np.int64) for _ in range(2))
    step = max(1, BLOCK // max(1, len(members)))
    for start in range(0, len(sizes), step):
        part = slice(start, start + step)
        masks = np.ones((len(members), len(sizes[part])), np.bool_)
        for groups in slices.groups[part].T:
            has_group = groups != NO_GROUP
            masks[:, has_group] &= members[:, groups[has_group]]
        counts = masks.T.astype(np.float32) @ of_cells
        sizes[part] = counts[:, -1]
        hits[part] = counts[np.arange(len(counts)), own[part]]
    return sizes, hits


def _tails(images: GroupedImages, slices: Candidates, among: Bools) -> tuple[Integers, Float64Array]:
    """(K,) images of slices among some, and p values of slices no worse than all others among these."""
    sizes, hits = _counts(images, slices, among)
    totals = images.correct[among].sum(axis=0).astype(np.int64)[slices.cells]
    return sizes, ndtr(deviations(sizes, hits, int(among.sum()), totals))


def _within(images: GroupedImages, slices: Candidates, inside: Bools, groups: Integers) -> tuple[Bools, Bools]:
    """(K,) whether slices are parts of another, and whether they are below the rest of it."""
    sizes, tails = _tails(images, slices, inside)
    if not len(sizes):
        return sizes > 0, tails > 0
    additions = [_additions(images, groups, depth, slices.cells[0]) for depth in range(MAX_CONDITIONS + 1)]
    return sizes >= WITHIN * slices.images, tails * np.array(additions)[slices.depths] <= ALPHA


def _outside(images: GroupedImages, slices: Candidates, covered: Bools, comparisons: Integers, rate: float) -> Bools:
    """(K,) whether the images of slices outside others are below the rest outside them."""
    _, tails = _tails(images, slices, ~covered)
    outside: Bools = tails * comparisons[slices.depths] <= rate
    return outside
