"""The explorer's charts: clickable accuracy curves, and confusion matrix, confidence and risk of a cell."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import altair as alt
import polars as pl

from failmodes.analysis.charts.confusion import confusion_matrices
from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame
from failmodes.analysis.charts.style.series import ModelColors
from failmodes.analysis.charts.style.theme import DARK_COLORS, DARK_GRAY, GRAY, THEMES, vega_config
from failmodes.analysis.explorer.cells import CellFigures, ModelCell

COOKIE = "failmodes_view"  # which explorer.js sets
EMBED_OPTIONS = {"renderer": "svg", "actions": False}  # text for screen readers; no link to another host
MIN_WIDTH_PX, MAX_WIDTH_PX = 300, 1000
POINT, CONFUSION = "point", "confusion"  # names of the selections
POINT_FIELDS = ["evaluation_id", "corruption", "severity"]
MAX_COLUMNS, CURVES_HEIGHT_PX, HEIGHTS_PX = 4, 500, (60, 120)
MATRIX_TITLE = "Predictions, percent of the true class"
SHARES = alt.Axis(format="%", grid=False, values=[0, 0.5, 1])
MATRIX_SHARE = 0.58  # of the width, if the matrix is left of the other plots


class View(NamedTuple):
    """Theme ("light" or "dark") and chart frame of the page."""

    theme: str = "light"
    frame: Frame = Frame(620)

    def shade(self, color: str) -> str:
        """A color in this theme."""
        return DARK_COLORS.get(color, color) if self.theme == "dark" else color

    def dressed(self, plot: Any, description: str) -> Any:
        """A plot in this theme on a transparent background, with a description for screen readers."""
        themed = plot.configure(**vega_config(THEMES[self.theme]))
        return themed.properties(
            background="transparent", description=description, usermeta={"embedOptions": EMBED_OPTIONS}
        )


def view_of(cookies: Mapping[str, str]) -> View:
    """The view in the browser's cookie, else the default."""
    theme, _, width = cookies.get(COOKIE, "").partition(".")
    is_known = theme in THEMES and width.isdecimal() and MIN_WIDTH_PX <= int(width) <= MAX_WIDTH_PX
    return View(theme, Frame(int(width))) if is_known else View()


def curve_plot(points: pl.DataFrame, colors: ModelColors, marked: ModelCell, view: View) -> alt.FacetChart:
    """Accuracy by severity, one panel per corruption; a click selects the nearest point.

    Args:
        points: from `read_curves`.
        colors: of their models.
        marked: the cell whose point is marked at first.
        view: of the page.
    """
    points = _parsable(points, "corruption_label")
    frame = view.frame
    rows = colors.with_series(points)
    shaded = {label: view.shade(color) for label, color in colors.colors.items()}
    order = points["corruption_label"].unique(maintain_order=True).to_list()
    panels = frame.panels(len(order), MAX_COLUMNS)
    lowest, usual = HEIGHTS_PX
    height = max(lowest, min(usual, CURVES_HEIGHT_PX / panels.rows - style.PANEL_HEAD_PX))
    chosen: Any = [{field: getattr(marked, field) for field in POINT_FIELDS}]
    click = alt.selection_point(name=POINT, fields=POINT_FIELDS, on="click", nearest=True, clear=False, value=chosen)
    floor = style.share_floor(min(points["accuracy_low"]))
    axis = style.percent_axis(tickCount=5 if height > lowest else 3)
    y = alt.Y("accuracy:Q", title="accuracy", scale=style.fixed_scale(floor, 1), axis=axis)
    last = max(points["severity"])
    ink = THEMES[view.theme].ink
    paper = THEMES[view.theme].background

    def clicked(this: float | str, other: float | str) -> Any:
        return alt.when(click, empty=False).then(alt.value(this)).otherwise(alt.value(other))

    base = alt.Chart().encode(x=style.severity_axis(last, first=min(points["severity"])), y=y, detail="label:N")
    colored = base.encode(color=colors._replace(colors=shaded).color(frame))
    lines = colored if colors.has_others else colored.encode(strokeDash=colors.dash())
    tips = [alt.Tooltip("label:N", title="model"), alt.Tooltip("severity:Q", title="severity"),
            *style.interval_tips("accuracy", ".1%", "accuracy", "accuracy_low", "accuracy_high"),
            alt.Tooltip("image_count:Q", title="images", format=",")]  # fmt: skip
    layers = [
        colored.mark_area(opacity=0.2).encode(y="accuracy_low:Q", y2="accuracy_high:Q"),
        lines.mark_line(strokeWidth=1.8),
        colored.mark_point(filled=True, opacity=1, cursor="pointer")
        .encode(size=clicked(150, 34), stroke=clicked(ink, paper), strokeWidth=clicked(2, 0.5), tooltip=tips)
        .add_params(click),
    ]
    return style.small_multiples(layers, rows, "corruption_label", order, panels, height)


def cell_plots(of: CellFigures, view: View) -> list[Any]:
    """Confusion matrix of a cell, images by confidence, and selective risk by coverage, if stored.

    A click on the matrix selects a true and a predicted class.
    """
    left = view.frame
    right = view.frame
    if view.frame.is_wide:
        left = Frame(view.frame.width_px * MATRIX_SHARE)
        right = Frame(view.frame.width_px - left.width_px - style.GAP_PX)
    width = right.panels(1, 1).width
    click = alt.selection_point(name=CONFUSION, fields=["label_name", "prediction"], on="click", clear="dblclick")
    counts = _parsable(of.confusions, "label_name", "prediction").with_columns(panel=pl.lit(MATRIX_TITLE))
    matrix = confusion_matrices(counts, left).add_params(click)
    risks = [] if of.risks.is_empty() else [_risk_plot(of.risks, width, view)]
    return [matrix, _confidence_plot(of.bins, width, view), *risks]


def cell_figure(of: CellFigures, cell: ModelCell, source: str) -> Figure:
    """The charts of a cell as a figure of page width, with its name as title."""
    matrix, *others = cell_plots(of, View(frame=PAGE))
    plot = alt.hconcat(matrix, alt.vconcat(*others), spacing=style.GAP_PX)
    return Figure(plot, cell.name, of.summary, source, PAGE)


def _confidence_plot(bins: pl.DataFrame, width: float, view: View) -> alt.Chart:
    """Images by confidence, correct predictions on top."""
    kinds = ["incorrect", "correct"]
    rows = bins.unpivot(kinds, index=["low", "high"], variable_name="prediction", value_name="images")
    scale = alt.Scale(domain=kinds, range=[view.shade(DARK_GRAY), view.shade(GRAY)])
    tips = [alt.Tooltip("low:Q", format=".0%", title="confidence from"),
            alt.Tooltip("high:Q", format=".0%", title="to"), alt.Tooltip("prediction:N", title="predictions"),
            alt.Tooltip("images:Q", format=",", title="images")]  # fmt: skip
    made: alt.Chart = alt.Chart(rows, width=width, height=HEIGHTS_PX[1], title="Confidence").mark_bar(binSpacing=1)
    return made.encode(
        x=alt.X("low:Q", bin="binned", title="confidence", scale=style.fixed_scale(0, 1), axis=SHARES),
        x2="high:Q",
        y=alt.Y("images:Q", title="images", axis=style.y_axis(format="~s")),
        color=alt.Color("prediction:N", title=None, scale=scale, legend=alt.Legend(orient="top", symbolType="square")),
        order=alt.Order("prediction:N", sort="descending"),
        tooltip=tips,
    )


def _risk_plot(risks: pl.DataFrame, width: float, view: View) -> Any:
    """Selective risk against coverage."""
    most = max(0.01, *risks["selective_risk"].drop_nulls()) * 1.05
    x = alt.X("coverage:Q", title="coverage (most confident first)", scale=style.fixed_scale(0, 1), axis=SHARES)
    scale = style.fixed_scale(0, min(1, most))
    y = alt.Y("selective_risk:Q", title="error rate", scale=scale, axis=style.percent_axis())
    tips = [alt.Tooltip("coverage:Q", format=".0%", title="coverage"),
            alt.Tooltip("selective_risk:Q", format=".1%", title="error rate")]  # fmt: skip
    base = alt.Chart(risks, width=width, height=HEIGHTS_PX[1], title="Selective risk").encode(x=x, y=y)
    color = view.shade(DARK_GRAY)
    return alt.layer(
        base.mark_line(strokeWidth=1.8, color=color),
        base.mark_point(filled=True, size=22, color=color).encode(tooltip=tips),
    )


def _parsable(rows: pl.DataFrame, *names: str) -> pl.DataFrame:
    """Rows with a space for each line or paragraph separator in names, which Vega cannot parse."""
    return rows.with_columns(pl.col(names).str.replace_all("[\u2028\u2029]", " "))
