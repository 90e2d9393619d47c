"""Confusion matrix of each model's worst cell: what the images of each class are taken for."""

from decimal import Decimal
from typing import Any

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.axes import model_columns, panel_title
from failmodes.analysis.charts.style.combining import in_grid, layered
from failmodes.analysis.charts.style.heat_map import DARK_FROM, WHOLE_PX
from failmodes.analysis.charts.style.labels import FONT_PX, text_width
from failmodes.analysis.charts.style.theme import PAGE, ChartSize, ChartText, Layered, add_text
from failmodes.analysis.render.formatting import (
    MAX_LISTED,
    format_number,
    format_percent,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.selection import Selection, corruption_labels, read_for_selection
from failmodes.warehouse.errors import WarehouseError

MOST_CLASSES = 12  # a matrix of more has those that are confused most
MOST_NAME_PX, ROW_PX, NUMBER_PX = 110, 22, 9.5
NO_NUMBER = "no number"  # where the logits are not finite
TOOLTIPS = (
    alt.Tooltip("label_name:N", title="class"), alt.Tooltip("prediction:N", title="taken for"),
    alt.Tooltip("image_count:Q", title="images"),
    alt.Tooltip("share_of_label:Q", format=".1%", title="of the images of the class"),
)  # fmt: skip


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """Class (rows) against answer (columns) in the cell of the lowest accuracy, a panel a model.

    Of more than four models those of the lowest accuracies are shown.
    """
    names = corruption_labels(con)
    cells = read_for_selection(con, "accuracy_by_severity", selection).filter(pl.col("severity") > 0)
    worst = cells.sort("accuracy", "severity", "corruption").unique("label", keep="first", maintain_order=True)
    if worst.is_empty():
        raise WarehouseError("no confusions to show: there is no corrupted cell")
    shown = worst.head(MAX_LISTED).rows(named=True)
    places = [
        f"{lower_label(names[row['corruption']])} at severity {format_severity(row['severity'])}" for row in shown
    ]
    counts = [cell_confusions(con, row) for row in shown]
    columns, width = model_columns(size, len(shown), 20 + name_px(counts))
    panels = [
        confusion_panel(part, row["label"], place, width)
        for row, place, part in zip(shown, places, counts, strict=True)
    ]
    phrases = [f"{r['label']} {format_percent(r['accuracy'])} under {p}" for r, p in zip(shown, places, strict=True)]
    text = ChartText(
        f"Lowest accuracy: {join_names(phrases) if len(worst) <= 2 else f'{phrases[0]}, of {len(worst)} models'}",
        "What the images of each class (rows) are taken for (columns) in the cell of the lowest accuracy, in per cent "
        f"of the images of the class{_left_out(counts, len(worst))}. {selection.images}.",
        selection.source_line,
    )
    return add_text([in_grid(*panels, columns=columns, spacing=16)], text, size)


def cell_confusions(con: duckdb.DuckDBPyConnection, cell: dict[str, Any]) -> pl.DataFrame:
    """Of one cell each class with each of its predictions: label_name, prediction, image_count, share_of_label."""
    prediction = f"coalesce(predicted_name, '{NO_NUMBER}')"
    found: pl.DataFrame = con.sql(
        f"select label, label_name, {prediction} as prediction, coalesce(predicted, 32767) as place, image_count, "
        "share_of_label from confusion_by_severity where evaluation_id = $1 and corruption = $2 and severity = $3 "
        "order by label, place, prediction",
        params=[cell["evaluation_id"], cell["corruption"], Decimal(str(cell["severity"]))],
    ).pl()
    return found


def _shown(counts: pl.DataFrame) -> tuple[list[str], list[str]]:
    """Names of the rows and columns: all classes that occur, of many those that go into the commonest confusions."""
    labels, predictions = (
        dict(counts.select("label_name", "label").rows()),
        dict(counts.select("prediction", "place").rows()),
    )
    if len(labels) > MOST_CLASSES:
        incorrect = counts.filter(pl.col("label_name") != pl.col("prediction")).sort("image_count", descending=True)
        kept, given = (list(dict.fromkeys(incorrect[c]))[:MOST_CLASSES] for c in ("label_name", "prediction"))
        return sorted(kept, key=labels.__getitem__), sorted(given, key=predictions.__getitem__)
    rows = sorted(labels, key=labels.__getitem__)
    others = sorted(predictions.keys() - labels.keys(), key=predictions.__getitem__)
    return rows, rows + others[:MOST_CLASSES]


def name_px(counts: list[pl.DataFrame]) -> float:
    """Room at the left of matrices for the names of their classes."""
    longest = max((text_width(name, FONT_PX) for part in counts for name in part["label_name"]), default=0)
    return min(MOST_NAME_PX, longest + 14)


def _left_out(counts: list[pl.DataFrame], models: int) -> str:
    """What of the matrices, and which models, are not shown."""
    many = any(part["label"].n_unique() > len(_shown(part)[0]) for part in counts)
    classes = f"; of more than {MOST_CLASSES} classes those of the commonest confusions" if many else ""
    return classes + (f"; the {MAX_LISTED} of {models} models with the lowest" if models > MAX_LISTED else "")


def confusion_panel(counts: pl.DataFrame, title: str, place: str, width: float) -> Layered:
    """The matrix of one cell: its counts as `cell_confusions` gives them, under a title and a subtitle."""
    rows, columns = _shown(counts)
    cell_px = width / max(1, len(columns))
    data = counts.filter(pl.col("label_name").is_in(rows), pl.col("prediction").is_in(columns)).with_columns(
        is_high=pl.col("share_of_label") > DARK_FROM,
        text=pl.Series([""] * len(counts)) if cell_px < WHOLE_PX + 4 else
        pl.col("share_of_label").map_elements(lambda v: format_number(100 * v, 0), return_dtype=pl.String),
    )  # fmt: skip
    axis: dict[str, Any] = {"domain": False, "ticks": False, "labelLimit": MOST_NAME_PX, "labelFontSize": FONT_PX}
    x = alt.X("prediction:N", sort=columns, title="taken for", scale=alt.Scale(domain=columns),
              axis=alt.Axis(labelAngle=-45, orient="bottom", **axis))  # fmt: skip
    y = alt.Y("label_name:N", sort=rows, title="class", scale=alt.Scale(domain=rows), axis=alt.Axis(**axis))
    base = alt.Chart(data).encode(x=x, y=y, tooltip=list(TOOLTIPS))
    color = alt.Color("share_of_label:Q", scale=alt.Scale(domain=[0, 1], clamp=True, nice=False), legend=None)
    number = base.encode(text=alt.Text("text:N"))
    return layered(
        base.mark_rect().encode(color=color),
        number.transform_filter("!datum.is_high").mark_text(fontSize=NUMBER_PX, style="on-low"),
        number.transform_filter("datum.is_high").mark_text(fontSize=NUMBER_PX, style="on-high"),
        width=width,
        height=ROW_PX * max(1, len(rows)),
        title=panel_title(title, width, subtitle=place),
    )
