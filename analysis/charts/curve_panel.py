"""One panel of the severity curves: a corruption, with a line a network.

Which of many networks stand out in colour: those with the largest and the smallest mean accuracy.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import polars as pl

from failmodes.analysis.charts.style.axes import point_size, severity_axis
from failmodes.analysis.charts.style.labels import PlotArea, chance_layers, spread_apart
from failmodes.analysis.charts.style.theme import (
    MODEL_COLOURS,
    MODEL_DASHES,
    MOST_COLOURED,
    PERCENT_AXIS,
    SHAPE_COLOURS,
    Layered,
)
from failmodes.analysis.formatting import SHAPE_WORDS, format_percent
from failmodes.analysis.statistics.curve_shape import chord

LABEL_GAP_PX = 12

RIGHT_PX = 34  # room for the last value

AXIS_PX = 42

PANEL_HEIGHT_PX = 130

BACKGROUND_GREY = "#A0A4AB"  # networks that stand behind the coloured ones


class Highlights(NamedTuple):
    """All networks in order with their colours; those in colour, and what a key calls them."""

    labels: list[str]
    colours: list[str]
    coloured: list[str]
    names: list[str]

    @property
    def is_partial(self) -> bool:
        """Whether some networks stand behind in grey."""
        return len(self.coloured) < len(self.labels)


class CurvePanelFrame(NamedTuple):
    """What all panels share: pixel size, y domain, last severity, chance level, and the networks."""

    width_px: float
    low: float
    high: float
    last: float
    chance: float
    networks: Highlights

    @property
    def labels(self) -> list[str]:
        """All networks."""
        return self.networks.labels

    @property
    def shows_chance(self) -> bool:
        """Whether chance lies within the panels, clear of their floor."""
        return self.chance >= self.low + 0.005

    @property
    def plane(self) -> PlotArea:
        """A panel."""
        return PlotArea(0, self.last, self.low, self.high, self.width_px, PANEL_HEIGHT_PX)


def curve_panel(
    points: pl.DataFrame, shapes: pl.DataFrame, title: str, frame: CurvePanelFrame, *, is_left: bool
) -> Layered:
    """Lines with their intervals and chords, last values at their right and shapes above.

    Args:
        points: accuracy (0-1) with its interval, by label and severity.
        shapes: shape and stability by label.
        title: the corruption.
        frame: what all panels share.
        is_left: whether the axes carry their names.
    """
    single = len(frame.labels) == 1
    data = _with_chord(points)
    x, y, scale = _axes(frame, is_left=is_left)
    shape = shapes["shape"][0] if len(shapes) else "flat"
    colour: Any = (
        alt.value(SHAPE_COLOURS[shape])
        if single
        else alt.Color("label:N", title=None, sort=frame.labels,
                       scale=alt.Scale(domain=frame.labels, range=frame.networks.colours), legend=None)
    )  # fmt: skip
    dash: Any = (
        alt.value([1, 0])
        if single or len(frame.labels) > MOST_COLOURED
        else alt.StrokeDash("label:N", sort=frame.labels, legend=None,
                            scale=alt.Scale(domain=frame.labels, range=list(MODEL_DASHES[: len(frame.labels)])))
    )  # fmt: skip
    base = alt.Chart(data).encode(x=x, y=y, detail="label:N")
    front = base.transform_filter(alt.FieldOneOfPredicate("label", frame.networks.coloured))
    tips = [alt.Tooltip("label:N", title="network"), alt.Tooltip("severity:Q"),
            alt.Tooltip("accuracy:Q", format=".1%"), alt.Tooltip("accuracy_low:Q", format=".1%", title="from"),
            alt.Tooltip("accuracy_high:Q", format=".1%", title="to")]  # fmt: skip
    layers = [
        *_chance(data, frame),
        *_behind(base, frame),
        front.mark_line(strokeDash=[3, 3], strokeWidth=1, style="muted-line", opacity=0.75).encode(
            y=alt.Y("chord:Q", scale=scale)
        ),
        front.mark_area(opacity=0.22).encode(y=y.copy(), y2="accuracy_high:Q", color=colour)
        .transform_calculate(accuracy="datum.accuracy_low"),
        front.mark_line(strokeWidth=1.8).encode(color=colour, strokeDash=dash),
        front.mark_point(size=point_size(data), filled=True, opacity=1).encode(color=colour, tooltip=tips),
        *_last_values(data, frame, colour, x),
        *_shape_lines(shapes, frame),
    ]  # fmt: skip
    return alt.layer(
        *layers, width=frame.width_px, height=PANEL_HEIGHT_PX, title=alt.Title(title, offset=4, frame="group")
    )


def _axes(frame: CurvePanelFrame, *, is_left: bool) -> tuple[alt.X, alt.Y, alt.Scale]:
    """Shared axes; names and percentages stand at the left column only."""
    shares = alt.Axis(labelExpr=PERCENT_AXIS, tickCount=5, labels=is_left, ticks=is_left, domain=False)
    scale = alt.Scale(domain=[frame.low, frame.high], nice=False)
    x = severity_axis(frame.last, title=is_left)
    return x, alt.Y("accuracy:Q", title="accuracy" if is_left else None, scale=scale, axis=shares), scale


def _behind(base: alt.Chart, frame: CurvePanelFrame) -> list[alt.Chart]:
    """The networks in grey, thin and beneath all else."""
    if not frame.networks.is_partial:
        return []
    others = [label for label in frame.labels if label not in frame.networks.coloured]
    lines = base.transform_filter(alt.FieldOneOfPredicate("label", others))
    return [lines.mark_line(strokeWidth=1.1, color=BACKGROUND_GREY, opacity=0.8)]


def _with_chord(points: pl.DataFrame) -> pl.DataFrame:
    columns = ["label", "severity", "accuracy", "accuracy_low", "accuracy_high"]
    parts = []
    for part in points.select(columns).sort("label", "severity").partition_by("label", maintain_order=True):
        line = chord(part["accuracy"].to_numpy(), part["severity"].to_numpy())
        parts.append(part.with_columns(pl.Series("chord", line), is_last=pl.col("severity") == part["severity"].max()))
    return pl.concat(parts)


def _chance(data: pl.DataFrame, frame: CurvePanelFrame) -> list[alt.Chart]:
    if not frame.shows_chance:
        return []
    lines = [part.select("severity", "accuracy").rows() for part in data.partition_by("label", maintain_order=True)]
    return chance_layers(frame.chance, lines, frame.plane)


def _last_values(data: pl.DataFrame, frame: CurvePanelFrame, colour: Any, x: alt.X) -> list[alt.Chart]:
    """The last accuracy of each coloured network, right of its line."""
    ends = data.filter(pl.col("is_last") & pl.col("label").is_in(frame.networks.coloured))
    gap = LABEL_GAP_PX / PANEL_HEIGHT_PX * (frame.high - frame.low)
    places = spread_apart(ends["accuracy"].to_list(), gap)
    floor = min(places, default=0) - (frame.low + gap / 3)
    places = [place - min(0.0, floor) for place in places]
    ends = ends.select(
        "label", "severity", place=pl.Series(places, dtype=pl.Float64),
        text=pl.Series([format_percent(value, 0) for value in ends["accuracy"]], dtype=pl.String),
    )  # fmt: skip
    text = alt.Chart(ends).mark_text(align="left", dx=6, fontSize=11, fontWeight="bold")
    return [text.encode(x=x, y="place:Q", text="text:N", color=colour)]


def _shape_lines(shapes: pl.DataFrame, frame: CurvePanelFrame) -> list[alt.Chart]:
    """Above the panel, a line a coloured network: its shape and how stable it is."""
    rows = {row["label"]: row for row in shapes.rows(named=True)}
    shown = [label for label in frame.networks.coloured if label in rows]
    layers = []
    for place, label in enumerate(shown):
        row = rows[label]
        words = f"{SHAPE_WORDS[row['shape']]} ({format_percent(row['stability'], 0)})"
        colour = (
            SHAPE_COLOURS[row["shape"]] if len(frame.labels) == 1 else frame.networks.colours[frame.labels.index(label)]
        )
        text = alt.Chart(pl.DataFrame({"text": [words]})).mark_text(
            align="left", baseline="bottom", fontSize=11, color=colour
        )
        y = -5 - 13 * (len(shown) - 1 - place)
        layers.append(text.encode(x=alt.value(0), y=alt.value(y), text="text:N"))
    return layers


def choose_highlights(labels: list[str], points: pl.DataFrame, averaged: Sequence[str]) -> Highlights:
    """Up to four networks in colour; of more, the one with the largest and the one with the smallest mean accuracy.

    Args:
        labels: the networks.
        points: accuracy (0-1) by label, corruption and severity.
        averaged: corruptions that the mean is over.
    """
    if len(labels) <= MOST_COLOURED:
        return Highlights(labels, list(MODEL_COLOURS[: len(labels)]), labels, labels)
    means = mean_corrupted_accuracy(points, averaged)
    known = [label for label in labels if label in means]
    most, least = max(known, key=means.__getitem__), min(reversed(known), key=means.__getitem__)
    named = {least: f"{least}, lowest mean accuracy ({format_percent(means[least])})",
             most: f"{most}, highest mean accuracy ({format_percent(means[most])})"}  # fmt: skip
    coloured = list(dict.fromkeys((most, least)))
    colours = [MODEL_COLOURS[coloured.index(label)] if label in coloured else BACKGROUND_GREY for label in labels]
    return Highlights(labels, colours, coloured, [named[label] for label in coloured])


def mean_corrupted_accuracy(points: pl.DataFrame, averaged: Sequence[str]) -> dict[str, float]:
    """Mean accuracy by network over corruptions of their means over whole severities, or over all if none is whole."""
    cells = points.filter(pl.col("corruption").is_in(list(averaged)), pl.col("severity") > 0)
    whole = cells.filter(pl.col("severity") % 1 == 0)
    curves = (whole if len(whole) else cells).group_by("label", "corruption").agg(pl.col("accuracy").mean())
    means = curves.group_by("label").agg(pl.col("accuracy").mean())
    return dict(means.select("label", "accuracy").rows())
