"""Names beside points: each nearest to its own point, else tied to it by a thin line, else left out."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import altair as alt
import numpy as np
import polars as pl
from numpy.typing import NDArray

from failmodes.analysis.charts.style.axes import COLOR_FIELD
from failmodes.analysis.charts.style.combining import layered
from failmodes.analysis.charts.style.labels import FONT_PX, Box, PlotArea, text_width
from failmodes.analysis.charts.style.theme import Layered
from failmodes.analysis.render.formatting import MAX_LISTED, join_names, lower_label

NEARER_PX = 2  # by so much at least a name is nearer to its own point than to any other
POINT_PX = 5  # half the side of what a point covers
LEADER_STEPS = 12  # places along a leader that are looked at
LEADER_PX = 11  # a name farther than this from its point has a line to it
LEADER_PENALTY = 60  # square pixels that a label rather covers than to stand so far away
Align = Literal["left", "right", "center"]
Point = tuple[float, float]  # (x, y) in pixels from the top left of the plot
Points = NDArray[np.float64]


class LabelPosition(NamedTuple):
    """A label's anchor in pixels, which side of the anchor it grows to, and whether a line ties it to its point."""

    x: float
    y: float
    align: Align
    has_leader: bool = False


class PlacedLabels(NamedTuple):
    """Layers that name points, and the names that there was no room for."""

    layers: list[alt.Chart | Layered]
    unnamed: list[str]


def place_labels(
    points: Sequence[Point],
    labels: Sequence[str],
    *,
    width: float,
    height: float,
    obstacles: Sequence[Box] = (),
    others: Sequence[tuple[str, Point]] = (),
) -> list[LabelPosition | None]:
    """Put each label beside its point, at the nearest position that is free, or at the least crowded.

    A label without a leader is nearer to its own point than to any other; one with a leader covers no other point;
    where neither is possible there is none. Points far from the middle of all are served first.

    Args:
        points: the labeled points.
        labels: texts, one a point.
        width: of the plot, pixels; labels stay inside.
        height: of the plot, pixels.
        obstacles: further boxes to stay clear of if possible, such as intervals and paths.
        others: further points, each with the label that it belongs to, such as those of other models.
    """
    owned = [*zip(labels, points, strict=True), *others]
    owners = np.array([name for name, _ in owned])
    marks = np.array([point for _, point in owned], float).reshape(-1, 2)
    free = np.array(list(obstacles), float).reshape(-1, 4)
    names = np.empty((0, 4))
    placed: list[LabelPosition | None] = [None] * len(points)
    for index in _outermost_first(points):
        candidates = _candidates(points[index], labels[index])
        boxes = np.array([label_box(position, labels[index]) for position in candidates])
        allowed = _inside(boxes, width, height) & ~(covered(boxes, names, 1) > 0).any(axis=1)
        is_own = owners == labels[index]
        is_near, is_clear = _is_nearest(boxes, marks, is_own), _clear_of(boxes, marks)
        leads = np.array([c.has_leader for c in candidates])
        passes = ~_runs_into(points[index], candidates, np.delete(marks[: len(points)], index, axis=0))
        allowed &= is_clear & np.where(leads, passes, is_near)
        if allowed.any():
            length = distances(boxes, marks[[index]])[:, 0]
            penalties = (
                covered(boxes, free).sum(axis=1) + (LEADER_PENALTY + length) * leads + 0.5 * np.arange(len(boxes))
            )
            best = int(np.where(allowed, penalties, np.inf).argmin())
            placed[index] = candidates[best]
            names = np.vstack([names, boxes[best]])
    return placed


def label_box(position: LabelPosition, label: str) -> Box:
    """What a label covers: left, top, right, bottom in pixels."""
    wide = text_width(label, FONT_PX)
    left = position.x - {"left": 0.0, "right": wide, "center": wide / 2}[position.align]
    return left, position.y - 0.65 * FONT_PX, left + wide, position.y + 0.65 * FONT_PX


def distances(boxes: Points, points: Points) -> Points:
    """Pixels (B, P) between each box (B, 4) and each point (P, 2); 0 inside."""
    left, top, right, bottom = (boxes[:, [side]] for side in range(4))
    across = np.maximum(0, np.maximum(left - points[:, 0], points[:, 0] - right))
    down = np.maximum(0, np.maximum(top - points[:, 1], points[:, 1] - bottom))
    between: Points = np.hypot(across, down)
    return between


def covered(boxes: Points, taken: Points, pad: float = 0) -> Points:
    """Square pixels (B, T) that each box (B, 4), `pad` wider on every side, covers of each of those taken (T, 4)."""
    left, top, right, bottom = (boxes[:, [side]] for side in range(4))
    across = np.minimum(right + pad, taken[:, 2]) - np.maximum(left - pad, taken[:, 0])
    down = np.minimum(bottom + pad, taken[:, 3]) - np.maximum(top - pad, taken[:, 1])
    shared: Points = np.maximum(0, across) * np.maximum(0, down)
    return shared


def _runs_into(point: Point, candidates: Sequence[LabelPosition], rivals: Points) -> NDArray[np.bool_]:
    """Whether the line from a point to each label comes upon another labeled point, as though it led there."""
    ends = np.array([(candidate.x, candidate.y) for candidate in candidates])
    steps = np.linspace(0, 1, LEADER_STEPS)[:, None, None]
    along = np.array(point) * (1 - steps) + ends * steps  # (steps, candidates, 2)
    between = np.hypot(*np.moveaxis(along[:, :, None] - rivals, -1, 0))
    near: NDArray[np.bool_] = (between < POINT_PX).any(axis=(0, 2))
    return near


def line_boxes(pixels: Sequence[Point]) -> list[Box]:
    """Boxes along a line through these points, so that labels stay off it."""
    boxes = []
    for (x0, y0), (x1, y1) in pairwise(pixels):
        for step in range(11):
            x, y = x0 + (x1 - x0) * step / 10, y0 + (y1 - y0) * step / 10
            boxes.append((x - 3, y - 3, x + 3, y + 3))
    return boxes


def _outermost_first(points: Sequence[Point]) -> list[int]:
    """Indices of points by distance from the middle of all, the farthest first."""
    if not points:
        return []
    spread = np.array(points) - np.median(points, axis=0)
    return list(map(int, np.argsort(-np.hypot(*spread.T), kind="stable")))


def _candidates(point: Point, label: str) -> list[LabelPosition]:
    """Positions without and, farther out, with a leader."""
    positions = list(_positions(*point))
    boxes = np.array([label_box(position, label) for position in positions])
    leads = (distances(boxes, np.array([point]))[:, 0] > LEADER_PX).tolist()
    placed = [p._replace(has_leader=far) for p, far in zip(positions, leads, strict=True)]
    return [p for p in placed if not (p.has_leader and p.align == "center")]  # its line would run into the text


def _positions(x: float, y: float) -> Iterator[LabelPosition]:
    """Positions about a point, the nearest first: beside it, above and below, then on wider rings."""
    yield LabelPosition(x + 8, y, "left")
    yield LabelPosition(x - 8, y, "right")
    for ring in (1.2, 1.5, 2.2, 3.0, 4.0, 5.2, 6.6):
        down, across = ring * FONT_PX, 6 + 2 * ring
        sides: tuple[tuple[float, Align], ...] = ((across, "left"), (-across, "right"), (0.0, "center"))
        yield from (LabelPosition(x + dx, y + dy, align) for dx, align in sides for dy in (-down, down))
        yield LabelPosition(x + 8 + down, y, "left")
        yield LabelPosition(x - 8 - down, y, "right")


def _inside(boxes: Points, width: float, height: float) -> NDArray[np.bool_]:
    left, top, right, bottom = boxes.T
    inside: NDArray[np.bool_] = (left >= 0) & (top >= 0) & (right <= width) & (bottom <= height)
    return inside


def _is_nearest(boxes: Points, marks: Points, is_own: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each box is clearly nearer to a point of its own than to any other."""
    between = distances(boxes, marks)
    own, other = between[:, is_own].min(axis=1), between[:, ~is_own].min(axis=1, initial=np.inf)
    nearer: NDArray[np.bool_] = own + NEARER_PX <= other
    return nearer


def _clear_of(boxes: Points, marks: Points) -> NDArray[np.bool_]:
    """Whether each box covers no point."""
    clear: NDArray[np.bool_] = distances(boxes, marks).min(axis=1) >= POINT_PX
    return clear


def label_layers(
    points: pl.DataFrame,
    x: alt.X,
    y: alt.Y,
    plot_area: PlotArea,
    obstacles: Sequence[Box],
    others: pl.DataFrame | None = None,
) -> PlacedLabels:
    """A layer of text for each alignment that occurs, and one of leaders.

    Args:
        points: what is labeled: the fields of `x` and `y` in data units, `name`, and `color`, or null for black.
        x: the plot's x channel.
        y: the plot's y channel.
        plot_area: the plot.
        obstacles: boxes in pixels to stay clear of.
        others: further points that the plot shows, with the name that each belongs to.
    """
    fields = [str(channel.shorthand).split(":")[0] for channel in (x, y)]
    pixels = [plot_area.pixel(*point) for point in points.select(fields).rows()]
    rest = [] if others is None else others.select("name", *fields).rows()
    placed = place_labels(
        pixels, points["name"].to_list(), width=plot_area.width, height=plot_area.height, obstacles=obstacles,
        others=[(name, plot_area.pixel(*point)) for name, *point in rest],
    )  # fmt: skip
    rows = points.select("name", "color", *fields).rows()
    shown = [(*row, *plot_area.data(p.x, p.y), p.align, p.has_leader) for row, p in zip(rows, placed, strict=True) if p]
    schema = ["name", "color", "at_x", "at_y", *fields, "align", "leads"]
    labels = pl.DataFrame(shown, schema=schema, orient="row") if shown else pl.DataFrame(schema=schema)
    texts = [_texts(part, x, y) for part in labels.sort("align", maintain_order=True).partition_by("align")]
    leaders = labels.filter(pl.col("leads").cast(pl.Boolean))
    lines = [_leaders(leaders, x, y)] if len(leaders) else []
    return PlacedLabels([*lines, *texts], [row[0] for row, p in zip(rows, placed, strict=True) if not p])


def _texts(labels: pl.DataFrame, x: alt.X, y: alt.Y) -> alt.Chart:
    is_colored = not labels["color"].null_count()
    mark: dict[str, Any] = {"baseline": "middle", "fontSize": FONT_PX} | ({} if is_colored else {"style": "ink"})
    color: dict[str, Any] = {"color": COLOR_FIELD} if is_colored else {}
    base = alt.Chart(labels.drop("align", "leads", "at_x", "at_y"))
    made: alt.Chart = base.mark_text(align=labels["align"][0], **mark).encode(x, y, text=alt.Text("name:N"), **color)
    return made


def _leaders(labels: pl.DataFrame, x: alt.X, y: alt.Y) -> Layered:
    """A thin line from each point to the near end of its name."""
    base = alt.Chart(labels.drop("align", "leads", "color"))
    line = base.mark_rule(style="muted-line", strokeWidth=0.6)
    return layered(line.encode(x=x, y=y, x2=alt.X2("at_x:Q"), y2=alt.Y2("at_y:Q")))


def unnamed_note(panels: Sequence[PlacedLabels]) -> str:
    """Which names had no room, for a subtitle; nothing where all had."""
    names = [name for panel in panels for name in panel.unnamed]
    if not names:
        return ""
    if len(panels) > 1 or len(names) > MAX_LISTED:
        return " Some, the innermost, are not named for want of room."
    return f" Not named, for want of room: {join_names(lower_label(name) for name in names)}."
