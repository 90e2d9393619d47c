"""How much these images can tell: the smallest difference that an interval as wide as one that was found would show."""

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from failmodes.analysis.statistics.bootstrap import Float64Array
from failmodes.analysis.statistics.shares import POWER
from failmodes.warehouse.metrics.intervals import normal_quantile


def difference_shown(
    low: ArrayLike, high: ArrayLike, *, comparisons: int = 1, level: float = 0.95, power: float = POWER
) -> Float64Array:
    """The smallest difference that intervals from `low` to `high` (…) show with chance `power`, being clear of 0.

    It is (z_a + z_b) standard errors, as half of the interval is z_a of them: of two shares of the same images Connor's
    formula without its second-order term (see `shares.smallest_detectable_difference`). An interval of few
    training seeds has t quantiles, and is wider beside z_b: what is told of two to ten seeds is shown in 82 to 85 %
    of samples.

    Args:
        low: (…) lower ends of intervals of differences.
        high: (…) upper ends.
        comparisons: how many such intervals hold together (Bonferroni).
        level: with this chance.
        power: chance to be shown.

    Returns:
        (…) in the unit of the interval.
    """
    half = (np.asarray(high, dtype=np.float64) - np.asarray(low, dtype=np.float64)) / 2
    shown: Float64Array = half * (1 + NormalDist().inv_cdf(power) / normal_quantile(level, comparisons))
    return shown
