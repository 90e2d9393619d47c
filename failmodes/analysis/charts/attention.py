"""Attention drift against accuracy: one path per corruption, from clean to its last severity."""

import altair as alt
import duckdb
import numpy as np
import polars as pl

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame, PlotAxis
from failmodes.analysis.charts.style.series import corruption_dash, group_color, with_groups
from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.judging.findings.headlines import chart_title
from failmodes.analysis.render.formatting import MAX_LISTED, join_names
from failmodes.analysis.statistics.attention import drift_cells
from failmodes.analysis.statistics.model_accuracy import best_and_worst, shown_phrase

MAX_COLUMNS, HEIGHT_PX, TICK_PX = 2, 300, 55


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """Median centroid shift from the clean map (y) against accuracy (x), one panel per model.

    Raises:
        WarehouseError: no evaluation of the selection has attention paired with clean images; the message says why.
    """
    chosen = best_and_worst(con, selection, MAX_LISTED)
    rows = with_groups(con, chosen, drift_cells(con, chosen))
    labels = rows["label"].unique(maintain_order=True).to_list()
    panels = frame.panels(len(labels), MAX_COLUMNS, right_px=6)
    height = panels.height(HEIGHT_PX)
    low = max(0.0, min(rows["accuracy"]) - 0.03)
    name_px = np.array([12 + style.text_width(name) for name in rows["name"]])
    reach = (rows["accuracy"].to_numpy() - low) * panels.width / (panels.width - name_px)
    x_domain = (low, low + max(0.1, reach.max()))  # names end within the plot
    y_domain = (0.0, 1.1 * max([*rows["shift"], *rows["null"]]))
    rows = rows.sort("label", "corruption", "severity").with_columns(
        is_last=pl.col("severity") == pl.col("severity").max().over("label", "corruption")
    )
    axes = PlotAxis("accuracy", *x_domain, panels.width), PlotAxis("shift", *y_domain, height)
    layers = _layers(rows, frame, *axes)
    missing = [label for label in chosen.labels.values() if label not in labels]
    without = f" No attention maps: {join_names(missing)}." if missing else ""
    return Figure(
        style.small_multiples(layers, _with_names(rows, *axes), "label", labels, panels, height),
        chart_title(
            con,
            selection,
            "attention_drift",
            "has no conclusive attention drift",
            "Shift of attention against accuracy",
        ),
        "Median shift of the attention centroid from the clean image, in image widths, against accuracy, from clean "
        f"to the last severity; {selection.images}. Diamonds: null, the shift from another image\u2019s clean map. "
        f"Gray: shift between clean maps of different images, median and middle 95%.{without} "
        f"{shown_phrase(chosen)}".rstrip(),
        selection.source_line,
        frame,
    )


def _with_names(rows: pl.DataFrame, x: PlotAxis, y: PlotAxis) -> pl.DataFrame:
    """Rows with the corruption as `text` at the end of each path where it fits, the largest shift first."""
    ordered = rows.sort("is_last", "shift", descending=True).with_columns(name=pl.when("is_last").then("name"))
    named = [style.without_overlap(panel, x, y) for panel in ordered.partition_by("label")]
    keys = ["label", "corruption", "severity"]
    return rows.join(pl.concat(named).select(*keys, text="name"), on=keys, how="left", maintain_order="left")


def _layers(rows: pl.DataFrame, frame: Frame, x_axis: PlotAxis, y_axis: PlotAxis) -> list[alt.Chart]:
    """The clean null, the null of each end, paths with points, and names."""
    focus = style.focus_on("corruption", frame)
    scale = style.fixed_scale(y_axis.low, y_axis.high)
    ticks = max(2, int(x_axis.length_px / TICK_PX))
    shares = alt.Axis(labelExpr=f"datum.value > 1 ? '' : {style.PERCENT}", tickCount=ticks, ticks=False, grid=False)
    base = alt.Chart().encode(
        x=alt.X("accuracy:Q", title="accuracy", scale=style.fixed_scale(x_axis.low, x_axis.high), axis=shares),
        y=alt.Y(
            "shift:Q", title="centroid shift", scale=scale,
            axis=style.y_axis(y_axis.length_px, format="~g"),
        ),
        color=group_color(rows, frame), detail="corruption:N", opacity=style.faded(focus),
    )  # fmt: skip
    clean = alt.Chart().transform_filter("datum.severity === 0").transform_aggregate(
        low="min(null_low)", middle="min(null)", high="max(null_high)"
    )  # fmt: skip
    tips = [alt.Tooltip("name:N", title="corruption"), alt.Tooltip("severity:Q", title="severity"),
            alt.Tooltip("accuracy:Q", format=".1%", title="accuracy"),
            alt.Tooltip("shift:Q", format=".3f", title="centroid shift, image widths"),
            alt.Tooltip("null:Q", format=".3f", title="null (another image)")]  # fmt: skip
    ends = base.transform_filter("datum.is_last")
    names = base.transform_filter("isValid(datum.text)").mark_text(align="left", baseline="bottom", dx=6, dy=-2)
    null = alt.Y("null:Q", scale=scale)
    return [
        clean.mark_rect(style="band", opacity=0.5, clip=True).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q"),
        clean.mark_rule(style="muted-line", strokeDash=[4, 3]).encode(y=alt.Y("middle:Q", scale=scale)),
        ends.mark_rule(strokeDash=[1, 3]).encode(y2="null:Q"),
        ends.mark_point(shape="diamond", size=40, style="hollow").encode(y=null, tooltip=tips),
        base.mark_line(strokeWidth=1.4).encode(order="severity:Q", strokeDash=corruption_dash()),
        base.mark_point(filled=True).encode(
            size=alt.Size("severity:Q", scale=alt.Scale(range=[6, 50]), legend=None), tooltip=tips
        ).add_params(focus),
        names.encode(text="text:N"),
    ]  # fmt: skip
