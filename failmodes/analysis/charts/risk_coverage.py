"""Risk and coverage by severity: the error rate that is left where a model abstains on the least sure images."""

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import axes
from failmodes.analysis.charts.style.combining import in_grid, layered
from failmodes.analysis.charts.style.labels import LegendEntry, legend, severity_colors
from failmodes.analysis.charts.style.theme import PAGE, ChartSize, ChartText, Layered, add_text
from failmodes.analysis.render.formatting import format_percent, format_percent_interval, format_severity, join_names
from failmodes.analysis.selection import Selection, read_for_selection
from failmodes.analysis.statistics.failure_prediction import KEPT_SHARE, averaged, predict_failures

MOST_NAMED = 2  # models in a title


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """Error rate of the images kept against their share, by confidence, a line a severity, a panel a model.

    Raises:
        WarehouseError: the warehouse was loaded before there was this measure.
    """
    cells = read_for_selection(con, "risk_coverage", selection).filter(score="confidence")
    rows = averaged(cells, selection, ["coverage"], risk=pl.col("selective_risk"))
    colors = severity_colors(rows["severity"].unique().to_list())
    is_part = len(colors) < rows["severity"].n_unique()
    few = f" ({len(colors)} of {rows['severity'].n_unique()} levels)" if is_part else ""
    rows = rows.filter(pl.col("severity").is_in(list(colors))).with_columns(
        color=pl.col("severity").replace_strict(colors, return_dtype=pl.String)
    )
    labels = list(selection.labels.values())
    columns, width = axes.model_columns(size, len(labels), axes.MARGIN_PX)
    most = min(1.0, float(rows.select(pl.col("risk").max()).item()) * 1.05 or 1.0)
    width = min(330.0, width)
    height = size.height(0.75 * width, 90)
    panels = [_panel(rows.filter(label=label), label, width, height, most) for label in labels]
    entries = [LegendEntry(format_severity(severity), color) for severity, color in colors.items()]
    text = ChartText(
        abstention_sentence(con, selection),
        "Error rate of the images that a model keeps, the surest by confidence (largest softmax), against their "
        f"share; clean and by severity{few}, averaged over {selection.averaged_phrase}. A line that does not fall to "
        f"the left: confidence does not know which answers are wrong. {selection.images}.",
        selection.source_line,
    )
    panel_grid = in_grid(*panels, columns=columns, spacing=24)
    return add_text([*legend(entries, size.width_px - 70), panel_grid], text, size)


def abstention_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """What abstaining on the least sure images gains at the last severity: of each model, or of many the range."""
    found = {e.label: predict_failures(con, selection, e) for e in selection.evaluations}
    known = {label: one for label, one in found.items() if one}
    if not known:
        return "Too few failures, or right answers, to tell one from the other"
    start = (
        f"Abstaining on the least sure {format_percent(1 - KEPT_SHARE, 0)} takes the error rate at the last severity"
    )
    if len(known) > MOST_NAMED:
        gain = {label: one.error_rate.value - one.error_rate_kept.value for label, one in known.items()}
        ends = {least: known[least] for least in (min(gain, key=gain.__getitem__), max(gain, key=gain.__getitem__))}
        start = f"{start}, of {len(known)} models with the smallest and the largest gain,"
        known = ends
    each = [
        f"from {format_percent(one.error_rate.value)} to {format_percent_interval(one.error_rate_kept)} in {label}"
        for label, one in known.items()
    ]
    return f"{start} {join_names(each)}"


def _panel(rows: pl.DataFrame, title: str, width: float, height: float, most: float) -> Layered:
    x = alt.X("coverage:Q", title="images kept", scale=axes.fixed_scale(0, 1), axis=axes.percent_axis(grid=False))
    y = alt.Y("risk:Q", title="error rate", scale=axes.fixed_scale(0, most), axis=axes.percent_axis(domain=False))
    tips = [alt.Tooltip("severity:Q"), alt.Tooltip("coverage:Q", format=".0%", title="kept"),
            alt.Tooltip("risk:Q", format=".1%", title="error rate")]  # fmt: skip
    base = alt.Chart(rows).encode(x=x, y=y, color=axes.COLOR_FIELD)
    return layered(
        base.mark_line(strokeWidth=1.8).encode(detail=alt.Detail("severity:N")),
        base.mark_point(size=axes.FINE, filled=True, opacity=1).encode(tooltip=tips),
        width=width,
        height=height,
        title=axes.panel_title(title, width),
    )
