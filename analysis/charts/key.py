"""A key in one or more rows above a picture: a sample of each line or point with its name."""

from collections.abc import Sequence
from typing import NamedTuple

import altair as alt
import polars as pl

from analysis.charts.placing import text_width
from analysis.theme import Layered

ROW_PX = 17
SAMPLE_PX = 20
GAP_PX = 18


class Entry(NamedTuple):
    """One name of the key with its colour and either a dash pattern (a line) or a point shape."""

    label: str
    colour: str
    dash: Sequence[float] | None = None
    shape: str | None = None


def key(entries: Sequence[Entry], width_px: float) -> Layered:
    """Draw a key, breaking rows at `width_px`."""
    left, row, layers = 0.0, 0, []
    for entry in entries:
        wide = SAMPLE_PX + 6 + text_width(entry.label, 11)
        if left and left + wide > width_px:
            left, row = 0.0, row + 1
        layers += _entry(entry, left, row * ROW_PX + ROW_PX / 2)
        left += wide + GAP_PX
    return alt.layer(*layers, width=width_px, height=(row + 1) * ROW_PX)


def _entry(entry: Entry, left: float, middle: float) -> list[alt.Chart]:
    base = alt.Chart(pl.DataFrame({"text": [entry.label]})).encode(y=alt.value(middle))
    word = base.mark_text(align="left", baseline="middle", fontSize=11, style="ink")
    named = word.encode(x=alt.value(left + SAMPLE_PX + 6), text="text:N")
    if entry.shape:
        point = base.mark_point(shape=entry.shape, filled=True, size=55, opacity=1, color=entry.colour)
        return [point.encode(x=alt.value(left + SAMPLE_PX - 7)), named]
    line = base.mark_rule(strokeWidth=2.5, strokeDash=list(entry.dash or [1, 0]), color=entry.colour)
    return [line.encode(x=alt.value(left), x2=alt.value(left + SAMPLE_PX)), named]
