"""Reliability diagrams by severity: accuracy against confidence."""

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame
from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.judging.findings.headlines import chart_title
from failmodes.analysis.statistics.calibration import pooled_reliability
from failmodes.analysis.statistics.model_accuracy import best_and_worst, shown_phrase
from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse.metrics.cell_rows import BINS

MIN_PREDICTIONS = 10  # bins with fewer predictions are omitted
MAX_COLUMNS, HEIGHT_PX = 5, 240


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """Accuracy against confidence in equal bins, pooled over corruptions: a line per severity, a panel per model.

    Raises:
        WarehouseError: no prediction is finite.
    """
    chosen = best_and_worst(con, selection)
    bins = pooled_reliability(con, chosen)
    if bins.is_empty():
        raise WarehouseError("no calibration to show: no prediction is finite")
    share = pl.col("count") / pl.col("count").sum().over("label", "severity")
    rows, colors = style.severity_series(bins.with_columns(share=share).filter(pl.col("count") >= MIN_PREDICTIONS))
    if rows.is_empty():
        raise WarehouseError(f"no calibration to show: no confidence bin has {MIN_PREDICTIONS} predictions")
    panels = frame.panels(len(chosen.evaluations), MAX_COLUMNS)
    plot = style.small_multiples(
        _layers(colors, frame), rows, "label", list(chosen.labels.values()), panels,
        panels.height(min(HEIGHT_PX, panels.width)),
    )  # fmt: skip
    return Figure(
        plot,
        chart_title(con, selection, "overconfidence", "has no conclusive over- or underconfidence"),
        f"Accuracy against mean confidence (maximum softmax probability) in {BINS} equal bins with at least "
        f"{MIN_PREDICTIONS} predictions, pooled over {selection.averaged_phrase}, "
        f"{style.severity_phrase(bins, colors)}; {selection.images}. Point area: share of the severity\u2019s "
        "predictions; thin bars: 95% intervals over images; dashed: perfect calibration (overconfident below). "
        f"{shown_phrase(chosen)}".rstrip(),
        selection.source_line,
        frame.width_px,
    )


def _layers(colors: dict[str, str], frame: Frame) -> list[alt.Chart]:
    """The diagonal, and intervals, a line and points for each severity."""
    unit = style.fixed_scale(0, 1)
    x_axis = alt.Axis(labelExpr=style.PERCENT, tickCount=2, grid=False)
    x = alt.X("mean_confidence:Q", title="confidence", scale=unit, axis=x_axis)
    y = alt.Y("accuracy:Q", title="accuracy", scale=unit, axis=style.percent_axis())
    base = alt.Chart().encode(x=x, y=y, color=style.severity_color(colors, frame))
    tips = [alt.Tooltip("series:N", title="severity"),
            alt.Tooltip("mean_confidence:Q", format=".1%", title="confidence"),
            *style.interval_tips("accuracy", ".1%", "accuracy", "accuracy_low", "accuracy_high"),
            alt.Tooltip("count:Q", title="predictions")]  # fmt: skip
    area = alt.Size("share:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=[4, 240]))
    return [
        style.diagonal(0, 1),
        base.mark_rule(strokeWidth=1).encode(y=alt.Y("accuracy_low:Q", scale=unit), y2="accuracy_high:Q"),
        base.mark_line(strokeWidth=1.6),
        base.mark_point(filled=True, opacity=1).encode(size=area, tooltip=tips),
    ]
