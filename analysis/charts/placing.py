"""Where labels go so that they touch neither each other nor the points."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

LETTER_SHARE = 0.56  # width of an average letter in font sizes

Align = Literal["left", "right", "center"]
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


class Placed(NamedTuple):
    """A label's anchor in pixels and which side of the anchor it grows to."""

    x: float
    y: float
    align: Align


class Plane(NamedTuple):
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
) -> list[Placed]:
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


def _places(x: float, y: float, font_px: float) -> list[Placed]:
    """Places about a point, the nearest first: beside it, above and below, then on wider rings."""
    found = [Placed(x + 8, y, "left"), Placed(x - 8, y, "right")]
    for ring in (1.0, 1.7, 2.6, 3.6, 4.8):
        down, across = ring * font_px, 6 + 2 * ring
        found += [Placed(x + across, y + dy, "left") for dy in (-down, down)]
        found += [Placed(x - across, y + dy, "right") for dy in (-down, down)]
        found += [Placed(x, y + dy, "center") for dy in (-down, down)]
        found += [Placed(x + 8 + ring * font_px, y, "left"), Placed(x - 8 - ring * font_px, y, "right")]
    return found


def _box(place: Placed, label: str, font_px: float) -> tuple[Placed, Box]:
    wide = text_width(label, font_px)
    left = place.x - {"left": 0.0, "right": wide, "center": wide / 2}[place.align]
    return place, (left, place.y - 0.65 * font_px, left + wide, place.y + 0.65 * font_px)


def _cost(box: Box, taken: Sequence[Box], width: float, height: float) -> float:
    outside = max(0, -box[0]) + max(0, box[2] - width) + max(0, -box[1]) + max(0, box[3] - height)
    return 20 * outside + sum(_overlap(box, other) for other in taken)


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
