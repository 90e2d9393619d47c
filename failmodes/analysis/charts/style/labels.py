"""Text on charts: the size of a plot, values spread apart, the word chance, and legends in one or more rows.

Legends are drawn as a part of the chart: Vega-Lite's own do not wrap at a width, nor mix lines and points in one.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import duckdb
import numpy as np
import polars as pl

from failmodes.analysis.charts.style.axes import evenly_spaced, fixed_scale, pixel
from failmodes.analysis.charts.style.combining import layered
from failmodes.analysis.charts.style.theme import GRAY, GROUP_COLORS, RAMP, Layered, wrapped

LETTER_SHARE = 0.56  # width of an average letter in font sizes
FONT_PX, CHANCE_FONT_PX = 11, 10
MARGIN_PX, CLEAR_PX = 3, 2  # around the label of the chance level
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels
Line = Sequence[tuple[float, float]]  # (x, y) in data units, x ascending
ROW_PX, SAMPLE_PX, GAP_PX = 17, 20, 18
CORRUPTION_DASHES = ([1, 0], [6, 2], [2, 2], [7, 2, 2, 2], [1, 3], [10, 3])  # within a group of corruptions


class PlotArea(NamedTuple):
    """A plot whose domains and size in pixels are fixed."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    width: float
    height: float

    def scales(self) -> tuple[alt.Scale, alt.Scale]:
        """The scales of its x and y axes."""
        return fixed_scale(self.x_low, self.x_high), fixed_scale(self.y_low, self.y_high)

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Data to pixels from the top left."""
        across = (x - self.x_low) / (self.x_high - self.x_low) * self.width
        return across, (self.y_high - y) / (self.y_high - self.y_low) * self.height

    def data(self, across: float, down: float) -> tuple[float, float]:
        """Pixels from the top left to data."""
        x = self.x_low + across / self.width * (self.x_high - self.x_low)
        return x, self.y_high - down / self.height * (self.y_high - self.y_low)

    def box(self, x_low: float, x_high: float, y_low: float, y_high: float, pad: float = 2) -> Box:
        """A rectangle of the data in pixels, `pad` wider on every side."""
        (left, top), (right, bottom) = self.pixel(x_low, y_high), self.pixel(x_high, y_low)
        return left - pad, top - pad, right + pad, bottom + pad


def text_width(text: str, font_px: float) -> float:
    """About how wide a text is, in pixels."""
    return len(text) * font_px * LETTER_SHARE


def spread_apart(values: Sequence[float], gap: float) -> list[float]:
    """Move values as little as it takes for neighbors to be `gap` apart, keeping their order and middle.

    Clusters that overlap are merged and spaced about their mean until none overlaps.
    """
    clusters: list[tuple[list[int], float]] = []  # indices of the values, and their center
    for index in sorted(range(len(values)), key=lambda i: values[i]):
        cluster, center = [index], float(values[index])
        while clusters and center - clusters[-1][1] < gap * (len(cluster) + len(clusters[-1][0])) / 2:
            cluster = clusters.pop()[0] + cluster
            center = sum(values[i] for i in cluster) / len(cluster)
        clusters.append((cluster, center))
    spread = [0.0] * len(values)
    for cluster, center in clusters:
        for rank, index in enumerate(cluster):
            spread[index] = center + gap * (rank - (len(cluster) - 1) / 2)
    return spread


def chance_layers(chance: float, lines: Sequence[Line], plot_area: PlotArea) -> list[alt.Chart]:
    """The chance level in a panel of lines: a dotted rule and, where there is room, its label.

    Args:
        chance: accuracy of a guess, 0-1.
        lines: everything drawn in the panel that the label must not cross.
        plot_area: the panel.
    """
    rule = alt.Chart(pl.DataFrame({"accuracy": [chance]}))
    layers = [rule.mark_rule(strokeDash=[1, 3], style="muted-line").encode(y=alt.Y("accuracy:Q"))]
    position = chance_label_position(chance, lines, plot_area)
    if position:
        text = rule.mark_text(align="left", baseline="middle", fontSize=CHANCE_FONT_PX, style="muted")
        left, middle = position
        layers.append(text.encode(y=alt.YValue(middle), x=alt.XValue(left), text=alt.TextValue("chance")))
    return layers


def chance_label_position(chance: float, lines: Sequence[Line], plot_area: PlotArea) -> tuple[float, float] | None:
    """Left end and middle of the label in pixels: above the rule or beneath it, left or right, or None."""
    _, rule = plot_area.pixel(plot_area.x_low, chance)
    wide, half = text_width("chance", CHANCE_FONT_PX), CHANCE_FONT_PX / 2
    for middle in (rule - half - MARGIN_PX, rule + half + MARGIN_PX):
        for left in (MARGIN_PX, plot_area.width - MARGIN_PX - wide):
            box = (left - CLEAR_PX, middle - half - CLEAR_PX, left + wide + CLEAR_PX, middle + half + CLEAR_PX)
            inside = middle - half >= 0 and middle + half <= plot_area.height
            if inside and not any(_crosses(line, box, plot_area) for line in lines):
                return left, middle
    return None


def _crosses(line: Line, box: Box, plot_area: PlotArea) -> bool:
    """Whether a line runs through a box; looked at about every three pixels."""
    across, down = np.array([plot_area.pixel(x, y) for x, y in line]).T
    left, top, right, bottom = box
    heights = np.interp(np.linspace(left, right, 16), across, down)
    return bool(heights.min() <= bottom and heights.max() >= top)


class LegendEntry(NamedTuple):
    """One name of the legend: its color, or None for ink, and a dash pattern (a line), a point shape or both."""

    label: str
    color: str | None = None
    dash: Sequence[float] | None = None
    shape: str | None = None


def severity_colors(severities: Sequence[float]) -> dict[float, str]:
    """A color a severity, light to dark from clean on; of a dense grid only some, evenly spaced."""
    shown = evenly_spaced(sorted(severities), len(RAMP))
    return {s: RAMP[round(index / max(1, len(shown) - 1) * (len(RAMP) - 1))] for index, s in enumerate(shown)}


def legend(entries: Sequence[LegendEntry], width_px: float, start_px: float = 0) -> list[Layered]:
    """The legend as one part of a chart, its rows wrapped at `width_px`; nothing without entries.

    It begins `start_px` right of the plots' left edge; where that is negative, above the names of their rows. A name
    longer than a row is cut.
    """
    left, row, right, layers = start_px, 0, 0.0, []
    space = width_px - SAMPLE_PX - 6
    for entry in entries:
        wide = SAMPLE_PX + 6 + min(space, text_width(entry.label, FONT_PX))
        if left > start_px and left + wide > start_px + width_px:
            left, row = start_px, row + 1
        base = alt.Chart(pl.DataFrame({"text": [entry.label]})).encode(y=alt.YValue(row * ROW_PX + ROW_PX / 2))
        layers += _samples(entry, base, left)
        text = base.mark_text(align="left", baseline="middle", fontSize=FONT_PX, style="ink", limit=space)
        layers.append(text.encode(x=alt.XValue(left + SAMPLE_PX + 6), text=alt.Text("text:N")))
        right = max(right, left + wide)
        left += wide + GAP_PX
    # no wider than its rows: it stands above the plots, and a chart is as wide as its widest part
    return [layered(*layers, width=max(1.0, right), height=(row + 1) * ROW_PX)] if layers else []


def _samples(entry: LegendEntry, base: alt.Chart, left: float) -> list[alt.Chart]:
    """The line, the point or both before a name of the legend, from `left` on."""
    line_look: dict[str, Any] = {"color": entry.color} if entry.color else {"style": "ink-line"}
    point_look: dict[str, Any] = {"color": entry.color} if entry.color else {"style": "ink"}
    layers = []
    if entry.dash or not entry.shape:
        line = base.mark_rule(strokeWidth=2.5, strokeDash=list(entry.dash or [1, 0]), **line_look)
        layers.append(line.encode(x=alt.XValue(left), x2=alt.X2Value(left + SAMPLE_PX)))
    if entry.shape:
        point = base.mark_point(shape=entry.shape, filled=True, size=55, opacity=1, **point_look)
        layers.append(point.encode(x=alt.XValue(left + (SAMPLE_PX / 2 if entry.dash else SAMPLE_PX - 7))))
    return layers


def running_text(text: str, width_px: float) -> list[Layered]:
    """A text as one part of a chart, its lines wrapped at `width_px`."""
    rows = [(line, ROW_PX * (row + 0.5)) for row, line in enumerate(wrapped(text, width_px, FONT_PX))]
    lines = pl.DataFrame(rows, schema=["text", "y"], orient="row")
    mark = alt.Chart(lines).mark_text(align="left", baseline="middle", fontSize=FONT_PX, style="ink")
    shown = mark.encode(x=alt.XValue(0), y=pixel("y", alt.Y), text=alt.Text("text:N"))
    return [layered(shown, width=width_px, height=ROW_PX * len(lines))]


class CorruptionStyles(NamedTuple):
    """How corruptions are drawn: the color of their group, and a dash each within it; and the legend of the groups."""

    colors: dict[str, str]
    dashes: dict[str, list[int]]
    entries: list[LegendEntry]

    @property
    def dash(self) -> alt.StrokeDash:
        """The channel that gives each corruption its dash."""
        scale = alt.Scale(domain=list(self.dashes), range=list(self.dashes.values()))
        return alt.StrokeDash("corruption:N", scale=scale, legend=None)


def corruption_styles(con: duckdb.DuckDBPyConnection, corruptions: Sequence[str]) -> CorruptionStyles:
    """Color and dash of each corruption, which do not depend on what else a chart shows beside it of other groups."""
    group_of = dict(con.execute("select corruption, corruption_group from corruptions").fetchall())
    groups = [group_of[corruption] for corruption in corruptions]
    ranks = [groups[:place].count(group) for place, group in enumerate(groups)]
    dashes = [CORRUPTION_DASHES[rank % len(CORRUPTION_DASHES)] for rank in ranks]
    colors = [GROUP_COLORS.get(group, GRAY) for group in groups]
    entries = [LegendEntry(group, GROUP_COLORS.get(group, GRAY)) for group in sorted(set(groups), key=_group_order)]
    return CorruptionStyles(
        dict(zip(corruptions, colors, strict=True)), dict(zip(corruptions, dashes, strict=True)), entries
    )


def _group_order(group: str) -> tuple[int, str]:
    known = list(GROUP_COLORS)
    return (known.index(group) if group in known else len(known)), group
