"""Confusion matrix of each model in its cell of lowest accuracy."""

from decimal import Decimal
from typing import Any

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame, small_multiples, text_width
from failmodes.analysis.charts.style.heat_map import DARK_FROM, WHOLE_PX, number_layers
from failmodes.analysis.charts.style.theme import SOURCE_PX
from failmodes.analysis.evaluations.selection import Selection, corruption_labels, read_for_selection
from failmodes.analysis.evaluations.trained_models import noun_of_runs
from failmodes.analysis.images.rows import NO_PREDICTION
from failmodes.analysis.render.formatting import (
    MAX_LISTED,
    format_count,
    format_number,
    format_percent,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.runtime.errors import WarehouseError

MAX_CLASSES = 12  # of more, the matrix shows those in the most frequent confusions
MAX_NAME_PX, ROW_PX, MIN_ROW_PX = 110, 22, 12
TOOLTIPS = (
    alt.Tooltip("label_name:N", title="true class"), alt.Tooltip("prediction:N", title="predicted class"),
    alt.Tooltip("image_count:Q", title="images"),
    alt.Tooltip("share_of_label:Q", format=".1%", title="share of the true class"),
)  # fmt: skip


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """True class (rows) against predicted class (columns) in the cell of lowest accuracy, one panel per model.

    Of more than four models, the four with the lowest accuracy are shown.
    """
    names = corruption_labels(con)
    cells = read_for_selection(con, "accuracy_by_severity", selection)
    if selection.corruptions:
        cells = cells.filter(pl.col("severity") > 0)
    worst = cells.sort("accuracy", "severity", "corruption").unique("label", keep="first", maintain_order=True)
    if worst.is_empty():
        raise WarehouseError("no confusion matrix to show: there is no corrupted cell")
    counts = []
    phrases = []
    for row in worst.head(MAX_LISTED).rows(named=True):
        cell, where = "clean images", "on clean images"
        if row["severity"]:
            cell = f"{lower_label(names[row['corruption']])} {format_severity(row['severity'])}"
            where = f"under {lower_label(names[row['corruption']])} at severity {format_severity(row['severity'])}"
        counts.append(cell_confusions(con, row).with_columns(panel=pl.lit(f"{row['label']}: {cell}")))
        phrases.append(f"{row['label']} {format_percent(row['accuracy'])} {where}")
    rows = pl.concat(counts)
    many = (classes := rows["label"].n_unique()) > MAX_CLASSES
    if many and rows.filter(pl.col("label_name") != pl.col("prediction"))["image_count"].max() in (None, 1):
        raise WarehouseError(
            f"no confusion matrix to show: of {classes:,} classes, none is confused with another for two images"
        )
    which = f"; only the {MAX_CLASSES} classes in the most frequent confusions" if many else ""
    which += f"; the {MAX_LISTED} of {len(worst)} models with the lowest accuracy" if len(worst) > MAX_LISTED else ""
    count = format_count(len(worst), noun_of_runs(selection.evaluations))
    return Figure(
        confusion_matrices(rows, frame),
        f"Lowest accuracy: {join_names(phrases) if len(worst) <= 2 else f'{phrases[0]}, of {count}'}",
        "Confusion matrix of each model in its cell of lowest accuracy: true class (rows) against predicted class "
        f"(columns), in percent of the true class{which}. {selection.images}.",
        selection.source_line,
        frame,
    )


def cell_confusions(con: duckdb.DuckDBPyConnection, cell: dict[str, Any]) -> pl.DataFrame:
    """Confusions of one cell: label_name, prediction, image_count, share_of_label."""
    prediction = f"coalesce(predicted_name, '{NO_PREDICTION}')"
    rows: pl.DataFrame = con.sql(
        f"select label, label_name, {prediction} as prediction, coalesce(predicted, 32767) as place, image_count, "
        "share_of_label from confusion_by_severity where evaluation_id = $1 and corruption = $2 and severity = $3 "
        "order by label, place, prediction",
        params=[cell["evaluation_id"], cell["corruption"], Decimal(str(cell["severity"]))],
    ).pl()
    return rows


def confusion_matrices(counts: pl.DataFrame, frame: Frame) -> alt.FacetChart:
    """One matrix per `panel` of `cell_confusions`, all with the same classes."""
    rows, columns = _shown(counts, "label_name", "label"), _shown(counts, "prediction", "place")
    if counts["label"].n_unique() <= MAX_CLASSES:
        columns = list(dict.fromkeys([*rows, *columns]))
    left_px = min(MAX_NAME_PX, max(map(text_width, rows), default=0)) + 26
    order = list(dict.fromkeys(counts["panel"]))
    panels = frame.panels(len(order), 2, left_px=left_px)
    cell_px = panels.width / max(1, len(columns))
    below_px = min(MAX_NAME_PX, max(map(text_width, columns), default=0)) * 0.7 + 50
    height = max(MIN_ROW_PX * len(rows), panels.height(ROW_PX * len(rows), below_px))
    percent = pl.col("share_of_label").map_elements(lambda share: format_number(100 * share, 0), return_dtype=pl.String)
    data = counts.filter(pl.col("label_name").is_in(rows), pl.col("prediction").is_in(columns)).with_columns(
        is_high=pl.col("share_of_label") > DARK_FROM, text=percent if cell_px >= WHOLE_PX + 4 else pl.lit("")
    )
    axis: dict[str, Any] = {"domain": False, "ticks": False, "labelLimit": MAX_NAME_PX}
    x = alt.X("prediction:N", title="predicted class", scale=alt.Scale(domain=columns),
              axis=alt.Axis(labelAngle=-45, **axis))  # fmt: skip
    y = alt.Y("label_name:N", title="true class", scale=alt.Scale(domain=rows),
              axis=alt.Axis(minExtent=left_px - 16, maxExtent=left_px - 16, **axis))  # fmt: skip
    layers = number_layers(x, y, "share_of_label:Q", 1, TOOLTIPS, font_px=SOURCE_PX)
    return small_multiples(layers, data, "panel", order, panels, height)


def _shown(counts: pl.DataFrame, name: str, place: str) -> list[str]:
    """Class names of a column in their order; of many those in the most frequent confusions."""
    names = counts.sort(place)[name].unique(maintain_order=True).to_list()
    incorrect = counts.filter(pl.col("label_name") != pl.col("prediction")).sort("image_count", descending=True)
    kept = names if len(names) <= MAX_CLASSES else list(dict.fromkeys(incorrect[name]))[:MAX_CLASSES]
    return [name for name in names if name in kept]
