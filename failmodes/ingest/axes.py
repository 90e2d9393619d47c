"""Axes: the values of a corruption's levels, with their quantity, unit, order and scale; severity is their rank.

Levels go from the reference level, which is stored as clean images, to the most severe. An axis names both ends,
`%,100..1,log`, or every level in order, `ε,/255,0..2..4..8`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from failmodes.runtime.errors import DataError, StudyError, listed, printable, shown
from failmodes.runtime.storage.files import StorePath
from failmodes.warehouse.schema import LEVELS, MAX_SEVERITY
from failmodes.warehouse.shards.format import write_dimension

Scale = Literal["linear", "log"]
SCALES: tuple[Scale, ...] = ("linear", "log")
MAX_TEXT_LETTERS = 60
MAX_SHOWN = 5  # levels in an error
EXPECTED = (
    "expected [NAME,]UNIT,FIRST..LAST[,linear|log], from the reference level to the most severe, such as %,100..1,log"
)


class Axis(NamedTuple):
    """The axis of the levels of one corruption.

    Attributes:
        corruption: name of the corruption.
        name: the quantity, for charts, such as contrast.
        unit: its unit, such as %; empty without one.
        levels: two or more values in order, from the reference level to the most severe: its two ends, or every level.
            Only the first may be infinite.
        scale: "linear", or "log", for which all levels except the first are above 0.
    """

    corruption: str
    name: str
    unit: str
    levels: tuple[float, ...]
    scale: Scale = "linear"

    @property
    def reference(self) -> float:
        """Value of the reference level, whether or not the data hold it."""
        return self.levels[0]

    @property
    def states_every_level(self) -> bool:
        """Whether `levels` are all levels, not only the ends."""
        return len(self.levels) > 2

    def __str__(self) -> str:
        """The axis as text: "contrast, %, 100..1, log"."""
        levels = "..".join(f"{level:g}" for level in self.levels)
        return ", ".join(filter(None, (self.name, self.unit, levels, "log" * (self.scale == "log"))))


def parse_axis(corruption: str, text: str) -> Axis:
    """The axis of a corruption as users write it, such as `%,100..1,log` or `angle,°,0..180`.

    The name is by default that of the corruption, the scale linear.

    Raises:
        StudyError: the text has another form, or an end does not fit.
    """
    parts = [part.strip() for part in text.split(",")]
    scale: Scale = "linear"
    for known in SCALES:
        if parts[-1] == known:
            scale = known
            parts.pop()
            break
    if not 1 <= len(parts) <= 3 or ".." not in parts[-1]:
        raise _unfit(corruption, f"{shown(text)} has no range of levels")
    *words, levels = parts
    name, unit = (words if len(words) == 2 else (corruption.replace("_", " "), *words, ""))[:2]
    for word in (name, unit):
        if printable(word) != word or len(word) > MAX_TEXT_LETTERS:
            raise _unfit(corruption, f"{shown(word)} is not one printable line of at most {MAX_TEXT_LETTERS} letters")
    return Axis(corruption, name, unit, _parse_levels(corruption, levels, scale), scale)


def _parse_levels(corruption: str, text: str, scale: Scale) -> tuple[float, ...]:
    try:
        levels = tuple(float(number) for number in text.split(".."))
    except ValueError:
        raise _unfit(corruption, f"{shown(text)} are not numbers separated by two points") from None
    steps = [after - before for before, after in zip(levels, levels[1:], strict=False)]
    if len(levels) < 2 or not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
        raise _unfit(corruption, f"{shown(text)} neither rises nor falls from each level to the next")
    if not all(map(math.isfinite, levels[1:])):
        raise _unfit(corruption, f"{shown(text)}: only the reference level may be infinite")
    if scale == "log" and (levels[0] < 0 or min(levels[1:]) <= 0):
        raise _unfit(corruption, f"{shown(text)}: on a log scale levels are above 0, except a reference level of 0")
    if len(levels) - 1 > MAX_SEVERITY:
        raise _unfit(corruption, f"it has {len(levels):,} levels, at most {MAX_SEVERITY} besides the first are stored")
    return levels


def _unfit(corruption: str, problem: str) -> StudyError:
    return StudyError(f"axis of {shown(corruption)}: {problem}; {EXPECTED}")


def default_axis(corruption: str, values: Iterable[float]) -> Axis:
    """The axis of levels that none is stated for: from 0, the reference level, upwards.

    Raises:
        DataError: a value is negative or not finite, or all are 0.
    """
    most = max(values, default=0.0)
    if not 0 < most < math.inf or min(values) < 0:
        raise DataError(
            f"the levels of {shown(corruption)} do not rise from 0: state its axis, such as {corruption}=%,100..1"
        )
    return Axis(corruption, corruption.replace("_", " "), "", (0.0, most))


def rank_levels(values: Iterable[float], axis: Axis) -> dict[float, int]:
    """Severity of each level: its rank, 0 for the reference level and from 1 for others, in the order of the axis.

    If the axis names every level, its ranks are those of the axis, whichever of them the data hold.

    Args:
        values: values of the levels in the data; may repeat.
        axis: their axis.

    Returns:
        Severity by value, in the order of severity.

    Raises:
        DataError: a value is not on the axis, or there are more levels than severities.
    """
    first, *_, last = axis.levels
    sign = 1 if last > first else -1
    ordered = sorted(set(values), key=lambda value: sign * value)
    if axis.states_every_level:
        ranks = {level: rank for rank, level in enumerate(axis.levels)}
        unknown = [value for value in ordered if value not in ranks]
    else:
        unknown = [value for value in ordered if not sign * first <= sign * value <= sign * last]
        ranks = {level: rank for rank, level in enumerate([first, *(value for value in ordered if value != first)])}
    if unknown:
        raise DataError(
            f"{axis.corruption}: {listed([f'{value:g}' for value in unknown], MAX_SHOWN)} not on the axis {axis}: "
            "state an axis that holds every level"
        )
    if len(ranks) - 1 > MAX_SEVERITY:
        raise DataError(f"{axis.corruption} has {len(ranks) - 1:,} levels: at most {MAX_SEVERITY} are stored")
    return {value: ranks[value] for value in ordered}


def level_rows(source_id: str, axis: Axis, ranks: Mapping[float, int]) -> list[dict[str, Any]]:
    """Rows of `levels` of one corruption, with the reference level, whether or not the data hold it.

    Args:
        source_id: source of the corrupted images.
        axis: axis of the corruption.
        ranks: severity by value, see `rank_levels`.
    """
    return [
        {
            "source_id": source_id,
            "corruption": axis.corruption,
            "severity": rank,
            "level_value": value,
            "level_name": axis.name,
            "level_unit": axis.unit,
            "level_scale": axis.scale,
        }
        for value, rank in ({axis.reference: 0} | dict(ranks)).items()
    ]


def record_levels(output: StorePath, source_id: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write the levels of all corruptions of a source, which replace its former ones; nothing without levels."""
    if rows:
        write_dimension(output, LEVELS, source_id, list(rows))
