"""How often the interval of a gap between two groups of different images misses it, by exact enumeration.

Both counts of correct images are binomial, so that the error rate is a sum over all pairs of counts.
"""

from functools import partial
from itertools import product

import numpy as np
from claims import FALSE, Claim, Job
from curves import Floats
from scipy.stats import binom
from stated_claims import OF_GAPS, ONE_SIDED, WHY_ONE_SIDED

from failmodes.analysis.statistics.shares import difference_of_groups

ACCURACIES = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98, 0.995)
SIZES = (100, 500, 2_000, 10_000)


def likely_counts(accuracy: float, images: int) -> tuple[Floats, Floats]:
    """Numbers of correct images, all but those of a probability of 1e-10 in all, and the probability of each."""
    low, high = binom.ppf([5e-11, 1 - 5e-11], images, accuracy)
    counts = np.arange(low, high + 1)
    return counts, binom.pmf(counts, images, accuracy)


def exact_errors(accuracies: tuple[float, float], sizes: tuple[int, int]) -> tuple[float, float]:
    """Probabilities that the gap lies at or below the one-sided 95% lower bound, and above the upper one."""
    (first, of_first), (second, of_second) = (likely_counts(*one) for one in zip(accuracies, sizes, strict=True))
    shares = first[:, None] / sizes[0], second / sizes[1]
    low, high = difference_of_groups(shares, sizes, level=0.9)
    gap = accuracies[0] - accuracies[1]
    return float(of_first @ (low > gap + 1e-12) @ of_second), float(of_first @ (high < gap - 1e-12) @ of_second)


def worst_errors(sizes: tuple[int, int], rng: np.random.Generator, samples: int) -> Floats:
    """(1, 2) the larger of both errors at any pair of ACCURACIES, as a limit that passes and as one that fails."""
    errors = np.array([exact_errors(one, sizes) for one in product(ACCURACIES, repeat=2)])
    return errors.max(axis=0)[None, ::-1]


def jobs() -> list[Job]:
    """Gaps of clean images and of those of a shift: a limit at the gap passes if the upper bound is below it."""
    found = []
    for sizes in product(SIZES, repeat=2):
        truth = f"the worst of {len(ACCURACIES)} x {len(ACCURACIES)} accuracies, {sizes[0]:,} clean images, enumerated"
        claims = tuple(Claim(kind, FALSE, truth, sizes[1], 0, ONE_SIDED, WHY_ONE_SIDED) for kind in OF_GAPS[1:])
        found.append(Job(claims, partial(worst_errors, sizes), samples=1, is_exact=True))
    return found
