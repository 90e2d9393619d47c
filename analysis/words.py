"""Numbers and lists as a reader sees them: signs, units, intervals, human names."""

from collections.abc import Iterable
from typing import NamedTuple

NO_BREAK = "\u00a0"
MINUS = "\u2212"
MOST_LISTED = 4  # networks that a sentence names one by one; of more it gives counts
NORMAL_975 = 1.959963984540054  # quantile of the normal distribution: the half-width of 95 % in standard errors

SHAPE_WORDS = {
    "flat": "flat",
    "non_monotone": "non-monotone",
    "late_collapse": "late collapse",
    "early_drop": "early drop",
    "near_linear": "near-linear",
}
REASON_WORDS = {
    "first_to_fail": "first to fail",
    "confidently_wrong": "confidently wrong",
    "recovered": "wrong, then right again",
    "still_right": "still right",
}


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


def number(value: float, digits: int = 1, *, signed: bool = False) -> str:
    """A number with a true minus sign; a rounded zero has no sign."""
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if not float(text):
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def percent(share: float, digits: int = 1) -> str:
    """A share 0-1 as per cent: 94.8 %."""
    return f"{number(100 * share, digits)}{NO_BREAK}%"


def points(difference: float, digits: int = 1) -> str:
    """A difference of shares in percentage points: 43.1 points."""
    return f"{number(100 * difference, digits)}{NO_BREAK}points"


def interval(low: float, high: float, digits: int = 1, scale: float = 100) -> str:
    """The ends of an interval, scaled (shares to per cent or points by default): [40.1, 45.0]."""
    return f"[{number(scale * low, digits)},{NO_BREAK}{number(scale * high, digits)}]"


def points_with_interval(estimate: Estimate) -> str:
    """A difference of shares with its interval: 43.1 points [40.1, 45.0]."""
    return f"{points(estimate.value)} {interval(estimate.low, estimate.high)}"


def percent_with_interval(estimate: Estimate) -> str:
    """A share with its interval: 94.8 % [93.9, 95.6]."""
    return f"{percent(estimate.value)} {interval(estimate.low, estimate.high)}"


def level(severity: float) -> str:
    """A severity: 5, 2.5, and clean for 0."""
    return f"{severity:g}" if severity else "clean"


def flagged(label: str, *, is_extra: bool) -> str:
    """A corruption's label on charts and in tables, where it is no part of the headline metrics: Spatter (extra)."""
    return f"{label} (extra)" if is_extra else label


def listing(items: Iterable[str]) -> str:
    """Items as prose: a, b and c."""
    *head, last = list(items) or ["none"]
    return f"{', '.join(head)} and {last}" if head else last


def counted(count: int, singular: str, plural: str = "") -> str:
    """A count with its noun: 1 image, 2,000 images."""
    return f"{count:,}{NO_BREAK}{singular if count == 1 else plural or singular + 's'}"


def sentence_start(text: str) -> str:
    """The text with its first letter raised."""
    return text[:1].upper() + text[1:]


def within(label: str) -> str:
    """A label inside a sentence: 'Gaussian noise' and 'JPEG compression' keep their capital, 'Fog' becomes 'fog'."""
    first = label.split(" ", 1)[0]
    keeps = first.isupper() or first in {"Gaussian", "Poisson"}
    return label if keeps else label[:1].lower() + label[1:]
