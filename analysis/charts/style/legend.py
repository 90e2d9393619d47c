"""A legend in one or more rows above a plot, and the colours of corruptions.

Drawn as a part of the chart: Vega-Lite's own legends do not wrap at a width, nor mix lines and points in one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.labels import FONT_PX, text_width
from failmodes.analysis.charts.style.theme import BLUE, GREEN, GREY, GROUPS, ORANGE, PURPLE, SKY, VERMILLION, Layered

ROW_PX, SAMPLE_PX, GAP_PX = 17, 20, 18
DISTINCT = (VERMILLION, BLUE, GREEN, PURPLE, ORANGE, SKY, GREY)
GROUP_COLOURS = dict(zip(GROUPS, DISTINCT, strict=False))


class LegendEntry(NamedTuple):
    """One name of the legend with its colour and either a dash pattern (a line) or a point shape."""

    label: str
    colour: str
    dash: Sequence[float] | None = None
    shape: str | None = None


def legend(entries: Sequence[LegendEntry], width_px: float) -> list[Layered]:
    """The legend as one part of a chart, its rows wrapped at `width_px`; nothing without entries."""
    left, row, layers = 0.0, 0, []
    for entry in entries:
        wide = SAMPLE_PX + 6 + text_width(entry.label, FONT_PX)
        if left and left + wide > width_px:
            left, row = 0.0, row + 1
        base = alt.Chart(pl.DataFrame({"text": [entry.label]})).encode(y=alt.value(row * ROW_PX + ROW_PX / 2))
        if entry.shape:
            point = base.mark_point(shape=entry.shape, filled=True, size=55, opacity=1, color=entry.colour)
            layers.append(point.encode(x=alt.value(left + SAMPLE_PX - 7)))
        else:
            line = base.mark_rule(strokeWidth=2.5, strokeDash=list(entry.dash or [1, 0]), color=entry.colour)
            layers.append(line.encode(x=alt.value(left), x2=alt.value(left + SAMPLE_PX)))
        text = base.mark_text(align="left", baseline="middle", fontSize=FONT_PX, style="ink")
        layers.append(text.encode(x=alt.value(left + SAMPLE_PX + 6), text="text:N"))
        left += wide + GAP_PX
    return [alt.layer(*layers, width=width_px, height=(row + 1) * ROW_PX)] if layers else []


def corruption_colours(
    con: duckdb.DuckDBPyConnection, corruptions: Sequence[str]
) -> tuple[dict[str, str], list[LegendEntry]]:
    """Colour by corruption: one each while they can be told apart, else one a group; and the legend of the groups."""
    if len(corruptions) <= len(DISTINCT):
        return dict(zip(corruptions, DISTINCT, strict=False)), []
    groups = dict(con.execute("select corruption, corruption_group from corruptions").fetchall())
    colours = {corruption: GROUP_COLOURS.get(groups[corruption], GREY) for corruption in corruptions}
    return colours, [LegendEntry(group, colour) for group, colour in GROUP_COLOURS.items()]
