"""Severity curves as small multiples: accuracy from clean to the last severity, its chord, its interval, its shape."""

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.curve_panel import (
    AXIS_PX,
    BACKGROUND_GREY,
    RIGHT_PX,
    CurvePanelFrame,
    choose_highlights,
    curve_panel,
)
from failmodes.analysis.charts.style.axes import panel_columns
from failmodes.analysis.charts.style.legend import LegendEntry, legend
from failmodes.analysis.charts.style.theme import MODEL_COLOURS, MODEL_DASHES, PAGE, ChartSize, ChartText, add_text
from failmodes.analysis.findings.corruption_cost import costliest_sentence
from failmodes.analysis.formatting import format_percent, label_with_extra
from failmodes.analysis.selection import Selection, corruption_labels, read_for_selection
from failmodes.analysis.statistics.shape_tables import shape_settings


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, layout: ChartSize = PAGE) -> alt.VConcatChart:
    """Small multiples, one panel a corruption, by total drop; up to four networks in colour, more in grey behind two.

    Args:
        con: the warehouse, with shapes.
        selection: evaluations and corruptions.
        layout: page or paper.
    """
    points, shapes = (
        read_for_selection(con, "accuracy_by_severity", selection),
        read_for_selection(con, "shapes", selection),
    )
    names = corruption_labels(con)
    order = _order(points, selection)
    columns = panel_columns(layout, len(order))
    frame = _frame(points, selection, layout, columns)
    panels = [
        curve_panel(
            points.filter(corruption=name), shapes.filter(corruption=name),
            label_with_extra(names[name], is_extra=name in selection.extras), frame, is_left=not index % columns,
        )
        for index, name in enumerate(order)
    ]  # fmt: skip
    grid = alt.concat(*panels, columns=columns, spacing={"row": 18, "column": 10})
    keys = [legend(_entries(frame), layout.width_px - AXIS_PX - 40)] if len(frame.labels) > 1 else []
    return add_text([*keys, grid], _words(con, selection, points, frame), layout)


def _order(points: pl.DataFrame, selection: Selection) -> list[str]:
    """Corruptions by total drop, extras behind the others."""
    drops = points.filter(pl.col("severity") > 0).group_by("corruption").agg(pl.col("accuracy_drop").max())
    rows = drops.with_columns(is_extra=pl.col("corruption").is_in(selection.extras))
    rows = rows.sort("is_extra", "accuracy_drop", "corruption", descending=[False, True, False])
    return rows["corruption"].to_list()


def _frame(points: pl.DataFrame, selection: Selection, layout: ChartSize, columns: int) -> CurvePanelFrame:
    labels = list(selection.labels.values())
    chance = 1 / int(selection.shared["class_count"])
    lowest = float(points.select(pl.col("accuracy_low").min()).item())
    low = 0.0 if lowest < 0.4 else int(lowest * 10 - 0.25) / 10
    width = (layout.width_px - AXIS_PX - 16) / columns - RIGHT_PX - 10
    last = last_level(points)
    return CurvePanelFrame(width, low, 1.0, last, chance, choose_highlights(labels, points, selection.averaged))


def _entries(frame: CurvePanelFrame) -> list[LegendEntry]:
    networks = frame.networks
    if networks.is_partial:
        entries = [LegendEntry(name, colour) for name, colour in zip(networks.names, MODEL_COLOURS, strict=False)]
        return [*entries, LegendEntry("the others", BACKGROUND_GREY)]
    return [LegendEntry(*entry) for entry in zip(networks.names, networks.colours, MODEL_DASHES, strict=False)]


def _words(
    con: duckdb.DuckDBPyConnection, selection: Selection, points: pl.DataFrame, frame: CurvePanelFrame
) -> ChartText:
    colour = "line colour: shape class" if len(frame.labels) == 1 else "line colour: network"
    if frame.networks.is_partial:
        colour = (
            f"in colour: of {len(frame.labels)} networks those with the highest and the lowest mean accuracy over "
            f"{selection.averaged_words}"
        )
    chance = f"; dotted: chance ({format_percent(frame.chance)})" if frame.shows_chance else ""
    return ChartText(
        costliest_sentence(con, selection),
        f"Accuracy from clean (0) to severity {frame.last:g} on {selection.images}; band: Wilson 95"
        f"\u00a0% interval; dashed: the chord that a steady fall would follow; {colour}{chance}; "
        f"in brackets: share of {shape_settings(con).resamples:,} resamples of the images that give the same shape.",
        selection.source_line,
    )


def last_level(frame: pl.DataFrame) -> float:
    """The largest severity of a frame."""
    return float(frame.select(pl.col("severity").max()).item())
