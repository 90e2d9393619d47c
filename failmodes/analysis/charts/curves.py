"""Severity curves as small multiples: accuracy from clean to the last severity, its chord, its interval, its shape."""

from typing import Any, NamedTuple

import altair as alt
import duckdb
import numpy as np
import polars as pl

from failmodes.analysis.charts.model_colors import ModelColors, model_colors
from failmodes.analysis.charts.model_curves import band_phrase, model_curves, shape_line
from failmodes.analysis.charts.published_layers import PublishedBehind, published_behind
from failmodes.analysis.charts.style import axes
from failmodes.analysis.charts.style.combining import in_grid, layered, stacked
from failmodes.analysis.charts.style.focus import add_focus, focus_opacity, pointed_layer
from failmodes.analysis.charts.style.labels import (
    PlotArea,
    chance_layers,
    legend,
    running_text,
    spread_apart,
    text_width,
)
from failmodes.analysis.charts.style.theme import (
    GRAY,
    MODEL_DASHES,
    PAGE,
    ChartSize,
    ChartText,
    Layered,
    add_text,
    text_shade,
)
from failmodes.analysis.judging.findings.largest_drop import largest_drop_sentence
from failmodes.analysis.render.formatting import (
    format_interval,
    format_number,
    format_percent,
    label_with_extra,
)
from failmodes.analysis.selection import Selection, corruption_labels, read_for_selection
from failmodes.analysis.statistics.curve_shape import chord

LABEL_GAP_PX = 12
RIGHT_PX = 34  # room for the last value
AXIS_PX, TITLE_PX = 42, 12
PANEL_HEIGHT_PX, LEAST_HEIGHT_PX = 130, 44
FEWEST_FOLDED = 4  # of fewer panels none is left out for being flat


class PanelFrame(NamedTuple):
    """What all panels share.

    Attributes:
        plot_area: size and domains of a panel.
        chance: accuracy of a guess, 0-1; None where models differ in it, or it is not known.
        models: which are in color.
        published: models that others published, behind them.
    """

    plot_area: PlotArea
    chance: float | None
    models: ModelColors
    published: PublishedBehind

    @property
    def shown_chance(self) -> float | None:
        """Chance, where it lies within the panels, clear of their floor."""
        return self.chance if self.chance is not None and self.chance >= self.plot_area.y_low + 0.005 else None


def chart(
    con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE, published: bool = True
) -> alt.VConcatChart:
    """Small multiples, one panel a corruption, by total drop; up to four models in color, more in gray behind two.

    Corruptions under which every model stays flat share one line of text beneath the panels.

    Args:
        con: the warehouse, with shapes.
        selection: evaluations and corruptions.
        size: page or paper.
        published: whether published models on the data set are drawn behind, where the warehouse holds some.
    """
    models = model_colors(con, selection)
    points, runs = model_curves(con, selection, models)
    shapes = read_for_selection(con, "shapes", selection)
    names = corruption_labels(con)
    names = {name: label_with_extra(names[name], is_extra=name in selection.extras) for name in selection.corruptions}
    flat = _flat_corruptions(shapes, len(selection.corruptions))
    order = [corruption for corruption in _order(points, selection) if corruption not in flat]
    columns = axes.corruption_columns(size, len(order), max(text_width(names[c], TITLE_PX) for c in order))
    frame = _panel_frame(points, selection.chance, models, (size.width_px - AXIS_PX - 16) / columns - RIGHT_PX - 10,
                         size.height(PANEL_HEIGHT_PX, LEAST_HEIGHT_PX),
                         published_behind(con, selection, names, shown=published))  # fmt: skip
    drawn = _with_chords(points)
    panels = [
        _panel(
            drawn.filter(corruption=name), runs.filter(corruption=name), shapes.filter(corruption=name), names[name],
            frame, pointed_layer(index),
            is_left=not index % columns, is_last=index // columns == (len(order) - 1) // columns,
        )
        for index, name in enumerate(order)
    ]  # fmt: skip
    grid = in_grid(*panels, columns=columns, spacing={"row": 18, "column": 10})
    folded = running_text(_folded_text(shapes, flat, names, models), size.width_px - AXIS_PX - 24) if flat else []
    text = _chart_text(con, selection, frame)
    plot = stacked(grid, *folded, spacing=10) if folded else grid
    entries = [*models.entries(), *frame.published.entries()]
    chart = add_text([*legend(entries, size.width_px - AXIS_PX - 40), plot], text, size)
    return add_focus(chart, "label", len(panels))


def _flat_corruptions(shapes: pl.DataFrame, panels: int) -> list[str]:
    """Corruptions that are flat for every model, the costliest first; none where all are, or panels are few."""
    by_corruption = shapes.with_columns(is_flat=pl.col("shape") == "flat").group_by("corruption")
    rows = by_corruption.agg(pl.col("is_flat").all(), pl.col("total_drop").max())
    flat = rows.filter("is_flat").sort("total_drop", "corruption", descending=[True, False])["corruption"].to_list()
    return flat if len(flat) < panels and panels >= FEWEST_FOLDED else []


def _folded_text(shapes: pl.DataFrame, flat: list[str], names: dict[str, str], models: ModelColors) -> str:
    """Each flat corruption with the largest drop of a model, and its interval."""
    shown_drops = []
    for corruption in flat:
        row = shapes.filter(corruption=corruption).sort("total_drop", descending=True).row(0, named=True)
        interval = format_interval(row["total_drop_low"], row["total_drop_high"])
        shown_drops.append(f"{names[corruption]} ({format_number(100 * row['total_drop'])} {interval})")
    is_one = shapes["label"].n_unique() == 1
    each = "training run" if models.trained else "model"
    whose = "total drop in brackets" if is_one else f"for every {each}, largest total drop in brackets"
    margin = format_number(100 * shapes["flat_below"][0], 0)
    return f"Flat within {margin} points, {whose}: {', '.join(shown_drops)}."


def _order(points: pl.DataFrame, selection: Selection) -> list[str]:
    """Corruptions by total drop, extras behind the others."""
    drops = points.filter(pl.col("severity") > 0).group_by("corruption").agg(pl.col("accuracy_drop").max())
    rows = drops.with_columns(is_extra=pl.col("corruption").is_in(selection.extras))
    rows = rows.sort("is_extra", "accuracy_drop", "corruption", descending=[False, True, False])
    return rows["corruption"].to_list()


def _panel_frame(
    points: pl.DataFrame, chance: float | None, models: ModelColors, width_px: float, height_px: float,
    published: PublishedBehind,
) -> PanelFrame:  # fmt: skip
    lowest = min([*points["accuracy_low"], *published.curves["accuracy"]])
    low = 0.0 if lowest < 0.4 else int(lowest * 10 - 0.25) / 10
    return PanelFrame(PlotArea(0, axes.last_severity(points), low, 1.0, width_px, height_px), chance, models, published)


def _chart_text(con: duckdb.DuckDBPyConnection, selection: Selection, frame: PanelFrame) -> ChartText:
    several = "line color: model; " if len(frame.models.colors) > 1 else ""
    if frame.models.background:
        several = f"{frame.models.phrase(selection.averaged_phrase)}; "
    chance = "" if frame.shown_chance is None else f"dotted: chance ({format_percent(frame.shown_chance)}); "
    return ChartText(
        largest_drop_sentence(con, selection),
        f"Accuracy from clean (0) to severity {frame.plot_area.x_high:g} on {selection.images}; "
        f"{band_phrase(frame.models)}; gray dashes: a steady fall; {several}{frame.published.phrase}{chance}"
        "above each panel: the shape, where it is shown.",
        selection.source_line,
    )


def _panel(
    points: pl.DataFrame, runs: pl.DataFrame, shapes: pl.DataFrame, title: str, frame: PanelFrame, pointed: str, *,
    is_left: bool, is_last: bool,
) -> Layered:  # fmt: skip
    """Lines with their intervals and chords, last values at their right and shapes above.

    Args:
        points: accuracy (0-1) with its interval and chord, by label and severity.
        runs: accuracy of each training run of a model that has several.
        shapes: shape and stability by label.
        title: the corruption.
        frame: what all panels share.
        pointed: name of the layer in which the pointer chooses a model.
        is_left: whether the axes carry their names and percentages.
        is_last: whether it stands in the last row.
    """
    plot_area, labels = frame.plot_area, list(frame.models.colors)
    _, y_scale = plot_area.scales()
    data = points.drop("corruption")
    x = axes.severity_axis(plot_area.x_high, title=is_left and is_last)
    y = alt.Y("accuracy:Q", title="accuracy" if is_left else None, scale=y_scale,
              axis=axes.percent_axis(labels=is_left, ticks=is_left, domain=False))  # fmt: skip
    color: Any = alt.Color("label:N", title=None, sort=labels, legend=None,
                            scale=alt.Scale(domain=labels, range=list(frame.models.colors.values())))  # fmt: skip
    dash: Any = alt.StrokeDashValue([1, 0])
    if 1 < len(labels) <= len(MODEL_DASHES):
        dash = alt.StrokeDash("label:N", sort=labels, legend=None,
                              scale=alt.Scale(domain=labels, range=list(MODEL_DASHES[: len(labels)])))  # fmt: skip
    base = alt.Chart(data).encode(x=x, y=y, detail=alt.Detail("label:N"))
    behind = base.transform_filter(alt.FieldOneOfPredicate("label", frame.models.background))
    front = base.transform_filter(alt.FieldOneOfPredicate("label", list(frame.models.legend_names)))
    tips = [alt.Tooltip("label:N", title="model"), alt.Tooltip("severity:Q"),
            alt.Tooltip("accuracy:Q", format=".1%"), alt.Tooltip("accuracy_low:Q", format=".1%", title="from"),
            alt.Tooltip("accuracy_high:Q", format=".1%", title="to")]  # fmt: skip
    lines = [part.select("severity", "accuracy").rows() for part in data.partition_by("label", maintain_order=True)]
    layers = [
        *([] if frame.shown_chance is None else chance_layers(frame.shown_chance, lines, plot_area)),
        *frame.published.lines(points["corruption"][0], x, y),
        *([behind.mark_line(strokeWidth=1, color=GRAY)] if frame.models.background else []),
        front.mark_line(strokeDash=[3, 3], strokeWidth=1, style="muted-line").encode(
            y=alt.Y("chord:Q", scale=y_scale)),
        front.mark_area(opacity=0.22).encode(y=y.copy(), y2=alt.Y2("accuracy_high:Q"), color=color)
        .transform_calculate(accuracy="datum.accuracy_low"),
        *_run_lines(runs, frame, {"x": x, "y": y, "color": color}),
        front.mark_line(strokeWidth=1.8).encode(color=color, strokeDash=dash, opacity=focus_opacity()),
        front.mark_point(size=axes.point_size(data), filled=True).encode(
            color=color, tooltip=tips, opacity=focus_opacity()).properties(name=pointed),
        alt.Chart(_last_values(data, frame)).mark_text(align="left", dx=6, fontSize=11, fontWeight="bold").encode(
            x=x, y=alt.Y("place:Q"), text=alt.Text("text:N"), color=axes.COLOR_FIELD, opacity=focus_opacity()),
        *_shape_lines(shapes, frame),
    ]  # fmt: skip
    return layered(*layers, width=plot_area.width, height=plot_area.height, title=axes.panel_title(title, offset=4))


def _with_chords(points: pl.DataFrame) -> pl.DataFrame:
    """The points with the chord of each curve, and whether a point is its curve's last."""
    columns = ["corruption", "label", "severity", "accuracy", "accuracy_low", "accuracy_high"]
    sorted_points = points.select(columns).sort("corruption", "label", "severity")
    ends = sorted_points.group_by("corruption", "label", maintain_order=True).len()["len"].cum_sum().to_numpy()
    accuracy, severity = (
        np.split(sorted_points[name].cast(pl.Float64).to_numpy(), ends[:-1]) for name in ("accuracy", "severity")
    )
    lines = [chord(*curve) for curve in zip(accuracy, severity, strict=True)]
    is_last = np.zeros(sorted_points.height, np.bool_)
    is_last[ends - 1] = True
    return sorted_points.with_columns(chord=pl.Series(np.concatenate(lines)), is_last=pl.Series(is_last))


def _last_values(data: pl.DataFrame, frame: PanelFrame) -> pl.DataFrame:
    """The last accuracy of each colored model as text, and the height at which it is printed."""
    ends = data.filter(pl.col("is_last") & pl.col("label").is_in(list(frame.models.legend_names)))
    low, high = frame.plot_area.y_low, frame.plot_area.y_high
    gap = LABEL_GAP_PX / frame.plot_area.height * (high - low)
    heights = spread_apart(ends["accuracy"].to_list(), gap)
    below = min(0.0, min(heights, default=0) - (low + gap / 3))
    colors = {label: text_shade(color) for label, color in frame.models.colors.items()}
    return ends.select(
        "label", "severity", color=pl.col("label").replace_strict(colors, return_dtype=pl.String),
        place=pl.Series([height - below for height in heights], dtype=pl.Float64),
        text=pl.Series([format_percent(value, 0) for value in ends["accuracy"]], dtype=pl.String),
    )  # fmt: skip


def _run_lines(runs: pl.DataFrame, frame: PanelFrame, channels: dict[str, Any]) -> list[alt.Chart]:
    """Thin lines of the training runs behind the mean of a colored model."""
    shown = runs.filter(pl.col("label").is_in(list(frame.models.legend_names)))
    if shown.is_empty():
        return []
    lines = alt.Chart(shown.drop("corruption")).mark_line(strokeWidth=0.7, strokeOpacity=0.65)
    return [lines.encode(**channels, detail=alt.Detail("run:N"), opacity=focus_opacity())]


def _shape_lines(shapes: pl.DataFrame, frame: PanelFrame) -> list[alt.Chart]:
    """Above the panel, a line a colored model: its shape, and from where it is at chance."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in shapes.rows(named=True):
        rows.setdefault(frame.models.of_runs[row["label"]], []).append(row)
    shown = [label for label in frame.models.legend_names if label in rows]
    layers = []
    for index, label in enumerate(shown):
        color = text_shade(frame.models.colors[label])
        line = shape_line(rows[label], frame.plot_area.width + RIGHT_PX + 10, 11)
        text = alt.Chart(pl.DataFrame({"text": [line]})).mark_text(
            align="left", baseline="bottom", fontSize=11, color=color
        )
        y = -5 - 13 * (len(shown) - 1 - index)
        layers.append(text.encode(x=alt.XValue(0), y=alt.YValue(y), text=alt.Text("text:N")))
    return layers
