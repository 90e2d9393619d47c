"""A measure of some cells, or a difference of one, with bounds at any level."""

from collections.abc import Callable
from math import ceil, inf
from statistics import NormalDist
from typing import NamedTuple

from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.difference import MeanError
from failmodes.analysis.statistics.shares import BISECTIONS, POWER

MOST_IMAGES = 10_000_000  # more than any data set that images are classified in


class Undefined(NamedTuple):
    """Why a measure has no value in some cells."""

    reason: str


class MeasuredValue(NamedTuple):
    """A value with its error over images, and over training runs where there are several.

    Attributes:
        value: the measure, or the difference.
        low_center: what the lower bound is counted from: the value, or less where it may be too large.
        high_center: what the upper bound is counted from.
        error: over images, and over training runs.
        image_count: images of a cell.
        least: the least that it can be.
        most: the most that it can be.
        ends: (level, comparisons) to both ends of the two-sided interval of a single share, or of a difference of two,
            which hold better than those from the error; None where it is neither.
    """

    value: float
    low_center: float
    high_center: float
    error: MeanError
    image_count: int
    least: float = -inf
    most: float = inf
    ends: Callable[[float, int], tuple[float, float]] | None = None

    def low(self, level: float = 0.95, *, comparisons: int = 1) -> float:
        """One-sided lower bound that holds with chance `level`, for all `comparisons` together."""
        if self.ends is not None:
            return self.ends(2 * level - 1, comparisons)[0]
        return max(self.least, self.low_center - self.error.one_sided(level, comparisons=comparisons))

    def high(self, level: float = 0.95, *, comparisons: int = 1) -> float:
        """One-sided upper bound that holds with chance `level`, for all `comparisons` together."""
        if self.ends is not None:
            return self.ends(2 * level - 1, comparisons)[1]
        return min(self.most, self.high_center + self.error.one_sided(level, comparisons=comparisons))

    def interval(self, level: float = 0.95, *, comparisons: int = 1) -> Estimate:
        """The value with its two-sided interval."""
        one_sided = (1 + level) / 2
        return Estimate(
            self.value,
            self.low(one_sided, comparisons=comparisons),
            self.high(one_sided, comparisons=comparisons),
        )

    @property
    def p_value(self) -> float:
        """Two-sided, that the value is 0: of where its interval ends there."""
        if self.ends is not None:
            return _p_of_ends(self.ends)
        center = (self.low_center + self.high_center) / 2
        return self.error.p_value(center)

    def images_needed(self, limit: float, level: float = 0.95) -> int | None:
        """Images that would show on which side of `limit` the truth lies, with a chance of 80 %, were it as measured.

        None where it lies on the limit, or where more than MOST_IMAGES would be needed. Errors over training runs,
        which more images do not mend, are taken to shrink too: with several runs this is the least number.
        """
        distance = abs(self.value - limit)
        if not distance:
            return None
        quantiles = NormalDist().inv_cdf(level) + NormalDist().inv_cdf(POWER)
        needed = ceil(self.image_count * self.error.variance * (quantiles / distance) ** 2)
        return needed if needed <= MOST_IMAGES else None


def _p_of_ends(ends: Callable[[float, int], tuple[float, float]]) -> float:
    """The level at which an interval ends at 0, from 1."""
    inside, outside = 1 - 1e-15, 0.0
    for _ in range(BISECTIONS):
        level = (inside + outside) / 2
        low, high = ends(level, 1)
        inside, outside = (level, outside) if low <= 0 <= high else (inside, level)
    return 1 - inside
