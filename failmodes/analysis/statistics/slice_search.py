"""Exhaustive search for slices: conjunctions of groups of images whose accuracy is below that of all other images.

Every conjunction of groups of different attributes with enough images is tested in every cell. The test of one slice in
one cell is Fisher's exact test, one-sided (Fisher 1935, Journal of the Royal Statistical Society 98, 39-82): if images
in the slice are correct as often as others, the number of correct ones among them is hypergeometric, however other
slices and cells depend on it. Bonferroni's correction over everything searched therefore bounds the probability that
any supported slice has no true difference, however slices overlap and severities depend on each other. Each number of
conditions has an equal share of the error rate, so that the few short slices are not corrected for the many long ones.

Compared by simulation (10 attributes, 6 corruptions x 5 severities, correlated over cells): a permutation test of the
largest deviation gains 0.02 standard errors (4.99 in place of 5.01), since so far out in the tails even tests of nested
slices are nearly independent, and takes hundreds of searches. A search in one half of the images with tests in the
other finds fewer slices (docs/slices.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from failmodes.analysis.statistics.estimate import Float64Array
from failmodes.warehouse.metrics.metric import FEWEST_IMAGES

MAX_CONDITIONS = 3
NO_GROUP = -1  # in place of a group of a slice with fewer conditions
KEPT_DEVIATION = -3.0  # slices that deviate less are not kept, but for the largest deviation of a corruption
BLOCK = 2_000_000  # elements of arrays of images and groups that are converted at once

TESTED_AT_ONCE = 2_000  # slices

Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]
Counted = tuple[Integers, Integers, Integers]  # groups (K, d), images (K,) and correct images by cell (K, C) of slices


@dataclass(frozen=True, eq=False)
class GroupedImages:
    """Images with the groups that they are in, and whether they are correct in each cell.

    Attributes:
        members: (N, G) whether each image is in each group.
        attributes: (G,) the attribute of each group, rising.
        codes: (G,) the code of each group within its attribute.
        correct: (N, C) float32, 1 if an image is correct in a cell, else 0.
        corruptions: (C,) the corruption of each cell, rising from 0.
    """

    members: Bools
    attributes: Integers
    codes: Integers
    correct: NDArray[np.float32]
    corruptions: Integers

    @property
    def correct_counts(self) -> Integers:
        """(C,) correct images of each cell."""
        counts: Integers = self.correct.sum(axis=0).astype(np.int64)
        return counts

    def images_of(self, groups: ArrayLike) -> Bools:
        """(N,) whether each image is in all groups of a slice."""
        kept = np.asarray(groups)
        images: Bools = np.asarray(self.members[:, kept[kept != NO_GROUP]].all(axis=1))
        return images


def group_images(
    codes: ArrayLike, correct: ArrayLike, corruptions: ArrayLike, *, fewest_images: int = FEWEST_IMAGES
) -> GroupedImages:
    """Prepare a search.

    Args:
        codes: (N, A) group of each image by each attribute, from 0; negative without a value.
        correct: (N, C) bool, whether each image is correct in each cell.
        corruptions: (C,) the corruption of each cell, rising from 0.
        fewest_images: of a group.
    """
    by_attribute = np.asarray(codes, dtype=np.int64)
    columns, attributes, own_codes = [], [], []
    for attribute, of_images in enumerate(by_attribute.T):
        counts = np.bincount(of_images[of_images >= 0])
        for code in np.flatnonzero((counts >= fewest_images) & (counts < len(of_images))):
            columns.append(of_images == code)
            attributes.append(attribute)
            own_codes.append(code)
    members = np.stack(columns, axis=1) if columns else np.zeros((len(by_attribute), 0), np.bool_)
    return GroupedImages(
        members,
        np.array(attributes, np.int64),
        np.array(own_codes, np.int64),
        np.asarray(correct, dtype=np.float32),
        np.asarray(corruptions, dtype=np.int64),
    )


class Candidates(NamedTuple):
    """Slices with the cell of a corruption in which each deviates most, the largest deviation first.

    Attributes:
        groups: (K, MAX_CONDITIONS) of each slice, NO_GROUP beyond its own.
        cells: (K,) the cell.
        images: (K,) in the slice.
        correct: (K,) of these, in the cell.
        deviations: (K,) see `deviations`.
    """

    groups: Integers
    cells: Integers
    images: Integers
    correct: Integers
    deviations: Float64Array

    @property
    def depths(self) -> Integers:
        """(K,) number of conditions."""
        counts: Integers = (self.groups != NO_GROUP).sum(axis=1)
        return counts

    def take(self, chosen: NDArray[np.bool_] | Integers) -> "Candidates":
        """Some of them."""
        groups, cells, images, correct, found = self
        return Candidates(groups[chosen], cells[chosen], images[chosen], correct[chosen], found[chosen])


@dataclass(frozen=True, eq=False)
class SliceSearch:
    """What a search went through.

    Attributes:
        images: that were searched.
        slice_counts: slices of 1, 2, … conditions.
        candidates: those that deviate, for each corruption.
        family: searches of as many tests that are corrected together, such as one of each model.
    """

    images: GroupedImages
    slice_counts: tuple[int, ...]
    candidates: Candidates
    family: int = 1

    @property
    def test_count(self) -> int:
        """Tests of all slices in all cells."""
        return int(sum(self.slice_counts) * self.images.correct.shape[1])

    def comparisons(self, depth: int) -> int:
        """By how much a p value of a slice with `depth` conditions is multiplied."""
        used = sum(count > 0 for count in self.slice_counts)
        return int(self.family * used * self.slice_counts[depth - 1] * self.images.correct.shape[1])


def search_slices(
    images: GroupedImages, *, depth: int = MAX_CONDITIONS, fewest_images: int = FEWEST_IMAGES
) -> SliceSearch:
    """Test every slice in every cell.

    Args:
        images: with their groups.
        depth: most conditions of a slice, 1 to MAX_CONDITIONS.
        fewest_images: in a slice.
    """
    counts = [0] * depth
    kept: list[Candidates] = []
    total, correct_counts = len(images.correct), images.correct_counts
    if images.correct.shape[1]:
        for groups, sizes, correct in _gathered(_count(images, depth, fewest_images)):
            counts[groups.shape[1] - 1] += len(groups)
            kept.append(_deviating(groups, sizes, correct, total, correct_counts, images.corruptions))
    return SliceSearch(images, tuple(counts), _best_first(kept))


def _gathered(counted: Iterator[Counted]) -> Iterator[Counted]:
    """The same in longer parts, each of slices with as many conditions, which are tested faster."""
    parts: dict[int, list[Counted]] = {}
    for part in counted:
        alike = parts.setdefault(part[0].shape[1], [])
        alike.append(part)
        if sum(len(sizes) for _, sizes, _ in alike) >= TESTED_AT_ONCE:
            yield _as_one(parts.pop(part[0].shape[1]))
    yield from map(_as_one, parts.values())


def _as_one(parts: list[Counted]) -> Counted:
    groups, sizes, correct = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return groups, sizes, correct


def _count(images: GroupedImages, depth: int, fewest: int) -> Iterator[Counted]:
    """Groups (K, d), images (K,) and correct images of each cell (K, C) of slices that share all conditions but one.

    A slice of all images of a shorter one is the same slice, and not counted again.
    """

    def extend(rows: Integers | None, prefix: tuple[int, ...], first: int) -> Iterator[Counted]:
        parent_size = len(images.members) if rows is None else len(rows)
        members = images.members[:, first:] if rows is None else images.members[rows, first:]
        correct = images.correct if rows is None else images.correct[rows]
        sizes = members.sum(axis=0)
        kept = np.flatnonzero((sizes >= fewest) & (sizes < parent_size))
        if not len(kept):
            return
        counts = _products(members, correct)[kept]
        groups = np.array([(*prefix, first + group) for group in kept])
        yield groups, sizes[kept], counts
        if groups.shape[1] == depth:
            return
        for group in kept:
            own = first + int(group)
            following = int(np.searchsorted(images.attributes, images.attributes[own], side="right"))
            if following < len(images.attributes):
                inside = np.flatnonzero(members[:, group])
                yield from extend(inside if rows is None else rows[inside], (*prefix, own), following)

    return extend(None, (), 0)


def _products(members: Bools, correct: NDArray[np.float32]) -> Integers:
    """(G, C) correct images of each group in each cell; sums of ones in float32 are exact up to 2^24 images."""
    step = max(1, BLOCK // max(1, members.shape[1]))
    totals = np.zeros((members.shape[1], correct.shape[1]))
    for start in range(0, len(members), step):
        totals += members[start : start + step].T.astype(np.float32) @ correct[start : start + step]
    return totals.astype(np.int64)


def deviations(images: ArrayLike, correct: ArrayLike, total: ArrayLike, correct_total: ArrayLike) -> Float64Array:
    """How far the accuracy of slices is from that of all other images, in standard errors; negative below it.

    The signed root of the deviance of the two by two table (McCullagh and Nelder 1989, section 2.3), whose normal tails
    are within a factor of two of those of the exact test where a normal approximation of counts is not.

    Args:
        images: (…) in each slice.
        correct: (…) of these.
        total: (…) images.
        correct_total: (…) of these.
    """
    size, hits, count, all_hits = np.broadcast_arrays(
        *(np.asarray(a, dtype=np.float64) for a in (images, correct, total, correct_total))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        share = all_hits / count
        expected = size * share
        deviance = 2 * (
            _term(hits, expected)
            + _term(size - hits, size - expected)
            + _term(all_hits - hits, all_hits - expected)
            + _term(count - size - all_hits + hits, count - size - all_hits + expected)
        )
    found: Float64Array = np.sign(hits - expected) * np.sqrt(np.maximum(deviance, 0.0))
    return np.nan_to_num(found)


def _term(observed: Float64Array, expected: Float64Array) -> Float64Array:
    terms: Float64Array = np.where(observed > 0, observed * np.log(observed / expected), 0.0)
    return terms


def fisher_p(images: ArrayLike, correct: ArrayLike, total: ArrayLike, correct_total: ArrayLike) -> Float64Array:
    """One-sided exact p values of accuracies not below those of all other images; see `deviations`."""
    from scipy.stats import hypergeom  # here: it takes .5 s

    p_values: Float64Array = np.asarray(hypergeom.cdf(correct, total, correct_total, images))
    return p_values


def _deviating(
    groups: Integers, sizes: Integers, correct: Integers, total: int, correct_counts: Integers, corruptions: Integers
) -> Candidates:
    """Of each slice and corruption the cell with the largest deviation, if it is one to keep."""
    found = deviations(sizes[:, None], correct, total, correct_counts)
    kept = []
    for cells in np.split(np.arange(len(corruptions)), np.flatnonzero(np.diff(corruptions)) + 1):
        best = cells[found[:, cells].argmin(axis=1)]
        own = found[np.arange(len(best)), best]
        rows = np.flatnonzero((own <= KEPT_DEVIATION) | (own == own.min()))
        padded = np.full((len(rows), MAX_CONDITIONS), NO_GROUP, np.int64)
        padded[:, : groups.shape[1]] = groups[rows]
        kept.append(Candidates(padded, best[rows], sizes[rows], correct[rows, best[rows]], own[rows]))
    return _joined(kept)


def _best_first(kept: list[Candidates]) -> Candidates:
    if not kept:
        none = np.zeros(0, np.int64)
        return Candidates(np.zeros((0, MAX_CONDITIONS), np.int64), none, none, none, np.zeros(0))
    joined = _joined(kept)
    return joined.take(np.argsort(joined.deviations, kind="stable"))


def _joined(parts: list[Candidates]) -> Candidates:
    groups, cells, images, correct, found = (np.concatenate(values) for values in zip(*parts, strict=True))
    return Candidates(groups, cells, images, correct, found)
