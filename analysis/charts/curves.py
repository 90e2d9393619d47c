"""Severity curves as small multiples: accuracy from clean to the last severity, its chord, its interval, its shape."""

from typing import Any, NamedTuple

import altair as alt
import duckdb
import polars as pl

from analysis.charts.axes import panel_columns, point_size, severity_axis
from analysis.charts.key import Entry, key
from analysis.charts.placing import spread_apart
from analysis.selection import Selection, corruption_labels, table
from analysis.shapes import chord
from analysis.statements import dearest_sentence, last_level, settings_of
from analysis.theme import (
    MODEL_COLOURS,
    MODEL_DASHES,
    MOST_COLOURED,
    PAGE,
    PERCENT_AXIS,
    SHAPE_COLOURS,
    Layered,
    Layout,
    Words,
    dress,
)
from analysis.words import SHAPE_WORDS, flagged, percent

LABEL_GAP_PX = 12
RIGHT_PX = 34  # room for the last value
AXIS_PX = 42
PANEL_HEIGHT_PX = 130
BEHIND = "#A0A4AB"  # networks that stand behind the coloured one


class Frame(NamedTuple):
    """What all panels share: pixel size, y domain, last severity, chance level, the networks, and emphasis."""

    width_px: float
    low: float
    high: float
    last: float
    chance: float
    labels: list[str]
    colours: list[str]
    coloured: list[str]


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, layout: Layout = PAGE) -> alt.VConcatChart:
    """Small multiples, one panel a corruption, by total drop; up to four networks in colour, more in grey behind one.

    Args:
        con: the warehouse, with shapes.
        selection: evaluations and corruptions.
        layout: page or paper.
    """
    points, shapes = table(con, "accuracy_by_severity", selection), table(con, "shapes", selection)
    names = corruption_labels(con)
    order = _order(points, selection)
    columns = panel_columns(layout, len(order))
    frame = _frame(points, selection, layout, columns)
    panels = [
        _panel(
            points.filter(corruption=name), shapes.filter(corruption=name),
            flagged(names[name], is_extra=name in selection.extras), frame, is_left=not index % columns,
        )
        for index, name in enumerate(order)
    ]  # fmt: skip
    grid = alt.concat(*panels, columns=columns, spacing={"row": 18, "column": 10})
    keys = [key(_entries(frame), layout.width_px - AXIS_PX - 40)] if len(frame.labels) > 1 else []
    return dress([*keys, grid], _words(con, selection, points, frame), layout)


def _order(points: pl.DataFrame, selection: Selection) -> list[str]:
    """Corruptions by total drop, extras behind the others."""
    drops = points.filter(pl.col("severity") > 0).group_by("corruption").agg(pl.col("accuracy_drop").max())
    rows = drops.with_columns(is_extra=pl.col("corruption").is_in(selection.extras))
    rows = rows.sort("is_extra", "accuracy_drop", "corruption", descending=[False, True, False])
    return rows["corruption"].to_list()


def _frame(points: pl.DataFrame, selection: Selection, layout: Layout, columns: int) -> Frame:
    labels = list(selection.labels.values())
    coloured = labels if len(labels) <= MOST_COLOURED else labels[:1]
    chance = 1 / int(selection.shared["class_count"])
    lowest = float(points.select(pl.col("accuracy_low").min()).item())
    low = 0.0 if lowest < 0.4 else int(lowest * 10 - 0.25) / 10
    width = (layout.width_px - AXIS_PX - 16) / columns - RIGHT_PX - 10
    last = last_level(points)
    return Frame(width, low, 1.0, last, chance, labels, _colours(labels, coloured), coloured)


def _colours(labels: list[str], coloured: list[str]) -> list[str]:
    return [MODEL_COLOURS[coloured.index(label)] if label in coloured else BEHIND for label in labels]


def _panel(points: pl.DataFrame, shapes: pl.DataFrame, title: str, frame: Frame, *, is_left: bool) -> Layered:
    single = len(frame.labels) == 1
    data = _with_chord(points)
    x, y, scale = _axes(frame, is_left=is_left)
    shape = shapes["shape"][0] if len(shapes) else "flat"
    colour: Any = (
        alt.value(SHAPE_COLOURS[shape])
        if single
        else alt.Color("label:N", title=None, sort=frame.labels,
                       scale=alt.Scale(domain=frame.labels, range=frame.colours), legend=None)
    )  # fmt: skip
    dash: Any = (
        alt.value([1, 0])
        if single or len(frame.labels) > MOST_COLOURED
        else alt.StrokeDash("label:N", sort=frame.labels, legend=None,
                            scale=alt.Scale(domain=frame.labels, range=list(MODEL_DASHES[: len(frame.labels)])))
    )  # fmt: skip
    base = alt.Chart(data).encode(x=x, y=y, detail="label:N")
    front = base.transform_filter(alt.FieldOneOfPredicate("label", frame.coloured))
    tips = [alt.Tooltip("label:N", title="network"), alt.Tooltip("severity:Q"),
            alt.Tooltip("accuracy:Q", format=".1%"), alt.Tooltip("accuracy_low:Q", format=".1%", title="from"),
            alt.Tooltip("accuracy_high:Q", format=".1%", title="to")]  # fmt: skip
    layers = [
        *_chance(frame),
        front.mark_line(strokeDash=[3, 3], strokeWidth=1, style="muted-line", opacity=0.75).encode(
            y=alt.Y("chord:Q", scale=scale)
        ),
        front.mark_area(opacity=0.22).encode(y=y.copy(), y2="accuracy_high:Q", color=colour)
        .transform_calculate(accuracy="datum.accuracy_low"),
        base.mark_line(strokeWidth=1.8).encode(color=colour, strokeDash=dash),
        front.mark_point(size=point_size(data), filled=True, opacity=1).encode(color=colour, tooltip=tips),
        *_last_values(data, frame, colour, x),
        *_shape_lines(shapes, frame),
    ]  # fmt: skip
    return alt.layer(
        *layers, width=frame.width_px, height=PANEL_HEIGHT_PX, title=alt.Title(title, offset=4, frame="group")
    )


def _axes(frame: Frame, *, is_left: bool) -> tuple[alt.X, alt.Y, alt.Scale]:
    """Shared axes; names and percentages stand at the left column only."""
    shares = alt.Axis(labelExpr=PERCENT_AXIS, tickCount=5, labels=is_left, ticks=is_left, domain=False)
    scale = alt.Scale(domain=[frame.low, frame.high], nice=False)
    x = severity_axis(frame.last, title=is_left)
    return x, alt.Y("accuracy:Q", title="accuracy" if is_left else None, scale=scale, axis=shares), scale


def _entries(frame: Frame) -> list[Entry]:
    dashes = MODEL_DASHES if len(frame.labels) <= MOST_COLOURED else ([1, 0],)
    shown = [*frame.coloured, *([] if len(frame.coloured) == len(frame.labels) else ["the other networks"])]
    colours = dict(zip([*frame.labels, "the other networks"], [*frame.colours, BEHIND], strict=True))
    return [Entry(label, colours[label], dashes[min(place, len(dashes) - 1)]) for place, label in enumerate(shown)]


def _with_chord(points: pl.DataFrame) -> pl.DataFrame:
    columns = ["label", "severity", "accuracy", "accuracy_low", "accuracy_high"]
    parts = []
    for part in points.select(columns).sort("label", "severity").partition_by("label", maintain_order=True):
        line = chord(part["accuracy"].to_numpy(), part["severity"].to_numpy())
        parts.append(part.with_columns(pl.Series("chord", line), is_last=pl.col("severity") == part["severity"].max()))
    return pl.concat(parts)


def _chance(frame: Frame) -> list[alt.Chart]:
    if frame.chance < frame.low + 0.005:
        return []
    rule = alt.Chart(pl.DataFrame({"accuracy": [frame.chance]}))
    line = rule.mark_rule(strokeDash=[1, 3], style="muted-line").encode(y="accuracy:Q")
    word = rule.mark_text(align="left", baseline="bottom", dx=3, dy=-2, fontSize=10, style="muted")
    return [line, word.encode(y="accuracy:Q", x=alt.value(0), text=alt.value("chance"))]


def _last_values(data: pl.DataFrame, frame: Frame, colour: Any, x: alt.X) -> list[alt.Chart]:
    """The last accuracy of each coloured network, right of its line."""
    ends = data.filter(pl.col("is_last") & pl.col("label").is_in(frame.coloured))
    gap = LABEL_GAP_PX / PANEL_HEIGHT_PX * (frame.high - frame.low)
    places = spread_apart(ends["accuracy"].to_list(), gap)
    floor = min(places, default=0) - (frame.low + gap / 3)
    places = [place - min(0.0, floor) for place in places]
    ends = ends.select(
        "label", "severity", place=pl.Series(places, dtype=pl.Float64),
        text=pl.Series([percent(value, 0) for value in ends["accuracy"]], dtype=pl.String),
    )  # fmt: skip
    text = alt.Chart(ends).mark_text(align="left", dx=6, fontSize=11, fontWeight="bold")
    return [text.encode(x=x, y="place:Q", text="text:N", color=colour)]


def _shape_lines(shapes: pl.DataFrame, frame: Frame) -> list[alt.Chart]:
    """Above the panel, a line a coloured network: its shape and how stable it is."""
    rows = {row["label"]: row for row in shapes.rows(named=True)}
    shown = [label for label in frame.coloured if label in rows]
    layers = []
    for place, label in enumerate(shown):
        row = rows[label]
        words = f"{SHAPE_WORDS[row['shape']]} ({percent(row['stability'], 0)})"
        colour = SHAPE_COLOURS[row["shape"]] if len(frame.labels) == 1 else frame.colours[frame.labels.index(label)]
        text = alt.Chart(pl.DataFrame({"text": [words]})).mark_text(
            align="left", baseline="bottom", fontSize=11, color=colour
        )
        y = -5 - 13 * (len(shown) - 1 - place)
        layers.append(text.encode(x=alt.value(0), y=alt.value(y), text="text:N"))
    return layers


def _words(con: duckdb.DuckDBPyConnection, selection: Selection, points: pl.DataFrame, frame: Frame) -> Words:
    colour = "line colour: shape class" if len(frame.labels) == 1 else "line colour: network"
    behind = "" if len(frame.coloured) == len(frame.labels) else f", {frame.coloured[0]} in colour, the others in grey"
    return Words(
        dearest_sentence(con, selection),
        f"Accuracy from clean (0) to severity {frame.last:g} on {selection.images}; band: Wilson 95"
        f"\u00a0% interval; dashed: the chord that a steady fall would follow; {colour}{behind}; "
        f"in brackets: share of {settings_of(con).resamples:,} resamples of the images that give the same shape.",
        selection.source_line,
    )
