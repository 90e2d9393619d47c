"""The explorer's charts: the curves that are clicked, and what is drawn of one cell, in the house's theme."""

from typing import Any

import altair as alt
import polars as pl
from altair.utils.schemapi import debug_mode

from failmodes.analysis.charts.confusion import confusion_panel, name_px
from failmodes.analysis.charts.style import axes
from failmodes.analysis.charts.style.combining import in_grid, stacked
from failmodes.analysis.charts.style.theme import (
    DARK_GRAY,
    GRAY,
    MODEL_DASHES,
    PAGE,
    ChartSize,
    ChartText,
    add_text,
)
from failmodes.analysis.explorer.cell_figures import CellFigures, figures_sentence, most_common_confusion
from failmodes.analysis.explorer.model_cell import Curves, ModelCell
from failmodes.analysis.explorer.view import View
from failmodes.analysis.render.formatting import format_percent, join_names

POINT, CONFUSION = "point", "confusion"  # names of what the reader clicks
POINT_FIELDS = ("evaluation_id", "corruption", "severity")
AXIS_PX, GAP_PX, PANEL_HEIGHT_PX = 46, 16, 120
COLUMNS = {"wide": 5, "large": 4, "medium": 3, "narrow": 2}
PANEL_PX = {"wide": 290.0, "large": 225.0, "medium": 262.0, "narrow": 262.0}  # of a chart of one cell, without its axis
PLOT_HEIGHT_PX = 190
CORRECT, INCORRECT = "correct", "incorrect"
MATRIX_TITLE, MATRIX_UNIT = "What each class is taken for", "per cent of the images of the class"
CONFIDENCE_TITLE, RISK_TITLE = "Confidence of right and wrong answers", "Error rate of the surest images"


@debug_mode(False)  # tests check every chart: a reader does not wait for it
def curve_chart(curves: Curves, marked: ModelCell, view: View) -> Any:
    """Accuracy by severity, a panel a corruption; a click takes the nearest point.

    Its selection `point` names evaluation_id, corruption and severity of that point.

    Args:
        curves: what is drawn.
        marked: the cell whose point is marked until another is clicked.
        view: how the page is looked at.
    """
    columns = COLUMNS[view.width]
    width = (view.width_px - AXIS_PX) / columns - GAP_PX
    labels = list(curves.colors)
    colors = [view.shade(color) for color in curves.colors.values()]
    data = _parsable(curves.points, "corruption_label")
    order = data["corruption_label"].unique(maintain_order=True).to_list()
    click = alt.selection_point(
        name=POINT, fields=list(POINT_FIELDS), on="click", nearest=True, clear=False,
        value=[{field: getattr(marked, field) for field in POINT_FIELDS}],
    )  # fmt: skip
    legend = alt.Legend(orient="top", columns=1 if view.width == "narrow" else 4, symbolType="stroke", symbolSize=300,
                        symbolStrokeWidth=2, symbolOpacity=1) if len(labels) > 1 else None  # fmt: skip
    color = alt.Color("label:N", title=None, scale=alt.Scale(domain=labels, range=colors), legend=legend)
    dashes = list(MODEL_DASHES) if len(labels) <= len(MODEL_DASHES) else [[1, 0]]
    dash = alt.StrokeDash("label:N", title=None, scale=alt.Scale(domain=labels, range=dashes),
                          legend=legend)  # fmt: skip
    base = alt.Chart().encode(
        x=axes.severity_axis(axes.last_severity(curves.points)),
        y=alt.Y("accuracy:Q", title="accuracy", scale=axes.fixed_scale(0, 1), axis=axes.percent_axis(domain=False)),
        color=color,
    )
    tips = [alt.Tooltip("label:N", title="model"), alt.Tooltip("severity:Q"),
            alt.Tooltip("accuracy:Q", format=".1%"), alt.Tooltip("accuracy_low:Q", format=".1%", title="from"),
            alt.Tooltip("accuracy_high:Q", format=".1%", title="to"),
            alt.Tooltip("image_count:Q", title="images", format=",")]  # fmt: skip
    points = base.mark_point(filled=True, opacity=1, cursor="pointer").encode(
        size=alt.condition(click, alt.value(150), alt.value(34), empty=False),
        stroke=alt.condition(click, alt.value(view.colors.ink), alt.value(view.colors.background), empty=False),
        strokeWidth=alt.condition(click, alt.value(2), alt.value(0.5), empty=False),
        tooltip=tips,
    ).add_params(click)  # fmt: skip
    layers = alt.layer(
        base.mark_area(opacity=0.2).encode(y=alt.Y("accuracy_low:Q"), y2="accuracy_high:Q"),
        base.mark_line(strokeWidth=1.8).encode(strokeDash=dash),
        points,
        data=data,
        width=width,
        height=PANEL_HEIGHT_PX,
    )
    header = alt.Header(labelAnchor="start", labelFontWeight="bold", labelFontSize=12, labelLimit=int(width + GAP_PX),
                        labelColor=view.colors.ink)  # fmt: skip
    chart = layers.facet(
        facet=alt.Facet("corruption_label:N", title=None, sort=order, header=header), columns=columns,
        spacing={"row": 14, "column": GAP_PX},
    )  # fmt: skip
    return view.dressed(chart, _curves_in_words(curves))


@debug_mode(False)
def confusion_chart(confusions: pl.DataFrame, cell: ModelCell, description: str, view: View) -> Any:
    """Class (rows) against answer (columns), in per cent of the images of the class; a click takes a pair of them.

    Its selection `confusion` names label_name and prediction. Of more than twelve classes those of the commonest
    confusions are shown.
    """
    confusions = _parsable(confusions, "label_name", "prediction")
    names = max((len(name) for name in confusions["label_name"]), default=0)
    width = PANEL_PX[view.width] + (0 if view.width != "wide" else 70) - min(110, 6.2 * names)
    chart = confusion_panel(confusions, MATRIX_TITLE, MATRIX_UNIT, width)
    click = alt.selection_point(name=CONFUSION, fields=["label_name", "prediction"], on="click", clear="dblclick")
    chart.layer[0] = chart.layer[0].add_params(click)
    return view.dressed(chart, f"Confusion matrix of {cell.name}. {description}")


@debug_mode(False)
def confidence_chart(bins: pl.DataFrame, title: str, description: str, view: View) -> Any:
    """Images by confidence, those read right upon those read wrong.

    Args:
        bins: low, high, correct and incorrect, as `full_bins` gives them.
        title: of the panel.
        description: what a screen reader says.
        view: how the page is looked at.
    """
    return view.dressed(_confidence_panel(bins, title, PANEL_PX[view.width], view), description)


def _confidence_panel(bins: pl.DataFrame, title: str, width: float, view: View) -> alt.Chart:
    long = bins.unpivot([INCORRECT, CORRECT], index=["low", "high"], variable_name="prediction", value_name="images")
    colors = [view.shade(DARK_GRAY), view.shade(GRAY)]
    chart: alt.Chart = (
        alt.Chart(long, width=width, height=PLOT_HEIGHT_PX, title=axes.panel_title(title, width))
        .mark_bar(binSpacing=0, stroke=view.colors.background, strokeWidth=0.75)
        .encode(
            x=alt.X("low:Q", bin="binned", title="confidence", scale=axes.fixed_scale(0, 1),
                    axis=axes.percent_axis(grid=False)),
            x2="high:Q",
            y=alt.Y("images:Q", title="images", axis=alt.Axis(domain=False, tickCount=5, format="~s")),
            color=alt.Color("prediction:N", title="prediction",
                            scale=alt.Scale(domain=[INCORRECT, CORRECT], range=colors),
                            legend=alt.Legend(orient="top", titleOrient="left", offset=0)),
            order=alt.Order("prediction:N", sort="descending"),
            tooltip=[alt.Tooltip("low:Q", format=".0%", title="confidence from"), alt.Tooltip("high:Q", format=".0%",
                     title="to"), alt.Tooltip("prediction:N"), alt.Tooltip("images:Q", format=",")],
        )
    )  # fmt: skip
    return chart


@debug_mode(False)
def risk_chart(risks: pl.DataFrame, cell: ModelCell, view: View) -> Any:
    """Error rate of the surest images against their share."""
    panel = _risk_panel(risks, PANEL_PX[view.width], view)
    return view.dressed(panel, f"Risk and coverage of {cell.name}. {risk_sentence(risks)}")


def _risk_panel(risks: pl.DataFrame, width: float, view: View) -> alt.Chart:
    highest = max(risks["selective_risk"].drop_nulls().to_list(), default=0.0)
    most = min(1.0, 1.05 * (highest or 1))
    chart: alt.Chart = (
        alt.Chart(risks, width=width, height=PLOT_HEIGHT_PX, title=axes.panel_title(RISK_TITLE, width))
        .mark_line(strokeWidth=1.8, color=view.shade(DARK_GRAY), point={"size": 22, "color": view.shade(DARK_GRAY)})
        .encode(
            x=alt.X("coverage:Q", title="images kept, the surest first", scale=axes.fixed_scale(0, 1),
                    axis=axes.percent_axis(grid=False)),
            y=alt.Y("selective_risk:Q", title="error rate", scale=axes.fixed_scale(0, most),
                    axis=axes.percent_axis(domain=False)),
            tooltip=[alt.Tooltip("coverage:Q", format=".0%", title="kept"),
                     alt.Tooltip("selective_risk:Q", format=".1%", title="error rate")],
        )
    )  # fmt: skip
    return chart


@debug_mode(False)
def cell_figure(of: CellFigures, cell: ModelCell, source: str, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """The charts of a cell as one figure: what each class is taken for, confidence, and risk where it is on record.

    Args:
        of: what is on record of the cell.
        cell: which one.
        source: where the data come from, for the foot.
        size: page or paper.
    """
    confusions, view = _parsable(of.confusions, "label_name", "prediction"), View()
    columns, width = axes.model_columns(size, 2, AXIS_PX + name_px([confusions]))
    matrix = confusion_panel(confusions, MATRIX_TITLE, MATRIX_UNIT, width)
    plots = [_confidence_panel(of.bins, CONFIDENCE_TITLE, width, view)]
    if not of.risks.is_empty():
        plots.append(_risk_panel(of.risks, width, view))
    panels = in_grid(matrix, stacked(*plots, spacing=GAP_PX), columns=columns, spacing=GAP_PX)
    description = f"{most_common_confusion(of)} {risk_sentence(of.risks)}"
    return add_text([panels], ChartText(f"{cell.name}. {figures_sentence(of)}", description, source), size)


def risk_sentence(risks: pl.DataFrame) -> str:
    """What abstaining on the less sure half would gain, in a sentence."""
    if risks.is_empty():
        return "No risk is on record for this cell."
    half, whole = (
        float(risks.filter((pl.col("coverage") - share).abs() < 0.01)["selective_risk"][0]) for share in (0.5, 1.0)
    )
    return (
        f"The more confident half of the images has an error rate of {format_percent(half)}, all have "
        f"{format_percent(whole)}."
    )


def _parsable(rows: pl.DataFrame, *names: str) -> pl.DataFrame:
    """Rows whose names have a space for separators of lines and paragraphs, which Vega cannot parse."""
    return rows.with_columns(pl.col(names).str.replace_all("[\u2028\u2029]", " "))


def _curves_in_words(curves: Curves) -> str:
    names = curves.points["corruption_label"].n_unique()
    models = join_names(list(curves.colors)) if len(curves.colors) <= 4 else f"{len(curves.colors)} models"
    return (
        f"Accuracy by severity of {models} under {names} corruptions on {curves.images}, with exact 95 % intervals. "
        "The choice of a cell, beneath, gives every point without a pointer."
    )
