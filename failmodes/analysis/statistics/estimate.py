"""A value with its interval."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]
Word = Literal["supported", "contradicted", "inconclusive", "not_measurable"]  # of a verdict


class Estimate(NamedTuple):
    """A value with its interval, and what is needed to judge and to format it.

    Attributes:
        value: in its unit.
        low: lower end of the interval.
        high: upper end.
        level: of the interval, or of each of two one-sided bounds; None where it is not stated.
        n: images of a cell; 0 where it is not stated.
        unit: such as "share" (0-1), "difference of shares" (-1 to 1) or "nats".
        p_value: of no effect, with the correction that its table states; None without a test.
        seeds: training runs of each side that the interval covers too, the fewest; None if it is about checkpoints.
        method: of the interval, such as "Clopper-Pearson"; '' where it is not stated.
    """

    value: float
    low: float
    high: float
    level: float | None = None
    n: int = 0
    unit: str = ""
    p_value: float | None = None
    seeds: int | None = None
    method: str = ""

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low > 0

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval is below 0."""
        return self.high < 0

    def __neg__(self) -> "Estimate":
        """The estimate with the other sign: an accuracy drop as a change, one model's lead as the other's."""
        return self._replace(value=-self.value, low=-self.high, high=-self.low)


def known_estimate(value: float | None, low: float | None, high: float | None, **known: Any) -> Estimate | None:
    """The estimate of a value and both ends of its interval, with more fields; None if any of the three is missing."""
    return None if value is None or low is None or high is None else Estimate(value, low, high, **known)


def interval_columns(name: str, estimate: tuple[Any, ...] | None) -> dict[str, float | None]:
    """The columns `name`, `name_low` and `name_high` of an estimate; null for None."""
    return dict(zip((name, f"{name}_low", f"{name}_high"), (estimate or (None,) * 3)[:3], strict=True))


def estimate_of(row: Mapping[str, Any], name: str) -> Estimate:
    """The estimate in the columns `name`, `name_low` and `name_high` of a row."""
    return Estimate(row[name], row[f"{name}_low"], row[f"{name}_high"])
