"""Where labels go so that they touch neither each other nor the points.

Text marks at the places that `placing` found.

The chance level in a panel of lines: a dotted rule, and its word where no line runs through it.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import altair as alt
import numpy as np
import polars as pl

LETTER_SHARE = 0.56  # width of an average letter in font sizes

Align = Literal["left", "right", "center"]

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

FONT_PX = 11

WORD, CHANCE_FONT_PX, MARGIN_PX, CLEAR_PX = "chance", 10, 3, 2

Line = Sequence[tuple[float, float]]  # (x, y) in data units, x ascending


class LabelPosition(NamedTuple):
    """A label's anchor in pixels and which side of the anchor it grows to."""

    x: float
    y: float
    align: Align


class PlotArea(NamedTuple):
    """A plot whose domains and size in pixels are fixed, so that labels can be placed before it is drawn."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    width: float
    height: float

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
    order = sorted(range(len(values)), key=lambda i: values[i])
    clusters: list[tuple[list[int], float]] = []  # members and centre
    for index in order:
        members, centre = [index], float(values[index])
        while clusters and centre - clusters[-1][1] < gap * (len(members) + len(clusters[-1][0])) / 2:
            before, _ = clusters.pop()
            members = before + members
            centre = sum(values[i] for i in members) / len(members)
        clusters.append((members, centre))
    placed = [0.0] * len(values)
    for members, centre in clusters:
        for rank, index in enumerate(members):
            placed[index] = centre + gap * (rank - (len(members) - 1) / 2)
    return placed


def place_labels(
    points: Sequence[tuple[float, float]],
    labels: Sequence[str],
    *,
    width: float,
    height: float,
    font_px: float,
    obstacles: Sequence[Box] = (),
) -> list[LabelPosition]:
    """Put each label beside its point, at the nearest place that is free, or at the least crowded.

    Args:
        points: (x, y) in pixels from the top left of the plot.
        labels: texts, one a point.
        width: of the plot, pixels; labels stay inside.
        height: of the plot, pixels.
        font_px: size of the type.
        obstacles: further boxes to stay clear of, such as intervals and paths.
    """
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in points] + list(obstacles)
    placed = []
    for (x, y), label in zip(points, labels, strict=True):
        options = [_box(option, label, font_px) for option in _places(x, y, font_px)]
        costs = [_cost(box, taken, width, height) + 0.5 * rank for rank, (_, box) in enumerate(options)]
        best, box = options[costs.index(min(costs))]
        taken.append(box)
        placed.append(best)
    return placed


def _places(x: float, y: float, font_px: float) -> list[LabelPosition]:
    """Places about a point, the nearest first: beside it, above and below, then on wider rings."""
    found = [LabelPosition(x + 8, y, "left"), LabelPosition(x - 8, y, "right")]
    for ring in (1.0, 1.7, 2.6, 3.6, 4.8):
        down, across = ring * font_px, 6 + 2 * ring
        found += [LabelPosition(x + across, y + dy, "left") for dy in (-down, down)]
        found += [LabelPosition(x - across, y + dy, "right") for dy in (-down, down)]
        found += [LabelPosition(x, y + dy, "center") for dy in (-down, down)]
        found += [LabelPosition(x + 8 + ring * font_px, y, "left"), LabelPosition(x - 8 - ring * font_px, y, "right")]
    return found


def _box(place: LabelPosition, label: str, font_px: float) -> tuple[LabelPosition, Box]:
    wide = text_width(label, font_px)
    left = place.x - {"left": 0.0, "right": wide, "center": wide / 2}[place.align]
    return place, (left, place.y - 0.65 * font_px, left + wide, place.y + 0.65 * font_px)


def _cost(box: Box, taken: Sequence[Box], width: float, height: float) -> float:
    outside = max(0, -box[0]) + max(0, box[2] - width) + max(0, -box[1]) + max(0, box[3] - height)
    return 20 * outside + sum(_overlap(box, other) for other in taken)


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def label_layers(
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    plane: PlotArea,
    obstacles: Sequence[Box],
    x: alt.X,
    y: alt.Y,
    colours: Sequence[str] | None = None,
) -> list[alt.Chart]:
    """A layer of text for each alignment that occurs; in ink, or in `colours`.

    Args:
        points: what is labelled, in data units.
        names: the labels.
        plane: the plot.
        obstacles: boxes in pixels to stay clear of.
        x: the plot's x channel, whose field the places take.
        y: the plot's y channel.
        colours: a colour for each label.
    """
    pixels = [plane.pixel(*point) for point in points]
    placed = place_labels(pixels, names, width=plane.width, height=plane.height, font_px=FONT_PX, obstacles=obstacles)
    rows: dict[Align, list[dict[str, object]]] = {}
    for index, (place, name) in enumerate(zip(placed, names, strict=True)):
        across, down = plane.data(place.x, place.y)
        colour = colours[index] if colours else None
        row = {_field(x): across, _field(y): down, "name": name, "colour": colour}
        rows.setdefault(place.align, []).append(row)
    return [_layer(pl.DataFrame(part), align, x, y, in_colour=bool(colours)) for align, part in sorted(rows.items())]


def _layer(data: pl.DataFrame, align: Align, x: alt.X, y: alt.Y, *, in_colour: bool) -> alt.Chart:
    chart = alt.Chart(data)
    if in_colour:
        text = chart.mark_text(align=align, baseline="middle", fontSize=FONT_PX)
        return text.encode(x=x, y=y, text="name:N", color=alt.Color("colour:N", scale=None, legend=None))
    text = chart.mark_text(align=align, baseline="middle", fontSize=FONT_PX, style="ink")
    return text.encode(x=x, y=y, text="name:N")


def _field(channel: alt.X | alt.Y) -> str:
    return str(channel.shorthand).split(":")[0]


def chance_layers(chance: float, lines: Sequence[Line], plane: PlotArea) -> list[alt.Chart]:
    """The rule and, where there is room, its word.

    Args:
        chance: accuracy of a guess, 0-1.
        lines: everything drawn in the panel that the word must not cross.
        plane: the panel.
    """
    rule = alt.Chart(pl.DataFrame({"accuracy": [chance]}))
    layers = [rule.mark_rule(strokeDash=[1, 3], style="muted-line").encode(y="accuracy:Q")]
    place = chance_label_position(chance, lines, plane)
    if place is None:
        return layers
    left, baseline = place
    word = rule.mark_text(align="left", baseline="middle", fontSize=CHANCE_FONT_PX, style="muted")
    return [*layers, word.encode(y=alt.value(baseline), x=alt.value(left), text=alt.value(WORD))]


def chance_label_position(chance: float, lines: Sequence[Line], plane: PlotArea) -> tuple[float, float] | None:
    """Left end and middle of the word in pixels: above the rule before beneath it, left before right, or nowhere."""
    _, rule = plane.pixel(plane.x_low, chance)
    wide, half = text_width(WORD, CHANCE_FONT_PX), CHANCE_FONT_PX / 2
    for middle in (rule - half - MARGIN_PX, rule + half + MARGIN_PX):
        for left in (MARGIN_PX, plane.width - MARGIN_PX - wide):
            inside = middle - half >= 0 and middle + half <= plane.height
            if inside and not any(_crosses(line, left, left + wide, middle, half, plane) for line in lines):
                return left, middle
    return None


def _crosses(line: Line, left: float, right: float, middle: float, half: float, plane: PlotArea) -> bool:
    """Whether a line comes within CLEAR_PX of a box; looked at about every three pixels."""
    across, down = np.array([plane.pixel(x, y) for x, y in line]).T
    at = np.linspace(left - CLEAR_PX, right + CLEAR_PX, 16)
    reach = half + CLEAR_PX
    heights = np.interp(at, across, down)
    return bool(heights.min() <= middle + reach and heights.max() >= middle - reach)
