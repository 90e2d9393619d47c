"""Failure onset: share of images still correct, by severity."""

from typing import Any

import altair as alt
import duckdb
import numpy as np
import polars as pl

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame
from failmodes.analysis.charts.style.series import corruption_dash, group_color, with_groups
from failmodes.analysis.charts.style.value_axis import (
    POSITION,
    VALUE,
    VALUES_PX,
    axis_ticks,
    levels_with_values,
    value_axis,
    with_positions,
)
from failmodes.analysis.evaluations.selection import Selection, read_for_selection
from failmodes.analysis.judging.findings.headlines import MAX_IN_TITLE
from failmodes.analysis.render.formatting import (
    MAX_LISTED,
    format_percent,
    format_percent_interval,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.statistics.model_accuracy import best_and_worst, shown_phrase
from failmodes.analysis.statistics.run_rows import share_of_independent
from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse.metrics.intervals import exact_interval

MAX_COLUMNS, HEIGHT_PX, NAME_PX = 2, 260, 13


def chart(
    con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE, axis: str = "severity"
) -> Figure:
    """Step curves of the share still correct (Kaplan-Meier): a line per corruption, a panel per model.

    Args:
        con: the warehouse.
        selection: evaluations and corruptions.
        frame: where it is drawn.
        axis: "severity", or "value" of the levels of the only corruption.

    Raises:
        WarehouseError: corrupted images do not pair with clean ones, no clean image is classified correctly, or levels
            have no values, or are those of several corruptions.
    """
    levels = levels_with_values(con, selection) if axis == VALUE else {}
    if levels and len(selection.corruptions) > 1:
        raise WarehouseError("each corruption has values of its own: choose one with --corruption NAME")
    chosen = best_and_worst(con, selection, MAX_LISTED)
    every = read_for_selection(con, "onset_by_corruption", selection).drop_nulls("surviving_share")
    rows = with_groups(con, selection, every.filter(pl.col("label").is_in(list(chosen.labels.values()))))
    if rows.is_empty():
        is_paired = selection.shared["paired"]
        why = "no clean image is classified correctly" if is_paired else "corrupted images do not pair with clean ones"
        raise WarehouseError(f"no failure onset to show: {why}")
    labels = [label for label in chosen.labels.values() if label in rows["label"]]
    right_px = 8 + max(style.text_width(f"{name} 99%") for name in rows["name"])
    panels = frame.panels(len(labels), MAX_COLUMNS, right_px=right_px)
    below_px = VALUES_PX * bool(levels)
    height = panels.height(HEIGHT_PX, style.PANEL_HEAD_PX + below_px)
    low = style.share_floor(min(rows["surviving_share"]))
    named = _with_names(rows.sort("label", "corruption", "severity"), int(height / NAME_PX), low)
    layers = _layers(named, frame, low, has_values=bool(levels))
    if levels:
        layers += value_axis(height)
        ticks = axis_ticks(levels, panels.width).select("position", "tick")
        named = pl.concat(
            [with_positions(named, levels), ticks.join(pl.DataFrame({"label": labels}), how="cross")],
            how="diagonal_relaxed",
        )
    plot = style.small_multiples(layers, named, "label", labels, panels, height, below_px=below_px)
    horizontal = "".join(f"; horizontal: {level.title}" for level in levels.values())
    return Figure(
        plot,
        _title(con, selection, every),
        "Share of the images correct when clean that stay correct at every severity so far (Kaplan-Meier; lower on a "
        f"denser severity grid){horizontal}; {selection.images}. Color: corruption group; labels: the lowest curves. "
        f"{shown_phrase(chosen)}".rstrip(),
        selection.source_line,
        frame,
    )


def _with_names(rows: pl.DataFrame, most: int, low: float) -> pl.DataFrame:
    """Rows with a `text` at the ends of the `most` lowest curves of each model, and its vertical position `place`.

    Args:
        rows: curves, each starting at clean.
        most: number of names that fit between `low` and 1.
        low: start of the axis.
    """
    gap = (1 - low) / most
    ends = rows.group_by("label", "corruption", maintain_order=True).last().sort("surviving_share", maintain_order=True)
    parts = []
    for panel in ends.partition_by("label"):
        lowest = panel.head(most)
        shares = lowest["surviving_share"].to_list()
        texts = [f"{name} {format_percent(share, 0)}" for name, share in zip(lowest["name"], shares, strict=True)]
        place = pl.Series(style.spread_apart(shares, gap, low, 1))
        parts.append(lowest.select("label", "corruption", "severity", place=place, text=pl.Series(texts)))
    return rows.join(pl.concat(parts), on=["label", "corruption", "severity"], how="left", maintain_order="left")


def _layers(rows: pl.DataFrame, frame: Frame, low: float, *, has_values: bool) -> list[alt.Chart]:
    """Steps with points, and names at their ends."""
    focus = style.focus_on("corruption", frame)
    scale = style.fixed_scale(low, 1)
    base = alt.Chart().encode(
        x=POSITION if has_values else style.severity_axis(max(rows["severity"])),
        y=alt.Y("surviving_share:Q", title="still correct", scale=scale, axis=style.percent_axis()),
        color=group_color(rows, frame), detail="corruption:N", opacity=style.faded(focus),
    )  # fmt: skip
    tips = [alt.Tooltip("name:N", title="corruption"), alt.Tooltip("severity:Q", title="severity"),
            alt.Tooltip("surviving_share:Q", format=".1%", title="still correct"),
            alt.Tooltip("failed_count:Q", title="first incorrect here"),
            alt.Tooltip("at_risk_count:Q", title="correct so far")]  # fmt: skip
    return [
        base.mark_line(interpolate="step-after", strokeWidth=1.6).encode(strokeDash=corruption_dash()),
        base.mark_point(size=style.point_size(rows), filled=True).encode(tooltip=tips).add_params(focus),
        base.mark_text(align="left", dx=6).encode(y=alt.Y("place:Q", scale=scale), text="text:N"),
    ]


def _title(con: duckdb.DuckDBPyConnection, selection: Selection, rows: pl.DataFrame) -> str:
    """The corruption with the fewest images still correct, for each model; of many, for the lowest and the highest.

    Intervals are exact and hold jointly over the corruptions of a model, since the lowest is selected.
    """
    by_curve = rows.sort("severity").group_by("label", "corruption", maintain_order=True)
    ends = by_curve.agg(
        pl.last("severity", "surviving_share", "corruption_label", "evaluation_id"), clean=pl.first("at_risk_count")
    )
    ends = ends.filter(pl.col("clean") > 0).sort("surviving_share", maintain_order=True)
    independent = (
        np.array([share_of_independent(con, evaluation_id) for evaluation_id in ends["evaluation_id"]])
        * ends["clean"].to_numpy()
    )
    kept = ends["surviving_share"].to_numpy() * independent
    low, high = exact_interval(kept, independent, comparisons=len(selection.corruptions))
    bounded = ends.with_columns(low=pl.Series(low), high=pl.Series(high))
    lowest = {row["label"]: row for row in reversed(bounded.rows(named=True))}
    among = ""
    if len(lowest) > MAX_IN_TITLE:
        among = f"Lowest and highest of {len(lowest)} models: "
        ordered = sorted(lowest.values(), key=lambda row: row["surviving_share"])
        lowest = {row["label"]: row for row in (ordered[0], ordered[-1])}
    (label, first), *others = (lowest if among else dict(sorted(lowest.items()))).items()
    said = f"{label} keeps {_kept(first)} of its correct predictions under {_where(first)}"
    return among + join_names([said, *(f"{label} {_kept(row)} under {_where(row)}" for label, row in others)])


def _kept(row: dict[str, Any]) -> str:
    return format_percent_interval((row["surviving_share"], row["low"], row["high"]))


def _where(row: dict[str, Any]) -> str:
    return f"{lower_label(row['corruption_label'])} up to severity {format_severity(row['severity'])}"
