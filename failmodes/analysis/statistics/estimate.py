"""A value with its interval, and the verdicts that intervals give."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]
Word = Literal["supported", "contradicted", "inconclusive", "not_measurable"]  # of a verdict


class Estimate(NamedTuple):
    """A value with the ends of its interval, in the unit of the value."""

    value: float
    low: float
    high: float

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.high < 0

    def is_above(self, limit: float) -> Word:
        """Whether it is shown that the value lies above a limit, or that it lies below."""
        return "supported" if self.low > limit else "contradicted" if self.high < limit else "inconclusive"

    def __neg__(self) -> "Estimate":
        """The estimate with the other sign: an accuracy drop as a change, one model's lead as the other's."""
        return Estimate(-self.value, -self.high, -self.low)
