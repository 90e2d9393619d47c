"""Whether a map's centroid is nearer to its own clean map's than to another image's, with intervals that hold.

Each image is compared with the next one of a random cycle (`warehouse.null_pairs`). So the values of an image and of
the next one share a clean map and are correlated; those of images farther along share none. The variance of a mean of
N values is then (γ0 + 2 γ1) / N, γ0 their variance and γ1 their covariance with the next one's. γ1 below 0 counts as 0.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.statistics.bootstrap import Estimate, Float64Array
from failmodes.warehouse.metrics.intervals import wilson_interval

Following = NDArray[np.int64]  # for each image the position of the next of its cycle, (N,); -1: alone

# γ1 / γ0 where the cycle is not known: the largest that was measured, of null minus own distance
# (shared/reference/statements.md, rule 6)
LARGEST_CORRELATION = 0.29

CHANCE = 0.5
DECIDED_BEFORE = 4  # images counted as decided beside those seen (z² of 95 %), so that ties alone still have a width


class CycleShare(NamedTuple):
    """A share of images, 0-1, and of how many independent images an ordinary share would be as sure.

    Attributes:
        value: mean of the images' values, each 0, 1/2 or 1.
        effective_count: N v (1 - v) / (γ0 + 2 γ1), v the value: N γ0 / (γ0 + 2 γ1) where no image counts one half,
            and more where some do, since halves vary less.
    """

    value: float
    effective_count: float

    def interval(self, *, comparisons: int = 1, level: float = 0.95) -> Estimate:
        """The share with Wilson's score interval (1927) of the effective count: it has a width at 0 and 1 too.

        Args:
            comparisons: Bonferroni's correction: how many intervals hold at once.
            level: with this chance.
        """
        low, high = wilson_interval(self.value, self.effective_count, comparisons=comparisons, level=level)
        return Estimate(self.value, max(0.0, float(low)), min(1.0, float(high)))


class NullComparison(NamedTuple):
    """Distances of one cell from own clean maps beside those from other images' clean maps (the null).

    Attributes:
        image_count: images whose other image has a distance from its own clean map, too.
        missing_count: those of them that have none: their map is empty, the corrupted or the clean one.
        share: of `image_count`, images that are nearer to their own; ties and those without a distance count one half.
        worst_case: the same if no image without a distance were nearer to its own.
        median_null: median distance from the other image's clean map, image widths.
    """

    image_count: int
    missing_count: int
    share: CycleShare
    worst_case: CycleShare
    median_null: float


class OwnMapTest(NamedTuple):
    """Whether centroids under one corruption are nearer to their own clean one than to another image's of the class.

    Attributes:
        corruption: at its last severity.
        empty_count: corrupted maps that are zero everywhere.
        median_shift: median distance of the centroid from the own clean map's, image widths.
        within_class: beside the clean map of another image of the class: the comparison that counts.
        comparisons: the intervals of so many tests hold together (Bonferroni).
    """

    corruption: str
    empty_count: int
    median_shift: float
    within_class: NullComparison
    comparisons: int = 1

    @property
    def image_count(self) -> int:
        """Images compared with another one of their class, those without a map among them."""
        return self.within_class.image_count

    @property
    def median_null(self) -> float:
        """Median distance from the clean map of another image of the class, image widths."""
        return self.within_class.median_null

    @property
    def share(self) -> Estimate:
        """Share of centroids nearer to the own clean one than to another image's of the class; 1/2 is chance."""
        return self.within_class.share.interval(comparisons=self.comparisons)

    @property
    def worst_case(self) -> Estimate:
        """The same share if no image that lacks a map were nearer to its own."""
        return self.within_class.worst_case.interval(comparisons=self.comparisons)

    @property
    def verdict(self) -> str:
        """'nearer', 'farther' or 'inconclusive'."""
        if self.share.low > CHANCE:
            return "nearer"
        return "farther" if self.share.high < CHANCE else "inconclusive"

    @property
    def holds_in_worst_case(self) -> bool:
        """Whether 'nearer' stands whatever the images that lack a map would have shown."""
        return self.worst_case.low > CHANCE


def compare_with_null(
    own: Float64Array, other: Float64Array, has_other: NDArray[np.bool_], following: Following | None
) -> NullComparison | None:
    """Compare distances from own clean maps with those from others'; None with fewer than two images, or no distance.

    Images are left out whose other image has no map under the corruption. Else own clean maps would be those of images
    that keep a map, and others' those of all images: where these lie differently, own ones would seem nearer (or
    farther) though the corruption leaves nothing of them. Of images whose other one keeps a map, those without a map
    count one half, and then 1/2 is chance whatever decides which maps are empty.

    Args:
        own: (N,) distance from the image's own clean map, NaN where there is none.
        other: (N,) distance from the next image's clean map, NaN where there is none.
        has_other: (N,) whether there is a next image.
        following: (N,) the next image; None where it is not known: then γ1 is taken to be LARGEST_CORRELATION γ0, and
            only images are left out whose other image has no clean map.
    """
    missing = np.isnan(own)
    compared = has_other & (missing | ~np.isnan(other) if following is None else ~missing[following])
    images, lacking = int(compared.sum()), int((compared & missing).sum())
    if images < 2 or lacking == images:
        return None
    nearer = np.where(compared, nearer_values(own, other), np.nan)
    return NullComparison(
        images,
        lacking,
        share=share_on_cycle(nearer, following),
        worst_case=share_on_cycle(np.where(compared & missing, 0.0, nearer), following),
        median_null=float(np.nanmedian(other)),
    )


def nearer_values(own: Float64Array, other: Float64Array) -> Float64Array:
    """1 where own < other, 0 where own > other, 1/2 where they tie or one of them is NaN, (N,) each."""
    return np.where(own < other, 1.0, np.where(own > other, 0.0, CHANCE))


def share_on_cycle(values: Float64Array, following: Following | None) -> CycleShare:
    """The mean of values 0, 1/2 and 1 along a cycle, with its effective number of images.

    γ0 is v (1 - v) less a quarter of the share of halves: exactly their variance, but that DECIDED_BEFORE images more
    count as decided.

    Args:
        values: (N,); NaN is left out, and at least one is none.
        following: (N,) the next image; None where it is not known.
    """
    known = values[~np.isnan(values)]
    count, value = len(known), float(known.mean())
    inflation = variance_inflation(values, following)
    if value in (0, 1):
        return CycleShare(value, count / inflation)
    halves = float((known == CHANCE).sum()) / (count + DECIDED_BEFORE)
    simple = value * (1 - value)
    return CycleShare(value, count * simple / (simple - halves / 4) / inflation)


def variance_inflation(values: Float64Array, following: Following | None) -> float:
    """(γ0 + 2 γ1) / γ0 of values along a cycle, at least 1: how much larger the variance of their mean is.

    In a cycle of two each image is the next of the other: their one covariance counts once.

    Args:
        values: (N,); NaN is left out.
        following: (N,) the next image; None where it is not known.
    """
    if following is None:
        return 1 + 2 * LARGEST_CORRELATION
    deviations = np.nan_to_num(values - np.nanmean(values))
    squares = float(np.square(deviations).sum())
    if not squares:
        return 1.0
    weights = np.where(following < 0, 0.0, np.where(following[following] == np.arange(len(values)), 1.0, 2.0))
    return 1 + max(0.0, float((weights * deviations * deviations[following]).sum()) / squares)
