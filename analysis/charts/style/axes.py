"""The severity axis that charts share, and how many panels or levels a layout has room for."""

from collections.abc import Sequence
from typing import TypeVar

import altair as alt
import numpy as np
import polars as pl

from failmodes.analysis.charts.style.theme import ChartSize

COARSE, FINE = 16, 4  # areas of points, square pixels

FEW_LEVELS = 11  # more of them are a dense grid

FEW_PANELS = 9  # more of them stand closer on a page

CLOSE_COLUMNS = 5

Item = TypeVar("Item")

Channel = TypeVar("Channel", alt.X, alt.Y)


def severity_ticks(last: float) -> list[float]:
    """Whole severities from 0 to the last; of a grid below 1, its ends."""
    return [float(level) for level in range(int(last) + 1)] if last >= 1 else [0.0, last]


def severity_axis(last: float, *, title: bool = True) -> alt.X:
    """The x channel of a chart over severity: 0 to the last, ticks at whole severities whatever the grid."""
    return alt.X(
        "severity:Q",
        title="severity" if title else None,
        scale=alt.Scale(domain=[0, last], nice=False),
        axis=alt.Axis(values=severity_ticks(last), grid=False, labelExpr="format(datum.value, '~g')", labelFlush=False),
    )


def panel_columns(layout: ChartSize, panels: int) -> int:
    """Panels side by side: the layout's, or five on a page where there are many."""
    return CLOSE_COLUMNS if layout.columns > 2 and panels > FEW_PANELS else layout.columns


def point_size(points: pl.DataFrame) -> int:
    """Area of the points on a line over severity: on a dense grid they are there for the pointer, not for the eye."""
    return COARSE if points["severity"].n_unique() <= FEW_LEVELS else FINE


def evenly_spaced(items: Sequence[Item], room: int) -> list[Item]:
    """At most `room` items: the first, the last, and an even choice between."""
    if len(items) <= room:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, room).round().astype(int)]


def pixel(field: str, channel: type[Channel]) -> Channel:
    """A channel whose field is a place in pixels."""
    return channel(f"{field}:Q", scale=None, axis=None)
