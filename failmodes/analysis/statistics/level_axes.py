"""Axes of the values of levels, such as contrast in percent: where each severity lies on its scale."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import duckdb

from failmodes.analysis.evaluations.selection import Selection
from failmodes.runtime.errors import printable
from failmodes.warehouse.database.connection import read_once

NO_SPACE = ("", "%", "\N{DEGREE SIGN}")  # units that follow a number without a space
OFF_SCALE = "the reference level is off the scale of the values"


class LevelAxis(NamedTuple):
    """The values of the levels of one corruption.

    Attributes:
        name: the quantity.
        unit: its unit; empty without one.
        is_log: whether it is shown on a logarithmic scale.
        values: by severity, rising or falling with it.
    """

    name: str
    unit: str
    is_log: bool
    values: dict[float, float]

    @property
    def is_reference_off(self) -> bool:
        """Whether the reference level has no place on the scale: infinite, or 0 on a logarithmic scale."""
        value = self.values.get(0.0)
        return value is not None and (math.isinf(value) or (self.is_log and value == 0))

    @property
    def title(self) -> str:
        """Quantity, unit and scale: contrast, % (log)."""
        return f"{', '.join(filter(None, (self.name, self.unit)))}{' (log)' * self.is_log}"

    def text(self, severity: float) -> str:
        """The value of a level: 30, 0.05, ∞."""
        value = self.values[severity]
        return "∞" if math.isinf(value) else f"{value:g}"

    def label(self, severity: float) -> str:
        """The value with its unit: 30%, 0.05, 90°, 2 px."""
        space = "" if self.unit in NO_SPACE else " "
        return f"{self.text(severity)}{space}{self.unit}".rstrip()

    def positions(self, severities: Sequence[float]) -> list[float]:
        """Where levels lie on the scale, from 0 to 1 in the order of severity.

        A reference level off the scale is at 0, the mean distance of two levels before the next.
        """
        on_scale = [severity for severity in severities if severity or not self.is_reference_off]
        places = [math.log(self.values[s]) if self.is_log else self.values[s] for s in on_scale]
        first, last = places[0], places[-1]
        start = (len(severities) - len(on_scale)) / max(1, len(on_scale))
        length = (1 - start) / (last - first) if last != first else 0.0
        positions = dict(zip(on_scale, (start + (place - first) * length for place in places), strict=True))
        return [positions.get(severity, 0.0) for severity in severities]


@read_once
def read_level_axes(con: duckdb.DuckDBPyConnection, source_id: str) -> dict[str, LevelAxis]:
    """The axes of a source's corruptions; without those whose values do not rise or fall with severity."""
    rows = con.execute(
        "select corruption, severity::double, level_value, level_name, level_unit, level_scale from levels "
        "where source_id = ? order by corruption, severity",
        [source_id],
    ).fetchall()
    axes: dict[str, LevelAxis] = {}
    for corruption, severity, value, name, unit, scale in rows:
        axis = axes.setdefault(corruption, LevelAxis(printable(name), printable(unit), scale == "log", {}))
        axis.values[severity] = value
    return {corruption: axis for corruption, axis in axes.items() if _is_ordered(axis)}


def _is_ordered(axis: LevelAxis) -> bool:
    on_scale = [value for severity, value in axis.values.items() if severity or not axis.is_reference_off]
    steps = [after - before for before, after in pairwise(axis.values.values())]
    is_drawable = all(math.isfinite(value) and (value > 0 or not axis.is_log) for value in on_scale)
    return is_drawable and bool(on_scale) and (all(step > 0 for step in steps) or all(step < 0 for step in steps))


def level_axes(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[str, LevelAxis]:
    """The axes of the corruptions of a selection that have one for every severity."""
    axes = read_level_axes(con, selection.shared["source_id"])
    cells = con.execute(
        "select distinct corruption, severity::double from curve_points where evaluation_id = any(?) order by all",
        [selection.ids],
    ).fetchall()
    lacking = {corruption for corruption, severity in cells if severity not in _values(axes, corruption)}
    return {name: axes[name] for name in selection.corruptions if name in axes and name not in lacking}


def _values(axes: dict[str, LevelAxis], corruption: str) -> dict[float, float]:
    return axes[corruption].values if corruption in axes else {}
