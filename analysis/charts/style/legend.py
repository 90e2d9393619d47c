"""A key in one or more rows above a picture: a sample of each line or point with its name.

Colours of lines that stand for corruptions: one each while they can be told apart, else one a group.
"""

from collections.abc import Sequence
from typing import NamedTuple

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.labels import text_width
from failmodes.analysis.charts.style.theme import BLUE, GREEN, GREY, GROUPS, ORANGE, PURPLE, SKY, VERMILLION, Layered

ROW_PX = 17

SAMPLE_PX = 20

GAP_PX = 18

DISTINCT = (VERMILLION, BLUE, GREEN, PURPLE, ORANGE, SKY, GREY)

GROUP_COLOURS = dict(zip(GROUPS, DISTINCT, strict=False))


class LegendEntry(NamedTuple):
    """One name of the key with its colour and either a dash pattern (a line) or a point shape."""

    label: str
    colour: str
    dash: Sequence[float] | None = None
    shape: str | None = None


def legend(entries: Sequence[LegendEntry], width_px: float) -> Layered:
    """Draw a key, breaking rows at `width_px`."""
    left, row, layers = 0.0, 0, []
    for entry in entries:
        wide = SAMPLE_PX + 6 + text_width(entry.label, 11)
        if left and left + wide > width_px:
            left, row = 0.0, row + 1
        layers += _entry(entry, left, row * ROW_PX + ROW_PX / 2)
        left += wide + GAP_PX
    return alt.layer(*layers, width=width_px, height=(row + 1) * ROW_PX)


def _entry(entry: LegendEntry, left: float, middle: float) -> list[alt.Chart]:
    base = alt.Chart(pl.DataFrame({"text": [entry.label]})).encode(y=alt.value(middle))
    word = base.mark_text(align="left", baseline="middle", fontSize=11, style="ink")
    named = word.encode(x=alt.value(left + SAMPLE_PX + 6), text="text:N")
    if entry.shape:
        point = base.mark_point(shape=entry.shape, filled=True, size=55, opacity=1, color=entry.colour)
        return [point.encode(x=alt.value(left + SAMPLE_PX - 7)), named]
    line = base.mark_rule(strokeWidth=2.5, strokeDash=list(entry.dash or [1, 0]), color=entry.colour)
    return [line.encode(x=alt.value(left), x2=alt.value(left + SAMPLE_PX)), named]


def corruption_colours(con: duckdb.DuckDBPyConnection, corruptions: Sequence[str]) -> dict[str, str]:
    """Colour by corruption."""
    if len(corruptions) <= len(DISTINCT):
        return dict(zip(corruptions, DISTINCT, strict=False))
    groups = dict(con.execute("select corruption, corruption_group from corruptions").fetchall())
    return {corruption: GROUP_COLOURS.get(groups[corruption], GREY) for corruption in corruptions}


def group_legend(corruptions: Sequence[str]) -> list[LegendEntry]:
    """Entries of a key, where colours stand for groups."""
    return [] if len(corruptions) <= len(DISTINCT) else [LegendEntry(group, GROUP_COLOURS[group]) for group in GROUPS]
