"""Heat map of the accuracy drop under each corruption at each severity, with the number in every cell."""

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame
from failmodes.analysis.charts.style.heat_map import heat_map
from failmodes.analysis.evaluations.selection import Selection, read_for_selection
from failmodes.analysis.judging.findings.largest_drop import largest_drop_sentence

TOOLTIPS = (
    alt.Tooltip("name:N", title="corruption"), alt.Tooltip("severity:Q", title="severity"),
    alt.Tooltip("accuracy:Q", format=".1%", title="accuracy"),
    alt.Tooltip("clean_accuracy:Q", format=".1%", title="clean accuracy"),
    alt.Tooltip("drop_points:Q", format=".1f", title="drop, points"),
)  # fmt: skip


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """Corruption (by group, then mean drop, extras last) against severity, one panel per model."""
    cells = read_for_selection(con, "accuracy_by_severity", selection).filter(pl.col("severity") > 0)
    cells = cells.with_columns(drop_points=100 * pl.col("accuracy_drop"))
    top = max(0.01, *cells["accuracy_drop"].drop_nulls())
    plot, which = heat_map(cells, selection.labels.values(), "accuracy_drop", top, frame, TOOLTIPS)
    return Figure(
        plot,
        largest_drop_sentence(con, selection),
        f"Clean accuracy minus accuracy, in percentage points, on {selection.images}; corruptions by group "
        f"(noise, blur, weather, digital), then by mean drop{', extras last' if selection.extras else ''}{which}.",
        selection.source_line,
        frame.width_px,
    )
