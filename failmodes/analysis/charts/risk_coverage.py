"""Risk-coverage curves by severity: error rate of the most confident images against coverage."""

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame
from failmodes.analysis.evaluations.selection import Selection, read_for_selection
from failmodes.analysis.judging.findings.headlines import MAX_IN_TITLE
from failmodes.analysis.render.formatting import (
    format_number,
    format_percent,
    format_percent_interval,
    format_points,
    join_names,
)
from failmodes.analysis.statistics.failure_prediction import KEPT_SHARE, averaged, predict_failures
from failmodes.analysis.statistics.model_accuracy import best_and_worst, shown_phrase
from failmodes.runtime.errors import WarehouseError

MAX_COLUMNS, HEIGHT_PX = 5, 220


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """Selective risk against coverage, by confidence: a line per severity, a panel per model.

    Raises:
        WarehouseError: no prediction has a confidence.
    """
    chosen = best_and_worst(con, selection)
    cells = read_for_selection(con, "risk_coverage", chosen).filter(score="confidence")
    if cells.is_empty():
        raise WarehouseError("no risk-coverage curve to show: no prediction has a confidence")
    means = averaged(cells, chosen, ["coverage"], risk=pl.col("selective_risk"))
    rows, colors = style.severity_series(means)
    panels = frame.panels(len(chosen.evaluations), MAX_COLUMNS)
    plot = style.small_multiples(
        _layers(colors, frame, max([*rows["risk"].drop_nulls(), 0.01])), rows, "label", list(chosen.labels.values()),
        panels, panels.height(min(HEIGHT_PX, panels.width)),
    )  # fmt: skip
    return Figure(
        plot,
        _title(con, selection),
        "Selective risk: error rate of the most confident images (maximum softmax probability) against coverage, "
        f"{style.severity_phrase(means, colors)}, mean over {selection.averaged_phrase}; {selection.images}. "
        "A line that does not fall toward the left: confidence does not separate failures from correct predictions. "
        f"{shown_phrase(chosen)}".rstrip(),
        selection.source_line,
        frame,
    )


def _layers(colors: dict[str, str], frame: Frame, most: float) -> list[alt.Chart]:
    """A line and points for each severity."""
    x_axis = alt.Axis(labelExpr=style.PERCENT, tickCount=2, grid=False)
    x = alt.X("coverage:Q", title="coverage", scale=style.fixed_scale(0, 1), axis=x_axis)
    y = alt.Y("risk:Q", title="error rate", scale=style.fixed_scale(0, min(1, 1.05 * most)), axis=style.percent_axis())
    tips = [alt.Tooltip("series:N", title="severity"), alt.Tooltip("coverage:Q", format=".0%", title="coverage"),
            alt.Tooltip("risk:Q", format=".1%", title="error rate")]  # fmt: skip
    base = alt.Chart().encode(x=x, y=y, color=style.severity_color(colors, frame))
    return [base.mark_line(strokeWidth=1.6), base.mark_point(filled=True, size=8, opacity=1).encode(tooltip=tips)]


def _title(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Error rate at the last severity without the least confident images; for many models, the range of changes."""
    every = {evaluation.label: predict_failures(con, selection, evaluation) for evaluation in selection.evaluations}
    predictions = {label: prediction for label, prediction in every.items() if prediction}
    if not predictions:
        few = "too few failures or correct predictions"
        return f"Selective prediction: {few}" if selection.corruptions else "Error rate by coverage on clean images"
    unsure = f"the {format_percent(1 - KEPT_SHARE, 0)} least confident images"
    if len(predictions) > MAX_IN_TITLE:
        changes = sorted(
            prediction.error_rate_kept.value - prediction.error_rate.value for prediction in predictions.values()
        )
        low = format_number(100 * changes[0], signed=True)
        high = format_points(changes[-1], signed=True)
        change = f"changes the error rate at the last severity by {low} to {high} in {len(predictions)} models"
        return f"Abstaining on {unsure} {change}"
    each = (
        f"{format_percent_interval(prediction.error_rate_kept)} for {label} "
        f"(all images: {format_percent(prediction.error_rate.value)})"
        for label, prediction in predictions.items()
    )
    return f"Error rate at the last severity without {unsure}: {join_names(each)}"
