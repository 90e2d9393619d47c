"""Failure onset: how many of the images that are right when clean have not failed yet, by severity."""

from typing import Any

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.axes import point_size, severity_axis
from failmodes.analysis.charts.style.labels import spread_apart
from failmodes.analysis.charts.style.legend import corruption_colours, group_legend, legend
from failmodes.analysis.charts.style.theme import PAGE, PERCENT_AXIS, ChartSize, ChartText, Layered, add_text
from failmodes.analysis.formatting import MAX_LISTED, format_percent, format_severity, lower_label
from failmodes.analysis.selection import Selection, read_for_selection
from failmodes.warehouse.errors import WarehouseError

HEIGHT_PX, LABEL_PX, LABEL_GAP_PX = 260, 110, 13


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, layout: ChartSize = PAGE) -> alt.VConcatChart:
    """Step curves of the share still right (Kaplan-Meier on the grid), one line a corruption, a panel a network.

    Raises:
        WarehouseError: corrupted images do not pair with clean ones, so that no image can be followed.
    """
    rows = read_for_selection(con, "onset_by_corruption", selection).sort("corruption", "severity")
    if rows.is_empty():
        raise WarehouseError("no failure onset to show: corrupted images do not pair with clean ones, image by image")
    labels = [label for label in selection.labels.values() if label in rows["label"].to_list()]
    columns = 2 if len(labels) > 1 and layout.columns > 2 else 1
    width = (layout.width_px - 50 * columns) / columns - LABEL_PX
    low = 0.0 if rows.select(pl.col("surviving_share").min()).item() < 0.5 else 0.4
    colours = corruption_colours(con, selection.corruptions)
    size = width, max(HEIGHT_PX, LABEL_GAP_PX * (len(colours) + 1))
    panels = [_panel(rows.filter(label=label), colours, label, size, low) for label in labels]
    entries = group_legend(selection.corruptions)
    keys = [legend(entries, layout.width_px - 70)] if entries else []
    words = ChartText(
        _finding(rows, labels),
        "Share of images right when clean that have been right at every severity so far (life table on the severity "
        f"grid); {selection.images}. An image that fails may be right again further on: a failure counts once.",
        selection.source_line,
    )
    return add_text([*keys, alt.concat(*panels, columns=columns, spacing=20)], words, layout)


def _panel(rows: pl.DataFrame, colours: dict[str, str], title: str, size: tuple[float, float], low: float) -> Layered:
    width, height = size
    data = rows.with_columns(colour=pl.col("corruption").replace_strict(colours, return_dtype=pl.String))
    x = severity_axis(float(data.select(pl.col("severity").max()).item()))
    y = alt.Y("surviving_share:Q", title="still right", scale=alt.Scale(domain=[low, 1], nice=False),
              axis=alt.Axis(labelExpr=PERCENT_AXIS, tickCount=5, domain=False))  # fmt: skip
    colour = alt.Color("colour:N", scale=None, legend=None)
    tips = [alt.Tooltip("corruption_label:N", title="corruption"), alt.Tooltip("severity:Q"),
            alt.Tooltip("surviving_share:Q", format=".1%", title="still right"),
            alt.Tooltip("failed_count:Q", title="fail here"),
            alt.Tooltip("at_risk_count:Q", title="at risk")]  # fmt: skip
    base = alt.Chart(data).encode(x=x, y=y, color=colour)
    ends = data.group_by("corruption", maintain_order=True).last()
    gap = LABEL_GAP_PX / height * (1 - low)
    ends = ends.with_columns(
        surviving_share=pl.Series(spread_apart(ends["surviving_share"].to_list(), gap), dtype=pl.Float64),
        text=pl.Series([f"{name} {format_percent(value, 0)}" for name, value in
                        zip(ends["corruption_label"], ends["surviving_share"], strict=True)], dtype=pl.String),
    )  # fmt: skip
    names = alt.Chart(ends).mark_text(align="left", dx=7, fontSize=11)
    return alt.layer(
        base.mark_line(interpolate="step-after", strokeWidth=1.8).encode(detail="corruption:N"),
        base.mark_point(size=point_size(data), filled=True, opacity=1).encode(tooltip=tips),
        names.encode(x=x, y=y, text="text:N", color=colour),
        width=width,
        height=height,
        title=alt.Title(title, frame="group", offset=6),
    )


def _finding(rows: pl.DataFrame, labels: list[str]) -> str:
    """What the corruption that is worst for it leaves of a network's right answers: of each, or of many in number."""
    ends = rows.group_by("label", "corruption", maintain_order=True).last().sort("surviving_share", maintain_order=True)
    worst = {label: ends.filter(label=label).row(0, named=True) for label in labels}
    if len(labels) > MAX_LISTED:
        return _tally(worst)
    return "; ".join(
        f"{label} keeps {_kept(row)} up to severity {format_severity(row['severity'])}" for label, row in worst.items()
    )


def _kept(row: dict[str, Any]) -> str:
    return (
        f"{format_percent(row['surviving_share'], 0)} of its right answers under {lower_label(row['corruption_label'])}"
    )


def _tally(worst: dict[str, dict[str, Any]]) -> str:
    """In how many networks fewer than half of the right answers are left, and in which the fewest."""
    few = sum(row["surviving_share"] < 0.5 for row in worst.values())
    least = min(worst, key=lambda label: worst[label]["surviving_share"])
    keep = "keeps less than half of its" if few == 1 else "keep less than half of their"
    return (
        f"Up to the last severity of the corruption that is worst for each, {few} of {len(worst)} networks {keep} "
        f"right answers; fewest are left in {least}, which keeps {_kept(worst[least])}"
    )
