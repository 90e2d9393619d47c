"""Severity curves as small multiples: accuracy from clean to the last severity, its chord, its interval, its shape."""

import altair as alt
import duckdb
import polars as pl

from analysis.charts.axes import panel_columns
from analysis.charts.curve_panel import AXIS_PX, RIGHT_PX, Frame, curve_panel
from analysis.charts.emphasis import BEHIND, emphasis
from analysis.charts.key import Entry, key
from analysis.selection import Selection, corruption_labels, table
from analysis.statements import dearest_sentence, last_level, settings_of
from analysis.theme import MODEL_COLOURS, MODEL_DASHES, PAGE, Layout, Words, dress
from analysis.words import flagged, percent


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, layout: Layout = PAGE) -> alt.VConcatChart:
    """Small multiples, one panel a corruption, by total drop; up to four networks in colour, more in grey behind two.

    Args:
        con: the warehouse, with shapes.
        selection: evaluations and corruptions.
        layout: page or paper.
    """
    points, shapes = table(con, "accuracy_by_severity", selection), table(con, "shapes", selection)
    names = corruption_labels(con)
    order = _order(points, selection)
    columns = panel_columns(layout, len(order))
    frame = _frame(points, selection, layout, columns)
    panels = [
        curve_panel(
            points.filter(corruption=name), shapes.filter(corruption=name),
            flagged(names[name], is_extra=name in selection.extras), frame, is_left=not index % columns,
        )
        for index, name in enumerate(order)
    ]  # fmt: skip
    grid = alt.concat(*panels, columns=columns, spacing={"row": 18, "column": 10})
    keys = [key(_entries(frame), layout.width_px - AXIS_PX - 40)] if len(frame.labels) > 1 else []
    return dress([*keys, grid], _words(con, selection, points, frame), layout)


def _order(points: pl.DataFrame, selection: Selection) -> list[str]:
    """Corruptions by total drop, extras behind the others."""
    drops = points.filter(pl.col("severity") > 0).group_by("corruption").agg(pl.col("accuracy_drop").max())
    rows = drops.with_columns(is_extra=pl.col("corruption").is_in(selection.extras))
    rows = rows.sort("is_extra", "accuracy_drop", "corruption", descending=[False, True, False])
    return rows["corruption"].to_list()


def _frame(points: pl.DataFrame, selection: Selection, layout: Layout, columns: int) -> Frame:
    labels = list(selection.labels.values())
    chance = 1 / int(selection.shared["class_count"])
    lowest = float(points.select(pl.col("accuracy_low").min()).item())
    low = 0.0 if lowest < 0.4 else int(lowest * 10 - 0.25) / 10
    width = (layout.width_px - AXIS_PX - 16) / columns - RIGHT_PX - 10
    last = last_level(points)
    return Frame(width, low, 1.0, last, chance, emphasis(labels, points, selection.averaged))


def _entries(frame: Frame) -> list[Entry]:
    networks = frame.networks
    if networks.is_partial:
        entries = [Entry(name, colour) for name, colour in zip(networks.names, MODEL_COLOURS, strict=False)]
        return [*entries, Entry("the others", BEHIND)]
    return [Entry(*entry) for entry in zip(networks.names, networks.colours, MODEL_DASHES, strict=False)]


def _words(con: duckdb.DuckDBPyConnection, selection: Selection, points: pl.DataFrame, frame: Frame) -> Words:
    colour = "line colour: shape class" if len(frame.labels) == 1 else "line colour: network"
    if frame.networks.is_partial:
        colour = (
            f"in colour: of {len(frame.labels)} networks those with the highest and the lowest mean accuracy over "
            f"{selection.averaged_words}"
        )
    chance = f"; dotted: chance ({percent(frame.chance)})" if frame.shows_chance else ""
    return Words(
        dearest_sentence(con, selection),
        f"Accuracy from clean (0) to severity {frame.last:g} on {selection.images}; band: Wilson 95"
        f"\u00a0% interval; dashed: the chord that a steady fall would follow; {colour}{chance}; "
        f"in brackets: share of {settings_of(con).resamples:,} resamples of the images that give the same shape.",
        selection.source_line,
    )
