"""Heat map of the accuracy that each corruption costs at each severity, with the number in every cell."""

from collections.abc import Sequence

import altair as alt
import duckdb
import polars as pl

from analysis.charts.placing import text_width
from analysis.selection import Selection, table
from analysis.statements import average_sentence
from analysis.theme import PAGE, Layered, Layout, Words, dress
from analysis.words import number

CELL_HEIGHT_PX = 26
DARK_FROM = 0.6  # share of the colour scale from which numbers are printed in the other ink
GROUPS = ("noise", "blur", "weather", "digital")  # order of publication


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, layout: Layout = PAGE) -> alt.VConcatChart:
    """Corruption (by group, then mean drop) against severity, a panel a network."""
    cells = table(con, "accuracy_by_severity", selection).filter(pl.col("severity") > 0)
    cells = cells.with_columns(text=pl.Series([number(100 * v) for v in cells["accuracy_drop"]], dtype=pl.String))
    order = _order(cells)
    top = max(0.01, float(cells.select(pl.col("accuracy_drop").max()).item()))
    cells = cells.with_columns(is_high=pl.col("accuracy_drop") > DARK_FROM * top)
    columns = min(layout.widest_heat_map, len(selection.evaluations))
    label_px = max(text_width(name, 11) for name in order) + 14
    width = (layout.width_px - label_px - 20 * columns) / columns
    panels = [
        _panel(cells.filter(label=label), order, label, top, width, is_left=not place % columns)
        for place, label in enumerate(selection.labels.values())
    ]
    body = alt.concat(*panels, columns=columns, spacing=16)
    words = Words(
        average_sentence(con, selection),
        f"Clean accuracy minus accuracy at each severity, in percentage points, on {selection.images}; rows by group "
        "(noise, blur, weather, digital), then by mean drop.",
        selection.source_line,
    )
    return dress([body], words, layout)


def _order(cells: pl.DataFrame) -> list[str]:
    means = cells.group_by("corruption_label", "corruption_group").agg(pl.col("accuracy_drop").mean())
    rank = {group: place for place, group in enumerate(GROUPS)}
    rows = sorted(
        means.rows(named=True),
        key=lambda r: (rank.get(r["corruption_group"], len(GROUPS)), -r["accuracy_drop"], r["corruption_label"]),
    )
    return [row["corruption_label"] for row in rows]


def _panel(
    cells: pl.DataFrame, order: Sequence[str], title: str, top: float, width: float, *, is_left: bool
) -> Layered:
    x = alt.X("severity:O", title="severity", axis=alt.Axis(labelAngle=0, domain=False, ticks=False, format="~g"))
    y = alt.Y("corruption_label:N", sort=list(order), title=None,
              axis=alt.Axis(labels=is_left, domain=False, ticks=False, labelPadding=8, labelLimit=200,
                            labelFontSize=11))  # fmt: skip
    base = alt.Chart(cells).encode(x=x, y=y)
    colour = alt.Color("accuracy_drop:Q", scale=alt.Scale(domain=[0, top], clamp=True, nice=False), legend=None)
    tips = [alt.Tooltip("corruption_label:N", title="corruption"), alt.Tooltip("severity:Q"),
            alt.Tooltip("accuracy:Q", format=".1%"), alt.Tooltip("clean_accuracy:Q", format=".1%", title="clean"),
            alt.Tooltip("text:N", title="drop, points")]  # fmt: skip
    squares = base.mark_rect().encode(color=colour, tooltip=tips)
    number_of = base.encode(text="text:N")
    low = number_of.transform_filter("!datum.is_high").mark_text(fontSize=11, style="on-low")
    high = number_of.transform_filter("datum.is_high").mark_text(fontSize=11, style="on-high")
    return alt.layer(
        squares,
        low,
        high,
        width=width,
        height=CELL_HEIGHT_PX * len(order),
        title=alt.Title(title, frame="group", offset=6),
    )
