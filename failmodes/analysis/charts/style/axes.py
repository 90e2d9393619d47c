"""Scales, axes and titles that charts share, and how many panels or severities a chart has room for."""

from collections.abc import Sequence
from typing import Any, TypeVar

import altair as alt
import numpy as np
import polars as pl

from failmodes.analysis.charts.style.theme import ChartSize, wrapped

PERCENT_EXPRESSION = "format(100 * datum.value, '.0f') + '%'"  # a share 0-1 on an axis
COARSE, FINE = 16, 4  # areas of points, square pixels
FEW_LEVELS = 11  # more of them are a dense grid
FEW_PANELS = 9  # more of them stand closer on a page
CLOSE_COLUMNS = 5
MARGIN_PX = 76  # of a panel of shares: its vertical axis, half of "100 %" at its right, and the gap to the next
BOLD_PX = 14  # running text of this size is as wide as bold text of 12
COLOR_FIELD = alt.Color("color:N", scale=None, legend=None)  # each row of the data holds its own color
Item = TypeVar("Item")
Channel = TypeVar("Channel", alt.X, alt.Y)


def fixed_scale(low: float, high: float) -> alt.Scale:
    """A linear scale over exactly this domain."""
    return alt.Scale(domain=[low, high], nice=False)


def percent_axis(tick_count: int = 5, **options: Any) -> alt.Axis:
    """An axis of shares 0-1 as per cent, with about this many ticks."""
    return alt.Axis(labelExpr=PERCENT_EXPRESSION, tickCount=tick_count, **options)


def panel_title(text: str, width_px: float | None = None, offset: int = 6, **options: Any) -> alt.Title:
    """The title of one panel, flush with its plot; in lines of `width_px` where it is given, so that none is wider."""
    if width_px is None:
        return alt.Title(text, frame="group", offset=offset, **options)
    lines = wrapped(text, width_px, BOLD_PX)
    title = lines if len(lines) > 1 else text
    return alt.Title(title, frame="group", offset=offset, limit=width_px, **options)


def severity_ticks(last: float) -> list[float]:
    """Whole severities from 0 to the last; of a grid below 1, its ends."""
    return [float(level) for level in range(int(last) + 1)] if last >= 1 else [0.0, last]


def severity_axis(last: float, *, title: bool = True) -> alt.X:
    """The x channel of a chart over severity: 0 to the last, ticks at whole severities whatever the grid."""
    return alt.X(
        "severity:Q",
        title="severity" if title else None,
        scale=fixed_scale(0, last),
        axis=alt.Axis(values=severity_ticks(last), grid=False, labelExpr="format(datum.value, '~g')", labelFlush=False),
    )


def last_severity(points: pl.DataFrame) -> float:
    """The largest severity of a table."""
    return float(points.select(pl.col("severity").max()).item())


def model_columns(size: ChartSize, models: int, margin_px: float, left_px: float = 0) -> tuple[int, float]:
    """Panels side by side where each model has one: two on a page; and the width of each in pixels.

    Args:
        size: page or paper.
        models: how many panels there are.
        margin_px: what each panel needs beside its plot.
        left_px: what all of them need together at their left.
    """
    columns = 2 if models > 1 and size.is_wide else 1
    return columns, (size.width_px - left_px - margin_px * columns) / columns


def corruption_columns(size: ChartSize, corruptions: int, title_px: float = 0) -> int:
    """Panels side by side where each corruption has one: on a page up to five where there are many.

    Args:
        size: page or paper.
        corruptions: how many panels there are.
        title_px: width of the longest title of a panel.
    """
    if not size.is_wide or corruptions <= FEW_PANELS:
        return size.columns
    return max(size.columns, min(CLOSE_COLUMNS, int(size.width_px / max(1, title_px))))


def point_size(points: pl.DataFrame) -> int:
    """Area of the points on a line over severity: on a dense grid they are there for the pointer, not for the eye."""
    return COARSE if points["severity"].n_unique() <= FEW_LEVELS else FINE


def evenly_spaced(items: Sequence[Item], space: int) -> list[Item]:
    """At most `space` items: the first, the last, and an even choice between."""
    if len(items) <= space:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, space).round().astype(int)]


def pixel(field: str, channel: type[Channel]) -> Channel:
    """A channel whose field is a position in pixels."""
    return channel(f"{field}:Q", scale=None, axis=None)
