"""Text marks at the places that `placing` found."""

from collections.abc import Sequence

import altair as alt
import polars as pl

from analysis.charts.placing import Align, Box, Plane, place_labels

FONT_PX = 11


def label_layers(
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    plane: Plane,
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
