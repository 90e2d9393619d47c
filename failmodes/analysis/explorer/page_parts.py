"""The small parts of the explorer's page: options of its choices, text of an error in place, tables as HTML."""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import duckdb
import polars as pl

from failmodes.analysis.charts.confusion import NO_NUMBER
from failmodes.analysis.explorer.model_cell import ModelCell
from failmodes.analysis.explorer.slices import CellImages, SliceRequest, image_table, picture_rows
from failmodes.analysis.images.clean_images import OpenStudy
from failmodes.analysis.images.collection import pictures_of_rows
from failmodes.analysis.render.formatting import (
    format_percent,
    format_percent_interval,
    format_severity,
    label_with_extra,
)
from failmodes.analysis.selection import Selection, corruption_labels
from failmodes.analysis.shown_images import ImageSheet
from failmodes.warehouse.errors import FailmodesError, StudyError

Pair = tuple[str | None, str | None]  # a true class and an answer; None is any
NO_PREDICTION = "no answer"  # what rows of pictures call a model's answer where its logits are not finite
NO_PAIR: Pair = (None, None)
HEADINGS = {
    "image_id": "image", "label_name": "true class", "predicted_name": "prediction", "correct": "correct",
    "confidence": "confidence", "label_probability": "probability of the true class", "margin": "margin",
    "entropy_nats": "entropy, nats", "loss_nats": "loss, nats", "rmse": "RMSE from clean", "ssim": "SSIM to clean",
    "file": "file",
}  # fmt: skip
CURVES_TEXT = (
    "Accuracy by severity, with exact 95% intervals. A click shows the cell of the nearest point beneath, where "
    "it can be chosen by name too."
)
MATRIX_TEXT = (
    "A click on a cell of the matrix makes a slice of its images, beneath. A double click, or the choices there, take "
    "it back."
)
SLICES_TEXT = (
    "All images of this cell, or a slice of them: of a class, of an answer, of a range of confidence, or under any "
    "condition in SQL over the columns of outcomes, label_name, predicted_name and file."
)
COMPARISON_TEXT = (
    "On the images and cells that both have, image by image. Every difference is candidate − baseline (B − A)."
)
SQL_TEXT = "Every table and view, to read only. A statement is stopped after a minute."


def attempt(read: Callable[[], Any]) -> tuple[Any, str]:
    """What is read, and ""; or None, and the line that says why not."""
    try:
        return read(), ""
    except FailmodesError as error:
        return None, str(error)


def heading(text: str, level: int = 2) -> str:
    """A heading; text from a warehouse is no markup."""
    return f'<h{level} class="fm-heading">{escape(text)}</h{level}>'


def paragraph(text: str) -> str:
    """A paragraph; text from a warehouse is no markup."""
    return f'<p class="fm-text">{escape(text)}</p>'


def problem_html(problem: str) -> str:
    """A problem in the place of what it kept from being shown."""
    return f'<p class="fm-problem" role="status">{escape(problem)}</p>'


def corruption_options(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[str, str]:
    """Corruptions of a selection by their human names."""
    names = corruption_labels(con)
    return {label_with_extra(names[one], is_extra=one in selection.extras): one for one in selection.corruptions}


def class_names(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[str]:
    """Names of the classes of the images, in their order, each once."""
    found = con.execute(
        "select class_name from classes where dataset_id = $1 order by class_index", [selection.shared["dataset_id"]]
    ).fetchall()
    return list(dict.fromkeys(name for (name,) in found))


def cell_options(cells: Sequence[ModelCell], chosen: ModelCell) -> list[tuple[str, str, dict[str, Any], str]]:
    """What may be chosen in place of each part of a cell: its field, label, values by name, and the name chosen."""
    models = {one.label: one.evaluation_id for one in cells}
    corruptions = {one.corruption_label: one.corruption for one in cells}
    severities = {format_severity(s): s for s in sorted({one.severity for one in cells})}
    return [
        ("evaluation_id", "Model", models, chosen.label),
        ("corruption", "Corruption", corruptions, chosen.corruption_label),
        ("severity", "Severity", severities, format_severity(chosen.severity)),
    ]


def nearest_cell(cells: Sequence[ModelCell], wanted: ModelCell) -> ModelCell:
    """The cell on record that is wanted, or of the same model and corruption the one of the nearest severity."""
    same = [one for one in cells if (one.evaluation_id, one.corruption) == (wanted.evaluation_id, wanted.corruption)]
    return min(same, key=lambda one: abs(one.severity - wanted.severity))


def pair_of(pairs: Any) -> Pair:
    """True class and answer of the cell of a confusion matrix that was clicked; None for both where none is."""
    if not len(pairs):
        return NO_PAIR
    row = pairs.row(0, named=True)
    return row["label_name"], NO_PREDICTION if row["prediction"] == NO_NUMBER else row["prediction"]


def prediction_names(classes: Sequence[str]) -> list[str]:
    """What a prediction may be: a class, one that is none of the images', or none at all."""
    return [*classes, "another class", NO_PREDICTION]


def known_pair(pair: Pair, classes: Sequence[str]) -> Pair:
    """A class and a prediction, each where it may be chosen."""
    true_class, prediction = pair
    is_offered = prediction in prediction_names(classes)
    return true_class if true_class in classes else None, prediction if is_offered else None


def slice_request(values: dict[str, Any]) -> SliceRequest:
    """The slice that the form asks for."""
    lowest, highest = values["confidence"]
    return SliceRequest(values["true_class"], values["prediction"], float(lowest), float(highest), values["condition"])


def readable_images(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of images under headings for people, without columns that are empty throughout."""
    table = image_table(rows)
    known = [name for name in table.columns if name == "image_id" or table[name].null_count() < table.height]
    figures = pl.selectors.float()
    return table.select(known).with_columns(figures.round(4)).rename({name: HEADINGS[name] for name in known})


def chosen_rows(rows: pl.DataFrame, chosen: Any, most: int) -> pl.DataFrame:
    """The images whose pictures are shown: those chosen in the table, else the first."""
    if chosen is not None and len(chosen):
        return rows.filter(pl.col("image_id").is_in(chosen[HEADINGS["image_id"]].to_list())).head(most)
    return rows.head(most)


def picture_sheet(
    con: duckdb.DuckDBPyConnection,
    open_study: OpenStudy | None,
    cell: ModelCell,
    images: CellImages,
    rows: pl.DataFrame,
) -> ImageSheet:
    """Pictures of images of a cell.

    Raises:
        StudyError: there is no image, or pictures are needed that only a study has.
        WarehouseError, DataError: a clean image is missing or damaged.
    """
    if rows.is_empty():
        raise StudyError("no image of this cell is in the slice: take a part of it back")
    headline = f"{cell.name}: {rows.height} of {images.headline}"
    return ImageSheet(pictures_of_rows(con, picture_rows(rows), headline, open_study=open_study))


def parts_html(parts: pl.DataFrame) -> str:
    """The slice, the rest and the whole as a table."""
    rows = []
    for row in parts.rows(named=True):
        cells = [f"{row['images']:,}", "", "", ""]
        if row["images"]:
            interval = (row["accuracy"], row["accuracy_low"], row["accuracy_high"])
            confidence = "" if row["mean_confidence"] is None else format_percent(row["mean_confidence"])
            cells[1:] = [format_percent_interval(interval), confidence, format_percent(row["confident_failure_share"])]
        rows.append([row["part"], *cells])
    head = ["", "images", "accuracy, 95 % interval", "mean confidence", "wrong with confidence 90 % or more"]
    note = (
        "The intervals hold for a slice that was chosen beforehand: of many that are tried, some stand out by chance."
    )
    return f'<div class="fm-parts">{_table(head, rows)}<p><small>{note}</small></p></div>'


def columns_html(relation: str, columns: pl.DataFrame) -> str:
    """The columns of a table or view, each with its meaning where it is on record."""
    rows = [[str(value or "") for value in row] for row in columns.iter_rows()]
    return scrolling(_table(["column", "type", "meaning"], rows), f"Columns of {relation}", is_low=True)


def side_by_side(left: str, right: str) -> str:
    """Two parts of the page as HTML, beside each other, and beneath each other on a narrow screen."""
    return f'<div class="fm-sql"><div>{left}</div><div>{right}</div></div>'


def scrolling(html: str, label: str, *, is_low: bool = False) -> str:
    """HTML that may be wider, or higher, than its place: it scrolls, by the keyboard too."""
    kind = "fm-scrolling fm-low" if is_low else "fm-scrolling"
    return f'<div class="{kind}" role="region" aria-label="{escape(label)}" tabindex="0">{html}</div>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(
        "<tr>"
        + f'<th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in others)
        + "</tr>"
        for first, *others in rows
    )
    return f'<table class="fm-table"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'
