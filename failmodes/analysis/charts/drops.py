"""Heat map of the accuracy that each corruption costs at each severity, with the number in every cell."""

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.axes import model_columns
from failmodes.analysis.charts.style.combining import in_grid
from failmodes.analysis.charts.style.heat_map import LEAST_ROW_PX, ROW_PX, heat_map, label_width, row_order, with_names
from failmodes.analysis.charts.style.theme import PAGE, ChartSize, ChartText, add_text
from failmodes.analysis.findings.corruption_drop import largest_mean_drop_sentence
from failmodes.analysis.selection import Selection, averaged_severities, read_for_selection

TOOLTIPS = (
    alt.Tooltip("name:N", title="corruption"), alt.Tooltip("severity:Q"), alt.Tooltip("accuracy:Q", format=".1%"),
    alt.Tooltip("clean_accuracy:Q", format=".1%", title="clean"),
    alt.Tooltip("drop_points:Q", format=".1f", title="drop, points"),
)  # fmt: skip


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """Corruption (by group, then mean drop, extras last) against severity, a panel a model."""
    cells = with_names(read_for_selection(con, "accuracy_by_severity", selection).filter(pl.col("severity") > 0))
    cells = cells.with_columns(drop_points=100 * pl.col("accuracy_drop"))
    order = row_order(cells.filter(pl.col("severity").is_in(averaged_severities(cells["severity"].unique()))),
                      "accuracy_drop")  # fmt: skip
    top = max(0.01, float(cells.select(pl.col("accuracy_drop").max()).item()))
    label_px = label_width(order)
    columns, width = model_columns(size, len(selection.evaluations), 20, label_px)
    panels = [
        heat_map(cells.filter(label=label), "accuracy_drop", order, label, top, width, TOOLTIPS,
                 row_px=size.height(ROW_PX, LEAST_ROW_PX), is_left=not index % columns)
        for index, label in enumerate(selection.labels.values())
    ]  # fmt: skip
    text = ChartText(
        largest_mean_drop_sentence(con, selection),
        f"Clean accuracy minus accuracy at each severity, in percentage points, on {selection.images}; rows by group "
        f"(noise, blur, weather, digital), then by mean drop{', extras last' if selection.extras else ''}.",
        selection.source_line,
    )
    return add_text([in_grid(*panels, columns=columns, spacing=16)], text, size)
