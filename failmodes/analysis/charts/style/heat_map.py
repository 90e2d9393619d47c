"""A panel of a heat map: corruptions from top to bottom, severities from left to right, a number in every cell."""

from collections.abc import Sequence

import altair as alt
import polars as pl

from failmodes.analysis.charts.style.axes import panel_title
from failmodes.analysis.charts.style.combining import layered
from failmodes.analysis.charts.style.labels import FONT_PX, text_width
from failmodes.analysis.charts.style.theme import GROUPS, Layered
from failmodes.analysis.render.formatting import format_number, label_with_extra

ROW_PX, LEAST_ROW_PX = 26, 13
LABEL_PADDING_PX, LONGEST_LABEL_PX = 8, 200
DECIMAL_PX, WHOLE_PX = 26, 14  # widths of a cell that a number with and without a decimal needs
DARK_FROM = 0.5  # share of the color scale from which numbers are printed in the other text color: its middle color


def with_names(cells: pl.DataFrame) -> pl.DataFrame:
    """Cells with the name of each corruption, which says of extras that they are."""
    names = [label_with_extra(r[0], is_extra=not r[1]) for r in cells.select("corruption_label", "headline").rows()]
    return cells.with_columns(name=pl.Series(names, dtype=pl.String))


def row_order(cells: pl.DataFrame, value: str) -> list[str]:
    """Names from the top: by group (noise, blur, weather, digital), then by their mean `value`, extras last."""
    rank = {group: index for index, group in enumerate(GROUPS)}
    means = cells.group_by("name", "headline", "corruption_group").agg(pl.col(value).mean())
    rows = sorted(
        means.rows(named=True),
        key=lambda r: (not r["headline"], rank.get(r["corruption_group"], len(GROUPS)), -(r[value] or 0), r["name"]),
    )
    return [row["name"] for row in rows]


def label_width(names: Sequence[str]) -> float:
    """Pixels that the names of rows take at the left of a panel."""
    return min(LONGEST_LABEL_PX, max(text_width(name, FONT_PX) for name in names)) + LABEL_PADDING_PX + 6


def heat_map(
    cells: pl.DataFrame, value: str, order: Sequence[str], title: str, top: float, width: float,
    tooltips: Sequence[alt.Tooltip], *, row_px: float, is_left: bool,
) -> Layered:  # fmt: skip
    """One panel.

    Args:
        cells: name, severity, `value` (0-1, printed in per cent) and what the tooltips show; null cells are left out.
        value: the column that is drawn.
        order: names from the top.
        title: of the panel.
        top: end of the color scale.
        width: of all cells of a row, in pixels.
        tooltips: what is told of a cell.
        row_px: height of a row.
        is_left: whether the names stand beside it.
    """
    severities = cells["severity"].unique().sort().to_list()
    cell_px = width / len(severities)
    shown = severities if cell_px >= DECIMAL_PX else [s for s in severities if not s % 1]
    data = cells.drop_nulls(value)
    data = data.with_columns(
        is_high=pl.col(value) > DARK_FROM * top,
        text=pl.Series([_text(v, cell_px) for v in data[value]], dtype=pl.String),
    )
    x = alt.X("severity:O", title="severity",
              axis=alt.Axis(labelAngle=0, domain=False, ticks=False, format="~g", values=shown))  # fmt: skip
    y = alt.Y("name:N", sort=list(order), title=None,
              axis=alt.Axis(labels=is_left, domain=False, ticks=False, labelPadding=LABEL_PADDING_PX,
                            labelLimit=LONGEST_LABEL_PX, labelFontSize=FONT_PX))  # fmt: skip
    base = alt.Chart(data).encode(x=x, y=y)
    color = alt.Color(
        f"{value}:Q", scale=alt.Scale(domain=[0, top], clamp=True, nice=False, interpolate="rgb"), legend=None
    )
    number, font_px = base.encode(text=alt.Text("text:N"), tooltip=list(tooltips)), 11 if cell_px >= DECIMAL_PX else 9.5
    return layered(
        base.mark_rect().encode(color=color, tooltip=list(tooltips)),
        number.transform_filter("!datum.is_high").mark_text(fontSize=font_px, style="on-low"),
        number.transform_filter("datum.is_high").mark_text(fontSize=font_px, style="on-high"),
        width=width,
        height=row_px * len(order),
        title=panel_title(title, width),
    )


def _text(share: float, cell_px: float) -> str:
    """The share in per cent, as precisely as the cell has room for; nothing where it has none."""
    return format_number(100 * share, int(cell_px >= DECIMAL_PX)) if cell_px >= WHOLE_PX else ""
