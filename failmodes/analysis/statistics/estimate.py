"""A value with its interval, and the verdicts that intervals give."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

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
        """Whether the whole interval is above 0."""
        return self.low > 0

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval is below 0."""
        return self.high < 0

    def is_above(self, limit: float) -> Word:
        """Supported if the whole interval is above a limit, contradicted if it is below."""
        return "supported" if self.low > limit else "contradicted" if self.high < limit else "inconclusive"

    def __neg__(self) -> "Estimate":
        """The estimate with the other sign: an accuracy drop as a change, one model's lead as the other's."""
        return Estimate(-self.value, -self.high, -self.low)


def known_estimate(value: float | None, low: float | None, high: float | None) -> Estimate | None:
    """The estimate of a value and both ends of its interval; None if any is missing."""
    return None if value is None or low is None or high is None else Estimate(value, low, high)


def interval_columns(name: str, estimate: tuple[float, ...] | None) -> dict[str, float | None]:
    """The columns `name`, `name_low` and `name_high` of an estimate; null for None."""
    return dict(zip((name, f"{name}_low", f"{name}_high"), estimate or (None, None, None), strict=True))


def estimate_of(row: Mapping[str, Any], name: str) -> Estimate:
    """The estimate in the columns `name`, `name_low` and `name_high` of a row."""
    return Estimate(row[name], row[f"{name}_low"], row[f"{name}_high"])
