"""Heat maps, one panel per model: corruptions (rows) by severity (columns), with the number in every cell."""

from collections.abc import Iterable, Sequence

import altair as alt
import polars as pl

from failmodes.analysis.charts.style.frame import Frame, Panels, name_axis, small_multiples, text_width
from failmodes.analysis.charts.style.series import name_with_extra
from failmodes.analysis.charts.style.theme import LABEL_PX, SOURCE_PX
from failmodes.analysis.render.formatting import format_number

MAX_COLUMNS, ROW_PX, MIN_ROW_PX = 4, 26, 13
LABEL_PADDING_PX, MAX_LABEL_PX = 6, 200
DECIMAL_PX, WHOLE_PX = 29, 14  # widths of a cell that a number with and without a decimal needs
DARK_FROM = 0.5  # share of the color scale from which numbers have the other text color


def heat_map(
    cells: pl.DataFrame, models: Iterable[str], value: str, top: float, frame: Frame, tooltips: Sequence[alt.Tooltip],
    *, low: float = 0.0, is_inverted: bool = False,
) -> tuple[alt.FacetChart, str]:  # fmt: skip
    """Draw the chart; also return which models it shows if not all fit on a page: those with the strongest color.

    Args:
        cells: label, corruption_label, headline, severity, `value` (0-1, printed in percent) and
            what the tooltips show; null cells are omitted.
        models: labels in the order of their panels.
        value: the column to draw.
        top: upper end of the color scale.
        frame: its frame.
        tooltips: of a cell.
        low: lower end of the color scale; smaller values have its color.
        is_inverted: 1 - `value` is the strength of the color.
    """
    strength = 1 - pl.col(value) if is_inverted else (pl.col(value) - low).clip(0)
    top = top - low
    cells = cells.drop_nulls(value).with_columns(name=name_with_extra(), shade=strength)
    order = row_order(cells)
    severities = cells["severity"].unique().sort().to_list()
    left_px = min(MAX_LABEL_PX, frame.width_px / 3, 1.1 * max(map(text_width, order))) + LABEL_PADDING_PX
    models = [label for label in models if label in cells["label"]]
    panels, height = _panels(frame, len(models), len(order), left_px)
    ranked = cells.group_by("label", maintain_order=True).agg(pl.mean("shade")).sort("shade", descending=True)
    shown = ranked["label"].head(panels.columns * panels.rows)
    cell_px = panels.width / len(severities)
    digits = 1 if cell_px >= DECIMAL_PX else 0
    texts = [format_number(100 * share, digits) if cell_px >= WHOLE_PX else "" for share in cells[value]]
    cells = cells.with_columns(is_high=pl.col("shade") > DARK_FROM * top, text=pl.Series(texts, dtype=pl.String))
    label = "format(datum.value, '~g')"  # `values` would lose the first where Vega's rounding places it below 0
    x = alt.X("severity:O", title="severity", axis=alt.Axis(
        labelAngle=0, domain=False, ticks=False,
        labelExpr=label if cell_px >= DECIMAL_PX else f"datum.value % 1 ? '' : {label}",
    ))  # fmt: skip
    names = name_axis(left_px, labelPadding=LABEL_PADDING_PX, labelLimit=1.3 * left_px)
    y = alt.Y("name:N", sort=order, title=None, axis=names)
    layers = number_layers(x, y, "shade:Q", top, tooltips, font_px=LABEL_PX if cell_px >= DECIMAL_PX else SOURCE_PX)
    plot = small_multiples(
        layers, cells.filter(pl.col("label").is_in(shown.implode())), "label",
        [label for label in models if label in shown], panels, height,
    )  # fmt: skip
    left_out = (
        f"; shown: the {len(shown)} of {len(models)} models with the strongest mean color"
        if len(shown) < len(models)
        else ""
    )
    return plot, left_out


def number_layers(
    x: alt.X, y: alt.Y, value: str, top: float, tooltips: Sequence[alt.Tooltip], *, font_px: float
) -> list[alt.Chart]:
    """Colored cells with their `text`, in a color that is legible on the cell (`is_high` says which)."""
    scale = alt.Scale(domain=[0, top], clamp=True, nice=False, interpolate="rgb")
    base = alt.Chart().encode(x=x, y=y, tooltip=list(tooltips))
    number = base.encode(text="text:N")
    return [
        base.mark_rect().encode(color=alt.Color(value, scale=scale, legend=None)),
        number.transform_filter("!datum.is_high").mark_text(fontSize=font_px, style="on-low"),
        number.transform_filter("datum.is_high").mark_text(fontSize=font_px, style="on-high"),
    ]


def row_order(cells: pl.DataFrame) -> list[str]:
    """Names from top to bottom: by mean strength of the color (`shade`), extras last."""
    means = cells.group_by("name", "headline").agg(pl.mean("shade"))
    return means.sort("headline", "shade", "name", descending=[True, True, False])["name"].to_list()


def _panels(frame: Frame, models: int, rows: int, left_px: float) -> tuple[Panels, float]:
    """The grid of as many models as fit on a page, and the height of a panel in pixels."""
    panels = frame.panels(models, MAX_COLUMNS, left_px=left_px)
    height = panels.height(ROW_PX * rows)
    if height < MIN_ROW_PX * rows and panels.rows > 1:
        return _panels(frame, panels.columns * (panels.rows - 1), rows, left_px)
    return panels, height
