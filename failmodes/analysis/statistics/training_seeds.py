"""What several training runs of a model say of another one: errors over seeds and over images, added up.

The mean of S training runs on N images varies with both. The Multi-Bootstrap (Sellam et al. 2022, arXiv 2106.16163)
resamples seeds and images independently; with the two to ten seeds that people have, the bootstrap over seeds is too
narrow by (S - 1) / S in variance and knows no t quantile. Here the half-width of each error is computed, of seeds with
S - 1 degrees of freedom, and half-widths add up as squares (Zou and Donner 2008, Statistics in Medicine 27, 1693-1702).
Welch's and Satterthwaite's degrees of freedom of the summed variance would be wrong here: two seeds that lie close
together by chance leave only the error over images, and up to 13 % of 95 % intervals miss the truth.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import erfc, inf, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from failmodes.analysis.statistics.bootstrap import Estimate

BISECTIONS = 60  # of the logarithm of a p value, which lies between -600 and 0


@dataclass(frozen=True)
class MeanError:
    """How far a mean may be from the truth.

    Attributes:
        variance: of the mean.
        freedom: the degrees of freedom that this is known with; of a sum the fewest of its parts.
        parts: independent errors that it is the sum of; empty where it is no sum.
    """

    variance: float
    freedom: float = inf
    parts: tuple["MeanError", ...] = ()

    def half_width(self, level: float = 0.95, *, comparisons: int = 1) -> float:
        """Half of the two-sided interval of a level, of intervals that hold for all `comparisons` (Bonferroni)."""
        return self.one_sided((1 + level) / 2, comparisons=comparisons)

    def one_sided(self, level: float = 0.95, *, comparisons: int = 1) -> float:
        """How far a bound that holds with chance `level` lies from the mean; for all `comparisons` (Bonferroni)."""
        return self._distance((1 - level) / comparisons)

    def p_value(self, distance: float) -> float:
        """Two-sided, of a test that the truth is as far as `distance` from the mean: where an interval ends there."""
        from scipy.special import stdtr  # here: it takes .2 s, and most charts do without

        if not self.parts:
            deviations = abs(distance) / sqrt(self.variance)
            return erfc(deviations / sqrt(2)) if self.freedom == inf else 2 * float(stdtr(self.freedom, -deviations))
        low, high = -600.0, 0.0  # logarithms, for p values of any size
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._distance(np.exp(middle) / 2) > abs(distance) else (low, middle)
        return float(np.exp(high))

    def _distance(self, tail: float) -> float:
        """How far from the mean the truth lies with chance `tail` on one side."""
        errors = self.parts or (self,)
        return sqrt(sum(_quantile(error.freedom, tail) ** 2 * error.variance for error in errors))


def _quantile(freedom: float, tail: float) -> float:
    from scipy.special import stdtrit  # here: it takes .2 s, and most charts do without

    return NormalDist().inv_cdf(tail) if freedom == inf else float(stdtrit(freedom, tail))


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
    """The error of a sum or difference of independent means."""
    parts = tuple(part for error in errors for part in error.parts or (error,))
    return MeanError(sum(part.variance for part in parts), min(part.freedom for part in parts), parts)


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
