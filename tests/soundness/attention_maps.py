"""Attention whose truth is known: how often intervals of `attention` hold it, and how often they claim too much.

Every figure made here is of simulated centroids. Coverage is above 97 % where little is left of the own centroid: a
clean centroid far out makes its own image's value 0 and that of the image before it 1, so γ1 is negative, and it counts
as 0. Near 0 and 1 the share takes few values, and one end of the interval never fails.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from claims import Answers, answered
from numpy.typing import NDArray

from failmodes.analysis.statistics.attention import CHANCE, OwnMapTest, compare_with_null
from failmodes.warehouse.null_pairs import sample_null_pairs

CLASSES = 10
TRUTH_IMAGES = 2_000_000


class AttentionTruth(NamedTuple):
    """How centroids arise, in image widths; images are balanced over classes.

    A clean centroid is its class's mean plus a deviation of the image. The corrupted centroid is the class's mean plus
    `weight` times that deviation plus noise: with weight 0 it does not depend on the image's own clean centroid, given
    the class, so it is nearer to that than to another image's of the class with probability 1/2 exactly.

    Attributes:
        weight: of the image's own deviation in its corrupted centroid, 0-1.
        noise: standard deviation of what the corruption adds, in each direction.
        weight_range: classes differ: their weights lie evenly within so much of `weight`.
        empty_share: share of corrupted maps that are empty: those of the images whose deviation is largest, so that
            they are not missing at random.
        spread: standard deviation of clean centroids within a class, in each direction.
        class_spread: standard deviation of class means, in each direction.
    """

    weight: float
    noise: float = 0.1
    weight_range: float = 0.0
    empty_share: float = 0.0
    spread: float = 0.1
    class_spread: float = 0.1

    @property
    def is_null(self) -> bool:
        """Whether nothing of the image's own clean centroid is left in the corrupted one."""
        return self.weight == self.weight_range == 0


class Distances(NamedTuple):
    """What `compare_with_null` takes: (N,) distances in image widths, and the other images."""

    own: NDArray[np.float64]
    other: NDArray[np.float64]
    has_other: NDArray[np.bool_]
    following: NDArray[np.int64]


def draw_distances(truth: AttentionTruth, images: int, rng: np.random.Generator) -> Distances:
    """Draw one evaluation's clean and corrupted centroids, and compare them as an evaluation does."""
    labels = np.arange(images) % CLASSES
    following = sample_null_pairs(labels).same_class
    means = truth.class_spread * rng.normal(size=(CLASSES, 2))[labels]
    weights = truth.weight + truth.weight_range * np.linspace(-1, 1, CLASSES)[labels]
    deviation = truth.spread * rng.normal(size=(images, 2))
    clean = means + deviation
    corrupted = means + weights[:, None] * deviation + truth.noise * rng.normal(size=(images, 2))
    if truth.empty_share:  # a share exp(-r² / 2) of deviations is larger than r standard deviations
        corrupted[np.hypot(*deviation.T) > truth.spread * np.sqrt(-2 * np.log(truth.empty_share))] = np.nan
    own, other = (np.hypot(*(corrupted - baseline).T) for baseline in (clean, clean[following]))
    return Distances(own, other, following >= 0, following)


def compare(distances: Distances, corruptions: int = 1) -> OwnMapTest:
    """The comparison that the analysis makes of such distances under each of several corruptions."""
    found = compare_with_null(*distances, comparisons=corruptions)
    assert found is not None
    return found


@lru_cache(maxsize=100)
def true_share(truth: AttentionTruth) -> float:
    """Share of images nearer to their own clean map than to another of the class; 1/2 where nothing is left of it."""
    if truth.is_null:
        return CHANCE
    return compare(draw_distances(truth, TRUTH_IMAGES, np.random.default_rng(1))).share.value


@answered
def share_outcomes(truth: AttentionTruth, images: int, rng: np.random.Generator, samples: int) -> Answers:
    """Whether the interval of the share holds the truth."""
    expected = true_share(truth)
    for _ in range(samples):
        _, low, high = compare(draw_distances(truth, images, rng)).share[:3]
        yield [low <= expected <= high]


TRUTHS = {
    "null": AttentionTruth(0),
    "null, all end at the class mean": AttentionTruth(0, noise=0.03),
    "null, 20% empty": AttentionTruth(0, empty_share=0.2),
    "slightly informative": AttentionTruth(0.3),
    "half informative": AttentionTruth(0.6),
    "half informative, 20% empty": AttentionTruth(0.6, empty_share=0.2),
    "classes differ": AttentionTruth(0.5, weight_range=0.5),
    "slightly moved": AttentionTruth(1, noise=0.03),
    "not moved": AttentionTruth(1, noise=0.01),
}
