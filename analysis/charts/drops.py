"""Heat map of the accuracy that each corruption costs at each severity, with the number in every cell."""

from collections.abc import Sequence

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.axes import network_columns, panel_title
from failmodes.analysis.charts.style.combining import in_grid, layered
from failmodes.analysis.charts.style.labels import FONT_PX, text_width
from failmodes.analysis.charts.style.theme import GROUPS, PAGE, ChartSize, ChartText, Layered, add_text
from failmodes.analysis.findings.corruption_cost import costliest_on_average_sentence
from failmodes.analysis.formatting import format_number, label_with_extra
from failmodes.analysis.selection import Selection, averaged_severities, read_for_selection

CELL_HEIGHT_PX = 26
DECIMAL_PX, WHOLE_PX = 26, 14  # widths of a cell that a number with and without a decimal needs
DARK_FROM = 0.6  # share of the colour scale from which numbers are printed in the other text colour


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """Corruption (by group, then mean drop, extras last) against severity, a panel a network."""
    cells = read_for_selection(con, "accuracy_by_severity", selection).filter(pl.col("severity") > 0)
    names = [label_with_extra(r[0], is_extra=not r[1]) for r in cells.select("corruption_label", "headline").rows()]
    cells = cells.with_columns(name=pl.Series(names, dtype=pl.String))
    order = _order(cells)
    top = max(0.01, float(cells.select(pl.col("accuracy_drop").max()).item()))
    label_px = max(text_width(name, FONT_PX) for name in order) + 14
    columns, width = network_columns(size, len(selection.evaluations), 20, label_px)
    cell_px = width / cells["severity"].n_unique()
    cells = cells.with_columns(
        is_high=pl.col("accuracy_drop") > DARK_FROM * top,
        text=pl.Series([_text(v, cell_px) for v in cells["accuracy_drop"]], dtype=pl.String),
    )
    panels = [
        _panel(cells.filter(label=label), order, label, top, width, is_left=not index % columns)
        for index, label in enumerate(selection.labels.values())
    ]
    text = ChartText(
        costliest_on_average_sentence(con, selection),
        f"Clean accuracy minus accuracy at each severity, in percentage points, on {selection.images}; rows by group "
        f"(noise, blur, weather, digital), then by mean drop{', extras last' if selection.extras else ''}.",
        selection.source_line,
    )
    return add_text([in_grid(*panels, columns=columns, spacing=16)], text, size)


def _text(drop: float, cell_px: float) -> str:
    """The drop in points, as precisely as the cell has room for; nothing where it has none."""
    return format_number(100 * drop, int(cell_px >= DECIMAL_PX)) if cell_px >= WHOLE_PX else ""


def _order(cells: pl.DataFrame) -> list[str]:
    """Rows from the top; a mean is over the severities that averages are over."""
    averaged = cells.filter(pl.col("severity").is_in(averaged_severities(cells["severity"].unique())))
    means = averaged.group_by("name", "headline", "corruption_group")
    rank = {group: index for index, group in enumerate(GROUPS)}
    rows = sorted(
        means.agg(pl.col("accuracy_drop").mean()).rows(named=True),
        key=lambda r: (not r["headline"], rank.get(r["corruption_group"], len(GROUPS)), -r["accuracy_drop"], r["name"]),
    )
    return [row["name"] for row in rows]


def _panel(
    cells: pl.DataFrame, order: Sequence[str], title: str, top: float, width: float, *, is_left: bool
) -> Layered:
    severities = cells["severity"].unique().sort().to_list()
    cell_px = width / len(severities)
    shown = severities if cell_px >= DECIMAL_PX else [s for s in severities if not s % 1]
    x = alt.X("severity:O", title="severity",
              axis=alt.Axis(labelAngle=0, domain=False, ticks=False, format="~g", values=shown))  # fmt: skip
    y = alt.Y("name:N", sort=list(order), title=None,
              axis=alt.Axis(labels=is_left, domain=False, ticks=False, labelPadding=8, labelLimit=200,
                            labelFontSize=11))  # fmt: skip
    base = alt.Chart(cells).encode(x=x, y=y)
    colour = alt.Color("accuracy_drop:Q", scale=alt.Scale(domain=[0, top], clamp=True, nice=False), legend=None)
    tips = [alt.Tooltip("name:N", title="corruption"), alt.Tooltip("severity:Q"),
            alt.Tooltip("accuracy:Q", format=".1%"), alt.Tooltip("clean_accuracy:Q", format=".1%", title="clean"),
            alt.Tooltip("accuracy_drop:Q", format=".1%", title="drop")]  # fmt: skip
    number, font_px = base.encode(text=alt.Text("text:N")), 11 if cell_px >= DECIMAL_PX else 9.5
    return layered(
        base.mark_rect().encode(color=colour, tooltip=tips),
        number.transform_filter("!datum.is_high").mark_text(fontSize=font_px, style="on-low"),
        number.transform_filter("datum.is_high").mark_text(fontSize=font_px, style="on-high"),
        width=width,
        height=CELL_HEIGHT_PX * len(order),
        title=panel_title(title),
    )
