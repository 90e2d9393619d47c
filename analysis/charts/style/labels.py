"""Text on charts: labels that keep clear of each other, the word chance, and legends in one or more rows.

Legends are drawn as a part of the chart: Vega-Lite's own do not wrap at a width, nor mix lines and points in one.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import altair as alt
import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from failmodes.analysis.charts.style.axes import COLOUR_FIELD, evenly_spaced, fixed_scale
from failmodes.analysis.charts.style.combining import layered
from failmodes.analysis.charts.style.theme import BLUE, GREEN, GREY, GROUPS, ORANGE, PURPLE, SKY, VERMILLION, Layered

LETTER_SHARE = 0.56  # width of an average letter in font sizes
FONT_PX, CHANCE_FONT_PX = 11, 10
MARGIN_PX, CLEAR_PX = 3, 2  # around the label of the chance level
Align = Literal["left", "right", "center"]
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels
Line = Sequence[tuple[float, float]]  # (x, y) in data units, x ascending
ROW_PX, SAMPLE_PX, GAP_PX = 17, 20, 18
DISTINCT = (VERMILLION, BLUE, GREEN, PURPLE, ORANGE, SKY, GREY)
RAMP = ("#7cc4f0", "#4aa0dc", "#3a7fc4", "#5b5fb5", "#8a4a9e", "#b03a78")  # clean to last; seen in light and dark
GROUP_COLOURS = dict(zip(GROUPS, DISTINCT, strict=False))


class LabelPosition(NamedTuple):
    """A label's anchor in pixels and which side of the anchor it grows to."""

    x: float
    y: float
    align: Align


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
    """Move values as little as it takes for neighbours to be `gap` apart, keeping their order and middle.

    Clusters that overlap are merged and spaced about their mean until none overlaps.
    """
    clusters: list[tuple[list[int], float]] = []  # indices of the values, and their centre
    for index in sorted(range(len(values)), key=lambda i: values[i]):
        cluster, centre = [index], float(values[index])
        while clusters and centre - clusters[-1][1] < gap * (len(cluster) + len(clusters[-1][0])) / 2:
            cluster = clusters.pop()[0] + cluster
            centre = sum(values[i] for i in cluster) / len(cluster)
        clusters.append((cluster, centre))
    spread = [0.0] * len(values)
    for cluster, centre in clusters:
        for rank, index in enumerate(cluster):
            spread[index] = centre + gap * (rank - (len(cluster) - 1) / 2)
    return spread


def place_labels(
    points: Sequence[tuple[float, float]],
    labels: Sequence[str],
    *,
    width: float,
    height: float,
    obstacles: Sequence[Box] = (),
) -> list[LabelPosition]:
    """Put each label beside its point, at the nearest position that is free, or at the least crowded.

    Args:
        points: (x, y) in pixels from the top left of the plot.
        labels: texts, one a point.
        width: of the plot, pixels; labels stay inside.
        height: of the plot, pixels.
        obstacles: further boxes to stay clear of, such as intervals and paths.
    """
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in points] + list(obstacles)
    placed = []
    for point, label in zip(points, labels, strict=True):
        positions = list(_positions(*point))
        boxes = np.array([_label_box(position, label) for position in positions])
        costs = _costs(boxes, np.array(taken), width, height) + 0.5 * np.arange(len(boxes))
        best = int(costs.argmin())
        taken.append(tuple(boxes[best]))
        placed.append(positions[best])
    return placed


def _positions(x: float, y: float) -> Iterator[LabelPosition]:
    """Positions about a point, the nearest first: beside it, above and below, then on wider rings."""
    yield LabelPosition(x + 8, y, "left")
    yield LabelPosition(x - 8, y, "right")
    for ring in (1.0, 1.7, 2.6, 3.6, 4.8):
        down, across = ring * FONT_PX, 6 + 2 * ring
        sides: tuple[tuple[float, Align], ...] = ((across, "left"), (-across, "right"), (0.0, "center"))
        yield from (LabelPosition(x + dx, y + dy, align) for dx, align in sides for dy in (-down, down))
        yield LabelPosition(x + 8 + down, y, "left")
        yield LabelPosition(x - 8 - down, y, "right")


def _label_box(position: LabelPosition, label: str) -> Box:
    wide = text_width(label, FONT_PX)
    left = position.x - {"left": 0.0, "right": wide, "center": wide / 2}[position.align]
    return left, position.y - 0.65 * FONT_PX, left + wide, position.y + 0.65 * FONT_PX


def _costs(boxes: NDArray[np.float64], taken: NDArray[np.float64], width: float, height: float) -> NDArray[np.float64]:
    """Square pixels that each box (B, 4) would cover of those taken (T, 4), and 20 for a pixel out of the plot."""
    left, top, right, bottom = boxes.T
    outside = np.maximum(0, [-left, right - width, -top, bottom - height]).sum(axis=0)
    across = np.minimum(right[:, None], taken[:, 2]) - np.maximum(left[:, None], taken[:, 0])
    down = np.minimum(bottom[:, None], taken[:, 3]) - np.maximum(top[:, None], taken[:, 1])
    covered: NDArray[np.float64] = (np.maximum(0, across) * np.maximum(0, down)).sum(axis=1)
    costs: NDArray[np.float64] = 20 * outside + covered
    return costs


def label_layers(
    points: pl.DataFrame, x: alt.X, y: alt.Y, plot_area: PlotArea, obstacles: Sequence[Box]
) -> list[alt.Chart]:
    """A layer of text for each alignment that occurs.

    Args:
        points: what is labelled: the fields of `x` and `y` in data units, `name`, and `colour`, or null for black.
        x: the plot's x channel.
        y: the plot's y channel.
        plot_area: the plot.
        obstacles: boxes in pixels to stay clear of.
    """
    fields = [str(channel.shorthand).split(":")[0] for channel in (x, y)]
    pixels = [plot_area.pixel(*point) for point in points.select(fields).rows()]
    placed = place_labels(
        pixels, points["name"].to_list(), width=plot_area.width, height=plot_area.height, obstacles=obstacles
    )
    anchors = pl.DataFrame([plot_area.data(p.x, p.y) for p in placed], schema=fields, orient="row")
    labels = points.select("name", "colour").hstack(anchors).with_columns(align=pl.Series([p.align for p in placed]))
    is_coloured = not points["colour"].null_count()
    mark: dict[str, Any] = {"baseline": "middle", "fontSize": FONT_PX} | ({} if is_coloured else {"style": "ink"})
    colour: dict[str, Any] = {"color": COLOUR_FIELD} if is_coloured else {}
    return [
        alt.Chart(part.drop("align"))
        .mark_text(align=part["align"][0], **mark)
        .encode(x, y, text=alt.Text("name:N"), **colour)
        for part in labels.sort("align", maintain_order=True).partition_by("align", maintain_order=True)
    ]


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
    """One name of the legend with its colour and either a dash pattern (a line) or a point shape."""

    label: str
    colour: str
    dash: Sequence[float] | None = None
    shape: str | None = None


def severity_colours(severities: Sequence[float]) -> dict[float, str]:
    """A colour a severity, light to dark from clean on; of a dense grid only some, evenly spaced."""
    shown = evenly_spaced(sorted(severities), len(RAMP))
    return {s: RAMP[round(index / max(1, len(shown) - 1) * (len(RAMP) - 1))] for index, s in enumerate(shown)}


def legend(entries: Sequence[LegendEntry], width_px: float) -> list[Layered]:
    """The legend as one part of a chart, its rows wrapped at `width_px`; nothing without entries."""
    left, row, layers = 0.0, 0, []
    for entry in entries:
        wide = SAMPLE_PX + 6 + text_width(entry.label, FONT_PX)
        if left and left + wide > width_px:
            left, row = 0.0, row + 1
        base = alt.Chart(pl.DataFrame({"text": [entry.label]})).encode(y=alt.YValue(row * ROW_PX + ROW_PX / 2))
        if entry.shape:
            point = base.mark_point(shape=entry.shape, filled=True, size=55, opacity=1, color=entry.colour)
            layers.append(point.encode(x=alt.XValue(left + SAMPLE_PX - 7)))
        else:
            line = base.mark_rule(strokeWidth=2.5, strokeDash=list(entry.dash or [1, 0]), color=entry.colour)
            layers.append(line.encode(x=alt.XValue(left), x2=alt.X2Value(left + SAMPLE_PX)))
        text = base.mark_text(align="left", baseline="middle", fontSize=FONT_PX, style="ink")
        layers.append(text.encode(x=alt.XValue(left + SAMPLE_PX + 6), text=alt.Text("text:N")))
        left += wide + GAP_PX
    return [layered(*layers, width=width_px, height=(row + 1) * ROW_PX)] if layers else []


def corruption_colours(
    con: duckdb.DuckDBPyConnection, corruptions: Sequence[str]
) -> tuple[dict[str, str], list[LegendEntry]]:
    """Colour by corruption: one each while they can be told apart, else one a group; and the legend of the groups."""
    if len(corruptions) <= len(DISTINCT):
        return dict(zip(corruptions, DISTINCT, strict=False)), []
    groups = dict(con.execute("select corruption, corruption_group from corruptions").fetchall())
    colours = {corruption: GROUP_COLOURS.get(groups[corruption], GREY) for corruption in corruptions}
    return colours, [LegendEntry(group, colour) for group, colour in GROUP_COLOURS.items()]
