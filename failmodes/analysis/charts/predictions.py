"""Heat map of the share of the most frequent prediction in every cell, which reveals prediction collapse."""

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame
from failmodes.analysis.charts.style.heat_map import heat_map
from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.judging.findings.headlines import chart_title
from failmodes.analysis.render.formatting import format_percent
from failmodes.analysis.statistics.views_of_images import read_view
from failmodes.runtime.errors import WarehouseError

TOOLTIPS = (
    alt.Tooltip("name:N", title="corruption"), alt.Tooltip("severity:Q", title="severity"),
    alt.Tooltip("top_prediction_name:N", title="most frequent prediction"),
    alt.Tooltip("top_prediction_share:Q", format=".1%", title="share of predictions"),
    alt.Tooltip("top_prediction_label_share:Q", format=".1%", title="share of labels"),
    alt.Tooltip("predicted_class_count:Q", title="classes predicted"),
    alt.Tooltip("mean_confidence:Q", format=".1%", title="mean confidence"),
    alt.Tooltip("accuracy:Q", format=".1%", title="accuracy"),
)  # fmt: skip


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """Share of the most frequent prediction: corruption (by mean share, extras last) against severity.

    Raises:
        WarehouseError: no prediction is finite.
    """
    cells = read_view(con, "predictions_by_severity", selection).drop_nulls("top_prediction")
    if cells.is_empty():
        raise WarehouseError("no predictions to show: none is finite")
    start = "by severity" if min(cells["severity"]) else "from clean (0) on"
    share = float(cells.select(pl.mean("top_prediction_label_share")).item())
    plot, which = heat_map(cells, selection.labels.values(), "top_prediction_share", 1, frame, TOOLTIPS, low=share)
    return Figure(
        plot,
        chart_title(
            con,
            selection,
            "prediction_collapse",
            "shows no prediction collapse",
            "Share of the most frequent predicted class",
        ),
        f"Share of the most frequent predicted class, in percent, {start}; that class is "
        f"{format_percent(share)} of the labels on average, where the color scale begins. {selection.images}{which}.",
        selection.source_line,
        frame,
    )
