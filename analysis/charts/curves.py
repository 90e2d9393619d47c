"""Severity curves as small multiples: accuracy from clean to the last severity, its chord, its interval, its shape."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import axes
from failmodes.analysis.charts.style.combining import in_grid, layered
from failmodes.analysis.charts.style.labels import LegendEntry, PlotArea, chance_layers, legend, spread_apart
from failmodes.analysis.charts.style.theme import (
    MODEL_COLOURS,
    MODEL_DASHES,
    PAGE,
    SHAPE_COLOURS,
    ChartSize,
    ChartText,
    Layered,
    add_text,
)
from failmodes.analysis.findings.corruption_cost import costliest_sentence
from failmodes.analysis.findings.curve_shape import STABLE, shape_of
from failmodes.analysis.formatting import SHAPE_NAMES, format_percent, format_severity, label_with_extra
from failmodes.analysis.selection import Selection, averaged_severities, corruption_labels, read_for_selection
from failmodes.analysis.statistics.curve_shape import chord

LABEL_GAP_PX = 12
RIGHT_PX = 34  # room for the last value
AXIS_PX = 42
PANEL_HEIGHT_PX = 130
BACKGROUND_GREY = "#A0A4AB"  # networks that are drawn behind the coloured ones


class PanelFrame(NamedTuple):
    """What all panels share.

    Attributes:
        plot_area: size and domains of a panel.
        chance: accuracy of a guess, 0-1; None where networks differ in it, or it is not known.
        colours: colour by network, of all networks in order.
        legend_names: the networks that are not in the grey background, with their names in the legend.
    """

    plot_area: PlotArea
    chance: float | None
    colours: dict[str, str]
    legend_names: dict[str, str]

    @property
    def shown_chance(self) -> float | None:
        """Chance, where it lies within the panels, clear of their floor."""
        return self.chance if self.chance is not None and self.chance >= self.plot_area.y_low + 0.005 else None

    @property
    def background(self) -> list[str]:
        """Networks that are drawn in grey."""
        return [label for label in self.colours if label not in self.legend_names]


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """Small multiples, one panel a corruption, by total drop; up to four networks in colour, more in grey behind two.

    Args:
        con: the warehouse, with shapes.
        selection: evaluations and corruptions.
        size: page or paper.
    """
    points = read_for_selection(con, "accuracy_by_severity", selection)
    shapes = read_for_selection(con, "shapes", selection)
    names = corruption_labels(con)
    order = _order(points, selection)
    columns = axes.corruption_columns(size, len(order))
    frame = _panel_frame(points, selection, (size.width_px - AXIS_PX - 16) / columns - RIGHT_PX - 10)
    panels = [
        _panel(
            points.filter(corruption=name), shapes.filter(corruption=name),
            label_with_extra(names[name], is_extra=name in selection.extras), frame, is_left=not index % columns,
        )
        for index, name in enumerate(order)
    ]  # fmt: skip
    grid = in_grid(*panels, columns=columns, spacing={"row": 18, "column": 10})
    entries = _entries(frame) if len(frame.colours) > 1 else []
    text = _chart_text(con, selection, frame)
    return add_text([*legend(entries, size.width_px - AXIS_PX - 40), grid], text, size)


def _order(points: pl.DataFrame, selection: Selection) -> list[str]:
    """Corruptions by total drop, extras behind the others."""
    drops = points.filter(pl.col("severity") > 0).group_by("corruption").agg(pl.col("accuracy_drop").max())
    rows = drops.with_columns(is_extra=pl.col("corruption").is_in(selection.extras))
    rows = rows.sort("is_extra", "accuracy_drop", "corruption", descending=[False, True, False])
    return rows["corruption"].to_list()


def _panel_frame(points: pl.DataFrame, selection: Selection, width_px: float) -> PanelFrame:
    """The frame; in colour are up to four networks, or those with the largest and the smallest mean accuracy."""
    lowest = float(points.select(pl.col("accuracy_low").min()).item())
    low = 0.0 if lowest < 0.4 else int(lowest * 10 - 0.25) / 10
    plot_area = PlotArea(0, axes.last_severity(points), low, 1.0, width_px, PANEL_HEIGHT_PX)
    chance = selection.chance
    labels = list(selection.labels.values())
    if len(labels) <= len(MODEL_COLOURS):
        return PanelFrame(plot_area, chance, dict(zip(labels, MODEL_COLOURS, strict=False)), {k: k for k in labels})
    means = _mean_corrupted_accuracy(points, selection.averaged)
    known = [label for label in labels if label in means]
    most, least = max(known, key=means.__getitem__), min(reversed(known), key=means.__getitem__)
    legend_names = {label: f"{label}, {rank} mean accuracy ({format_percent(means[label])})"
                    for label, rank in ((most, "highest"), (least, "lowest"))}  # fmt: skip
    coloured = dict(zip(legend_names, MODEL_COLOURS, strict=False))
    colours = {label: coloured.get(label, BACKGROUND_GREY) for label in labels}
    return PanelFrame(plot_area, chance, colours, legend_names)


def _mean_corrupted_accuracy(points: pl.DataFrame, averaged: Sequence[str]) -> dict[str, float]:
    """Mean accuracy by network over corruptions of their means over the severities that averages are over."""
    cells = points.filter(pl.col("corruption").is_in(list(averaged)))
    cells = cells.filter(pl.col("severity").is_in(averaged_severities(cells["severity"].unique())))
    curves = cells.group_by("label", "corruption").agg(pl.col("accuracy").mean())
    means = curves.group_by("label").agg(pl.col("accuracy").mean())
    return dict(means.select("label", "accuracy").rows())


def _entries(frame: PanelFrame) -> list[LegendEntry]:
    entries = [LegendEntry(name, frame.colours[label]) for label, name in frame.legend_names.items()]
    if frame.background:
        return [*entries, LegendEntry("the others", BACKGROUND_GREY)]
    return [entry._replace(dash=dash) for entry, dash in zip(entries, MODEL_DASHES, strict=False)]


def _chart_text(con: duckdb.DuckDBPyConnection, selection: Selection, frame: PanelFrame) -> ChartText:
    colour = "line colour: shape class" if len(frame.colours) == 1 else "line colour: network"
    if frame.background:
        colour = (
            f"in colour: of {len(frame.colours)} networks those with the highest and the lowest mean accuracy over "
            f"{selection.averaged_phrase}"
        )
    chance = "" if frame.shown_chance is None else f"; dotted: chance ({format_percent(frame.shown_chance)})"
    return ChartText(
        costliest_sentence(con, selection),
        f"Accuracy from clean (0) to severity {frame.plot_area.x_high:g} on {selection.images}; band: Wilson 95"
        f"\u00a0% interval; dashed: the chord that a steady fall would follow; {colour}{chance}; "
        f"above: the shape, where {format_percent(STABLE)} of resamples agree on it.",
        selection.source_line,
    )


def _panel(points: pl.DataFrame, shapes: pl.DataFrame, title: str, frame: PanelFrame, *, is_left: bool) -> Layered:
    """Lines with their intervals and chords, last values at their right and shapes above.

    Args:
        points: accuracy (0-1) with its interval, by label and severity.
        shapes: shape and stability by label.
        title: the corruption.
        frame: what all panels share.
        is_left: whether the axes carry their names and percentages.
    """
    plot_area, labels = frame.plot_area, list(frame.colours)
    _, y_scale = plot_area.scales()
    data = _with_chord(points)
    x = axes.severity_axis(plot_area.x_high, title=is_left)
    y = alt.Y("accuracy:Q", title="accuracy" if is_left else None, scale=y_scale,
              axis=axes.percent_axis(labels=is_left, ticks=is_left, domain=False))  # fmt: skip
    colour: Any = alt.Color("label:N", title=None, sort=labels, legend=None,
                            scale=alt.Scale(domain=labels, range=list(frame.colours.values())))  # fmt: skip
    if len(labels) == 1:
        colour = alt.ColorValue(SHAPE_COLOURS[shape_of(shapes.row(0, named=True)) if len(shapes) else "flat"])
    dash: Any = alt.StrokeDashValue([1, 0])
    if 1 < len(labels) <= len(MODEL_DASHES):
        dash = alt.StrokeDash("label:N", sort=labels, legend=None,
                              scale=alt.Scale(domain=labels, range=list(MODEL_DASHES[: len(labels)])))  # fmt: skip
    base = alt.Chart(data).encode(x=x, y=y, detail=alt.Detail("label:N"))
    behind = base.transform_filter(alt.FieldOneOfPredicate("label", frame.background))
    front = base.transform_filter(alt.FieldOneOfPredicate("label", list(frame.legend_names)))
    tips = [alt.Tooltip("label:N", title="network"), alt.Tooltip("severity:Q"),
            alt.Tooltip("accuracy:Q", format=".1%"), alt.Tooltip("accuracy_low:Q", format=".1%", title="from"),
            alt.Tooltip("accuracy_high:Q", format=".1%", title="to")]  # fmt: skip
    lines = [part.select("severity", "accuracy").rows() for part in data.partition_by("label", maintain_order=True)]
    layers = [
        *([] if frame.shown_chance is None else chance_layers(frame.shown_chance, lines, plot_area)),
        *([behind.mark_line(strokeWidth=1.1, color=BACKGROUND_GREY, opacity=0.8)] if frame.background else []),
        front.mark_line(strokeDash=[3, 3], strokeWidth=1, style="muted-line", opacity=0.75).encode(
            y=alt.Y("chord:Q", scale=y_scale)),
        front.mark_area(opacity=0.22).encode(y=y.copy(), y2=alt.Y2("accuracy_high:Q"), color=colour)
        .transform_calculate(accuracy="datum.accuracy_low"),
        front.mark_line(strokeWidth=1.8).encode(color=colour, strokeDash=dash),
        front.mark_point(size=axes.point_size(data), filled=True, opacity=1).encode(color=colour, tooltip=tips),
        alt.Chart(_last_values(data, frame)).mark_text(align="left", dx=6, fontSize=11, fontWeight="bold").encode(
            x=x, y=alt.Y("place:Q"), text=alt.Text("text:N"), color=colour),
        *_shape_lines(shapes, frame),
    ]  # fmt: skip
    return layered(*layers, width=plot_area.width, height=PANEL_HEIGHT_PX, title=axes.panel_title(title, offset=4))


def _with_chord(points: pl.DataFrame) -> pl.DataFrame:
    columns = ["label", "severity", "accuracy", "accuracy_low", "accuracy_high"]
    parts = []
    for part in points.select(columns).sort("label", "severity").partition_by("label", maintain_order=True):
        line = chord(part["accuracy"].to_numpy(), part["severity"].to_numpy())
        parts.append(part.with_columns(pl.Series("chord", line), is_last=pl.col("severity") == part["severity"].max()))
    return pl.concat(parts)


def _last_values(data: pl.DataFrame, frame: PanelFrame) -> pl.DataFrame:
    """The last accuracy of each coloured network as text, and the height at which it is printed."""
    ends = data.filter(pl.col("is_last") & pl.col("label").is_in(list(frame.legend_names)))
    low, high = frame.plot_area.y_low, frame.plot_area.y_high
    gap = LABEL_GAP_PX / PANEL_HEIGHT_PX * (high - low)
    heights = spread_apart(ends["accuracy"].to_list(), gap)
    below = min(0.0, min(heights, default=0) - (low + gap / 3))
    return ends.select(
        "label", "severity", place=pl.Series([height - below for height in heights], dtype=pl.Float64),
        text=pl.Series([format_percent(value, 0) for value in ends["accuracy"]], dtype=pl.String),
    )  # fmt: skip


def _shape_lines(shapes: pl.DataFrame, frame: PanelFrame) -> list[alt.Chart]:
    """Above the panel, a line a coloured network: its shape, and from where it is at chance."""
    rows = {row["label"]: row for row in shapes.rows(named=True)}
    shown = [label for label in frame.legend_names if label in rows]
    layers = []
    for index, label in enumerate(shown):
        shape, chance = shape_of(rows[label]), rows[label]["chance_from"]
        at_chance = "" if chance is None else f", at chance from {format_severity(chance)}"
        colour = SHAPE_COLOURS[shape] if len(frame.colours) == 1 else frame.colours[label]
        text = alt.Chart(pl.DataFrame({"text": [f"{SHAPE_NAMES[shape]}{at_chance}"]})).mark_text(
            align="left", baseline="bottom", fontSize=11, color=colour
        )
        y = -5 - 13 * (len(shown) - 1 - index)
        layers.append(text.encode(x=alt.XValue(0), y=alt.YValue(y), text=alt.Text("text:N")))
    return layers
