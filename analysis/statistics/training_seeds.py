"""What several training runs of a network say of another one: errors over seeds and over images, added up.

The mean of S training runs on N images varies with both. The Multi-Bootstrap (Sellam et al. 2022, arXiv 2106.16163)
resamples seeds and images independently; with the two to ten seeds that people have, the bootstrap over seeds is too
narrow by (S - 1) / S in variance and knows no t quantile. Here both errors are computed and added, the one over seeds
with S - 1 degrees of freedom, and their sum has those of Welch (1947) and Satterthwaite (1946).
"""

from collections.abc import Iterable
from math import inf
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from failmodes.analysis.statistics.bootstrap import Estimate


class MeanError(NamedTuple):
    """How far a mean may be from the truth: its variance, and the degrees of freedom that this is known with."""

    variance: float
    freedom: float = inf

    def half_width(self, level: float = 0.95, *, comparisons: int = 1) -> float:
        """Half of the two-sided t interval of a level, of intervals that hold for all `comparisons` (Bonferroni)."""
        return self.one_sided((1 + level) / 2, comparisons=comparisons)

    def one_sided(self, level: float = 0.95, *, comparisons: int = 1) -> float:
        """How far a bound that holds with chance `level` lies from the mean; for all `comparisons` (Bonferroni)."""
        share = 1 - (1 - level) / comparisons
        quantile = NormalDist().inv_cdf(share) if self.freedom == inf else float(stdtrit(self.freedom, share))
        return quantile * float(np.sqrt(self.variance))


def error_over_seeds(values: ArrayLike) -> MeanError:
    """The error of the mean of one value a training run.

    Args:
        values: (S,) at least two.

    Raises:
        ValueError: there are fewer: one run says nothing of others.
    """
    runs = np.asarray(values, dtype=np.float64)
    if len(runs) < 2:
        raise ValueError(f"{len(runs)} training run: it takes two to say how they differ")
    return MeanError(float(runs.var(ddof=1)) / len(runs), len(runs) - 1)


def add_errors(errors: Iterable[MeanError]) -> MeanError:
    """The error of a sum or difference of independent means, with Satterthwaite's degrees of freedom."""
    parts = list(errors)
    variance = sum(part.variance for part in parts)
    known = sum(part.variance**2 / part.freedom for part in parts)
    return MeanError(variance, variance**2 / known if known > 0 else inf)


def over_seeds_and_images(values: ArrayLike, image_variance: float, level: float = 0.95) -> Estimate:
    """The mean over training runs with its interval over seeds and images.

    Args:
        values: (S,) of each training run, two at least.
        image_variance: variance over images of the mean over runs (squared standard error).
        level: of the two-sided interval.
    """
    runs = np.asarray(values, dtype=np.float64)
    half = add_errors([error_over_seeds(runs), MeanError(image_variance)]).half_width(level)
    return Estimate(float(runs.mean()), float(runs.mean()) - half, float(runs.mean()) + half)
