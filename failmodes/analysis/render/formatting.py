"""Text of numbers, intervals, counts and lists."""

import re
from collections.abc import Iterable
from typing import Any

from failmodes.runtime.errors import counted
from failmodes.warehouse.schema import DIFFERENCE_OF_SHARES, SHARE

NO_BREAK = "\u00a0"
MINUS = "\u2212"
MAX_LISTED = 4  # models that a sentence lists; of more, it gives the number

PERCENT_UNITS = (SHARE, "share of images", "share of predictions", "share of log-loss")  # shown in percent
POINT_UNITS = (DIFFERENCE_OF_SHARES, "accuracy", "share of attention", "confidence minus accuracy")  # shown in points

REASON_NAMES = {
    "first_to_fail": "first to fail",
    "confidently_incorrect": "confidently incorrect",
    "recovered": "recovered",
    "still_correct": "always correct",
}

REASON_MEANINGS = {
    "first to fail": "of the images correct when clean, none fails at a lower severity",
    "confidently incorrect": "at the last severity, with the highest confidence",
    "recovered": "incorrect at some severity, correct at the last",
    "always correct": "at every severity, with the highest confidence at the last",
}

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

ValueAndInterval = tuple[Any, ...]  # value, low and high, as an Estimate begins


def valid_in_xml(text: str) -> str:
    """The text with U+FFFD for every character that XML 1.0 does not allow, such as control characters."""
    return _NO_XML.sub("\ufffd", text)


def format_number(value: float, digits: int = 1, *, signed: bool = False) -> str:
    """A number with a typographic minus sign; a rounded zero has no sign."""
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if not float(text):
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def format_percent(share: float, digits: int = 1) -> str:
    """A share 0-1 as a percentage: 94.8%."""
    return f"{format_number(100 * share, digits)}%"


def format_points(difference: float, digits: int = 1, *, signed: bool = False) -> str:
    """A difference of shares in percentage points: 43.1 points."""
    return f"{format_number(100 * difference, digits, signed=signed)}{NO_BREAK}points"


def format_interval(low: float, high: float, digits: int = 1, scale: float = 100) -> str:
    """An interval, scaled (by default shares to percent): [40.1, 45.0]."""
    return f"[{format_number(scale * low, digits)},{NO_BREAK}{format_number(scale * high, digits)}]"


def format_points_interval(estimate: ValueAndInterval, *, signed: bool = False) -> str:
    """A difference of shares with its interval: 43.1 points [40.1, 45.0]."""
    return f"{format_points(estimate[0], signed=signed)} {format_interval(estimate[1], estimate[2])}"


def format_percent_interval(estimate: ValueAndInterval) -> str:
    """A share with its interval: 94.8% [93.9, 95.6]."""
    return f"{format_percent(estimate[0])} {format_interval(estimate[1], estimate[2])}"


def format_number_interval(estimate: ValueAndInterval, digits: int = 3) -> str:
    """A number with its interval: 0.530 [0.463, 0.597]."""
    return f"{format_number(estimate[0], digits)} {format_interval(estimate[1], estimate[2], digits, 1)}"


def precision(unit: str) -> tuple[int, float]:
    """Digits and factor for values in a unit: shares 0-1 are shown in percent or points."""
    if unit in PERCENT_UNITS or unit in POINT_UNITS:
        return 1, 100.0
    return (2 if unit in ("severity", "curvature") else 3), 1.0


def format_value(value: float, unit: str, *, more_digits: int = 0, signed: bool = False) -> str:
    """A value with the sign or word of its unit: 94.8%, 43.1 points, 0.530 nats."""
    digits, scale = precision(unit)
    number = format_number(scale * value, digits + more_digits, signed=signed)
    if unit in PERCENT_UNITS:
        return f"{number}%"
    if unit in POINT_UNITS:
        return f"{number}{NO_BREAK}points"
    if unit == "nats":
        return f"{number}{NO_BREAK}nats"
    return f"curvature {number}" if unit == "curvature" else number


def format_estimate(estimate: ValueAndInterval, unit: str, *, more_digits: int = 0, signed: bool = False) -> str:
    """A value with its interval, in its unit: 43.1 points [40.1, 45.0]."""
    digits, scale = precision(unit)
    ends = format_interval(estimate[1], estimate[2], digits + more_digits, scale)
    return f"{format_value(estimate[0], unit, more_digits=more_digits, signed=signed)} {ends}"


def round_up(count: int) -> int:
    """An estimated number of images, rounded up to two digits."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step


def format_p(p_value: float) -> str:
    """A p value to three digits: 0.012, < 0.001."""
    return f"<{NO_BREAK}0.001" if p_value < 0.001 else format_number(p_value, 3)


def format_severity(severity: float) -> str:
    """A severity: 5, 2.5, and clean for 0."""
    return f"{severity:g}" if severity else "clean"


def label_with_extra(label: str, *, is_extra: bool) -> str:
    """A corruption's label; corruptions outside the headline metrics are marked: Spatter (extra)."""
    return f"{label} (extra)" if is_extra else label


def join_names(items: Iterable[str]) -> str:
    """Items as prose: a, b and c."""
    *head, last = list(items) or ["none"]
    return f"{', '.join(head)} and {last}" if head else last


def format_count(count: int, singular: str) -> str:
    """A count with its noun: 1 image, 2,000 images."""
    return counted(count, singular).replace(" ", NO_BREAK, 1)


def capitalize_first(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def lower_label(label: str) -> str:
    """A label within a sentence: 'Fog' becomes 'fog'; 'Gaussian noise' and 'JPEG compression' keep their capital."""
    first = label.split(" ", 1)[0]
    keeps = first.isupper() or first in {"Gaussian", "Poisson"}
    return label if keeps else label[:1].lower() + label[1:]
