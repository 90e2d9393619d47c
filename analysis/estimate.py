"""A number with its interval: what the statistics give and the findings say."""

from typing import NamedTuple

NORMAL_975 = 1.959963984540054  # quantile of the normal distribution: the half-width of 95 % in standard errors


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
