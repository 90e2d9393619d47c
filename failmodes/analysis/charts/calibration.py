"""Reliability diagrams by severity: accuracy against confidence."""

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame
from failmodes.analysis.charts.style.series import ModelColors, model_colors
from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.judging.findings.headlines import chart_title
from failmodes.analysis.render.formatting import MAX_LISTED, capitalize_first, format_severity
from failmodes.analysis.statistics.calibration import pooled_reliability
from failmodes.analysis.statistics.model_accuracy import best_and_worst, shown_phrase
from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse.metrics.cell_rows import BINS

MIN_PREDICTIONS = 10  # bins with fewer predictions are omitted
MAX_COLUMNS, HEIGHT_PX = 6, 200
CLEAN_NAME = format_severity(0)


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """Accuracy against confidence in equal bins, pooled over corruptions: a panel per severity, a line per model.

    Raises:
        WarehouseError: no prediction has a confidence.
    """
    models = model_colors(con, selection)
    chosen = best_and_worst(con, selection, MAX_LISTED if not models.has_others else len(models.colors))
    bins = pooled_reliability(con, chosen)
    if bins.is_empty():
        raise WarehouseError("no calibration to show: no prediction has a confidence")
    share = pl.col("count") / pl.col("count").sum().over("label", "severity")
    rows, shown = style.severity_series(bins.with_columns(share=share).filter(pl.col("count") >= MIN_PREDICTIONS))
    if rows.is_empty():
        raise WarehouseError(f"no calibration to show: no confidence bin has {MIN_PREDICTIONS} predictions")
    titles = {
        name: capitalize_first(name if name == CLEAN_NAME else f"severity {name}")
        for name in shown
        if name in rows["series"]
    }
    rows = models.with_series(rows.with_columns(panel=pl.col("series").replace_strict(titles)))
    panels = frame.panels(len(titles), MAX_COLUMNS)
    height = panels.height(min(HEIGHT_PX, panels.width))
    plot = style.small_multiples(_layers(models, frame), rows, "panel", list(titles.values()), panels, height)
    pooled = selection.condition
    if selection.corruptions:
        pooled = f"pooled over {selection.averaged_phrase}, {style.severity_phrase(bins, shown)}"
    return Figure(
        plot,
        chart_title(
            con,
            selection,
            "overconfidence",
            "has no conclusive over- or underconfidence",
            "Accuracy against confidence",
        ),
        f"Accuracy against mean confidence (maximum softmax probability) in {BINS} equal bins with at least "
        f"{MIN_PREDICTIONS} predictions, {pooled}; {selection.images}. Point area: share of the model\u2019s "
        "predictions at that severity; thin bars: 95% intervals over images; straight dashes: perfect calibration "
        "(overconfident below). "
        f"{shown_phrase(chosen)}".rstrip(),
        selection.source_line,
        frame,
    )


def _layers(models: ModelColors, frame: Frame) -> list[alt.Chart]:
    """The diagonal, and intervals, a line and points for each model."""
    unit = style.fixed_scale(0, 1)
    x_axis = alt.Axis(labelExpr=style.PERCENT, tickCount=2, grid=False)
    x = alt.X("mean_confidence:Q", title="confidence", scale=unit, axis=x_axis)
    y = alt.Y("accuracy:Q", title="accuracy", scale=unit, axis=style.percent_axis())
    base = alt.Chart().encode(x=x, y=y, color=models.color(frame), detail="label:N")
    tips = [alt.Tooltip("label:N", title="model"), alt.Tooltip("panel:N", title="images"),
            alt.Tooltip("mean_confidence:Q", format=".1%", title="confidence"),
            *style.interval_tips("accuracy", ".1%", "accuracy", "accuracy_low", "accuracy_high"),
            alt.Tooltip("count:Q", title="predictions")]  # fmt: skip
    area = alt.Size("share:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=[4, 240]))
    return [
        style.diagonal(0, 1),
        base.mark_rule(strokeWidth=1).encode(y=alt.Y("accuracy_low:Q", scale=unit), y2="accuracy_high:Q"),
        base.mark_line(strokeWidth=1.6).encode(strokeDash=models.dash()),
        base.mark_point(filled=True, opacity=1).encode(size=area, tooltip=tips),
    ]
