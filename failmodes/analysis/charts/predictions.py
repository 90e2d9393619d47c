"""Heat map of how much of a model's answers is its commonest one, in every cell: mode collapse."""

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.axes import model_columns
from failmodes.analysis.charts.style.combining import in_grid
from failmodes.analysis.charts.style.heat_map import LEAST_ROW_PX, ROW_PX, heat_map, label_width, row_order, with_names
from failmodes.analysis.charts.style.theme import PAGE, ChartSize, ChartText, add_text
from failmodes.analysis.judging.findings.kind import where
from failmodes.analysis.judging.findings.prediction_collapse import given_predictions
from failmodes.analysis.render.formatting import format_percent
from failmodes.analysis.selection import Selection, read_for_selection
from failmodes.analysis.statistics.predictions import find_collapse
from failmodes.warehouse.errors import WarehouseError

TOOLTIPS = (
    alt.Tooltip("name:N", title="corruption"), alt.Tooltip("severity:Q"),
    alt.Tooltip("top_prediction_name:N", title="commonest answer"),
    alt.Tooltip("top_prediction_share:Q", format=".1%", title="of the answers"),
    alt.Tooltip("top_prediction_label_share:Q", format=".1%", title="of the labels"),
    alt.Tooltip("predicted_class_count:Q", title="classes that occur as prediction"),
    alt.Tooltip("mean_confidence:Q", format=".1%", title="mean confidence"),
    alt.Tooltip("accuracy:Q", format=".1%"),
)  # fmt: skip


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """Share of the commonest answer: corruption (by group, then mean share, extras last) against severity.

    Raises:
        WarehouseError: no prediction is a finite number.
    """
    cells = with_names(read_for_selection(con, "predictions_by_severity", selection)).drop_nulls("top_prediction")
    if cells.is_empty():
        raise WarehouseError("no answers to show: no prediction is a finite number")
    order = row_order(cells, "top_prediction_share")
    even = float(cells.select(pl.col("top_prediction_label_share").mean()).item())
    label_px = label_width(order)
    labels = [label for label in selection.labels.values() if label in cells["label"].to_list()]
    columns, width = model_columns(size, len(labels), 20, label_px)
    panels = [
        heat_map(cells.filter(label=label), "top_prediction_share", order, label, 1.0, width, TOOLTIPS,
                 row_px=size.height(ROW_PX, LEAST_ROW_PX), is_left=not index % columns)
        for index, label in enumerate(labels)
    ]  # fmt: skip
    text = ChartText(
        collapse_sentence(con, selection),
        f"Share of the commonest answer among a model's answers, in per cent, from clean (0) on; of the labels that "
        f"class has {format_percent(even)} on average. {selection.images}.",
        selection.source_line,
    )
    return add_text([in_grid(*panels, columns=columns, spacing=16)], text, size)


def collapse_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """The most collapsed cell of all models, or that there is none."""
    found = {evaluation: find_collapse(con, selection, evaluation) for evaluation in selection.evaluations}
    collapsed = [(evaluation.label, collapse) for evaluation, collapse in found.items() if collapse]
    if not collapsed:
        return "No model is seen to give one answer to nearly all images of a cell"
    label, worst = max(collapsed, key=lambda pair: pair[1].share.value)
    return f"{where(con, worst.corruption, worst.severity)} {label} {given_predictions(worst)}"
