"""Failure onset: how many of the images that are right when clean have not failed yet, by severity."""

from typing import Any

import altair as alt
import duckdb
import numpy as np
import polars as pl

from failmodes.analysis.charts.style import axes
from failmodes.analysis.charts.style.combining import in_grid, layered
from failmodes.analysis.charts.style.focus import add_focus, focus_opacity, pointed_layer
from failmodes.analysis.charts.style.labels import (
    FONT_PX,
    CorruptionStyles,
    corruption_styles,
    legend,
    spread_apart,
    text_width,
)
from failmodes.analysis.charts.style.theme import PAGE, ChartSize, ChartText, Layered, add_text
from failmodes.analysis.render.formatting import (
    MAX_LISTED,
    format_percent,
    format_percent_interval,
    format_severity,
    lower_label,
)
from failmodes.analysis.selection import Selection, read_for_selection
from failmodes.analysis.statistics.duplicates import share_of_independent
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.metrics.intervals import exact_interval

HEIGHT_PX, AXIS_PX, GAP_PX, LABEL_GAP_PX = 260, 54, 7, 13
LAST = "100%"  # the longest share that stands behind a name
HALF = 0.5


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """Step curves of the share still right (Kaplan-Meier on the grid), one line a corruption, a panel a model.

    Raises:
        WarehouseError: corrupted images do not pair with clean ones, so that none can be followed, or none is right.
    """
    rows = read_for_selection(con, "onset_by_corruption", selection).drop_nulls("surviving_share")
    rows = rows.sort("corruption", "severity")
    if rows.is_empty():
        why = (
            "no image is right when clean"
            if selection.shared["paired"]
            else "corrupted images do not pair with clean ones"
        )
        raise WarehouseError(f"no failure onset to show: {why}")
    labels = [label for label in selection.labels.values() if label in rows["label"].to_list()]
    label_px = max(text_width(f"{name} {LAST}", FONT_PX) for name in rows["corruption_label"]) + GAP_PX
    columns, width = axes.model_columns(size, len(labels), AXIS_PX + label_px)
    low = 0.0 if rows.select(pl.col("surviving_share").min()).item() < 0.5 else 0.4
    styles = corruption_styles(con, selection.corruptions)
    rows = rows.with_columns(color=pl.col("corruption").replace_strict(styles.colors, return_dtype=pl.String))
    height = max(size.height(HEIGHT_PX, 140), LABEL_GAP_PX * (len(styles.colors) + 1))
    panels = [
        _panel(rows.filter(label=label), pointed_layer(place), width, width + label_px, height, low, styles)
        for place, label in enumerate(labels)
    ]
    text = ChartText(
        _finding(con, rows, labels),
        "Share of images right when clean that have been right at every severity so far (life table on the severity "
        f"grid, so lower where it is denser); {selection.images}. An image that fails may be right again further on: a "
        "failure counts once.",
        selection.source_line,
    )
    panel_grid = in_grid(*panels, columns=columns, spacing=20)
    chart = add_text([*legend(styles.entries, size.width_px - 70), panel_grid], text, size)
    return add_focus(chart, "corruption", len(panels))


def _panel(
    rows: pl.DataFrame, pointed: str, width: float, title_px: float, height: float, low: float, styles: CorruptionStyles
) -> Layered:
    x = axes.severity_axis(axes.last_severity(rows))
    y = alt.Y(
        "surviving_share:Q", title="still right", scale=axes.fixed_scale(low, 1), axis=axes.percent_axis(domain=False)
    )
    tips = [alt.Tooltip("corruption_label:N", title="corruption"), alt.Tooltip("severity:Q"),
            alt.Tooltip("surviving_share:Q", format=".1%", title="still right"),
            alt.Tooltip("failed_count:Q", title="fail here"),
            alt.Tooltip("at_risk_count:Q", title="at risk")]  # fmt: skip
    base = alt.Chart(rows).encode(x=x, y=y, color=axes.COLOR_FIELD)
    ends = rows.group_by("corruption", maintain_order=True).last()
    gap = LABEL_GAP_PX / height * (1 - low)
    ends = ends.with_columns(
        surviving_share=pl.Series(spread_apart(ends["surviving_share"].to_list(), gap), dtype=pl.Float64),
        text=pl.Series([f"{name} {format_percent(value, 0)}" for name, value in
                        zip(ends["corruption_label"], ends["surviving_share"], strict=True)], dtype=pl.String),
    )  # fmt: skip
    names = alt.Chart(ends).mark_text(align="left", dx=GAP_PX, fontSize=FONT_PX)
    return layered(
        base.mark_line(interpolate="step-after", strokeWidth=1.8).encode(
            detail=alt.Detail("corruption:N"), strokeDash=styles.dash, opacity=focus_opacity()
        ),
        base.mark_point(size=axes.point_size(rows), filled=True)
        .encode(tooltip=tips, opacity=focus_opacity())
        .properties(name=pointed),
        names.encode(x=x, y=y, text=alt.Text("text:N"), color=axes.COLOR_FIELD, opacity=focus_opacity()),
        width=width,
        height=height,
        title=axes.panel_title(rows["label"][0], title_px),
    )


def _finding(con: duckdb.DuckDBPyConnection, rows: pl.DataFrame, labels: list[str]) -> str:
    """What the corruption that leaves least leaves of a model's right answers: of each, or of many in number.

    Intervals are exact, for all corruptions of a model together, since the least is one of several.
    """
    ends = rows.group_by("label", "corruption", maintain_order=True).last()
    starts = rows.group_by("label", "corruption", maintain_order=True).first()["at_risk_count"].to_numpy()
    shares = ends["surviving_share"].to_numpy()
    counts = np.maximum(starts, 1)
    independent = np.array([share_of_independent(con, evaluation_id) for evaluation_id in ends["evaluation_id"]])
    kept, of = np.round(shares * counts) * independent, counts * independent
    low, high = exact_interval(kept, of, comparisons=ends["corruption"].n_unique())
    ends = ends.with_columns(low=pl.Series(low), high=pl.Series(high)).filter(pl.Series(starts) > 0)
    ends = ends.sort("surviving_share", maintain_order=True)
    least = {label: own.row(0, named=True) for label in labels if len(own := ends.filter(label=label))}
    if len(least) <= MAX_LISTED:
        return "; ".join(f"{label} keeps {_kept(row)}" for label, row in least.items())
    few = sum(row["high"] < HALF for row in least.values())
    keep = "keeps less than half of its" if few == 1 else "keep less than half of their"
    return f"{few} of {len(least)} models {keep} right answers up to the last severity of some corruption"


def _kept(row: dict[str, Any]) -> str:
    share = format_percent_interval((row["surviving_share"], row["low"], row["high"]))
    severity, name = format_severity(row["severity"]), lower_label(row["corruption_label"])
    return f"{share} of its right answers under {name} up to severity {severity}"
