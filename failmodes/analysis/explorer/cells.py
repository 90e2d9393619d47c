"""The data of the explorer: curves, stored metrics of a cell (model, corruption and severity), and its images."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import polars as pl
import polars.selectors as cs

from failmodes.analysis.charts.confusion import cell_confusions
from failmodes.analysis.evaluations.selection import (
    Selection,
    corruption_labels,
    corruption_names,
    read_for_selection,
)
from failmodes.analysis.images.collection import Pictures, pictures_of_rows
from failmodes.analysis.images.rows import PICTURES, PictureRow, curve_rows
from failmodes.analysis.images.stored_images import OpenStudy, missing_map_reason
from failmodes.analysis.images.strips import picture_strip
from failmodes.analysis.render.blocks import ImageStrip
from failmodes.analysis.render.formatting import (
    format_count,
    format_interval,
    format_number,
    format_percent,
    format_percent_interval,
    format_severity,
    lower_label,
)
from failmodes.runtime.errors import QueryError, StudyError
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.metrics.duplicates import independent_share, number_groups
from failmodes.warehouse.metrics.intervals import exact_interval
from failmodes.warehouse.schema import CLEAN

BINS = 15  # of the view `cell_confidence_bins`
TIMEOUT_S = 60
STRIP_PX = 320  # longer side of an image in a strip
HEADINGS = {
    "image_id": "image", "label_name": "true class", "predicted_name": "prediction", "correct": "correct",
    "confidence": "confidence", "label_probability": "probability of the true class", "margin": "margin",
    "entropy_nats": "entropy, nats", "loss_nats": "loss, nats", "rmse": "RMSE from clean", "ssim": "SSIM to clean",
    "file": "file",
}  # fmt: skip
_OF_CELL = "where evaluation_id = $1 and corruption = $2 and severity = $3"
_BINS = f"""
select range / {BINS} as low, (range + 1) / {BINS} as high, coalesce(correct_count, 0) as correct,
    coalesce(image_count - correct_count, 0) as incorrect
from range({BINS}) left join (from cell_confidence_bins {_OF_CELL}) on bin_index = range order by range
"""
_RISKS = f"""
select coverage_percent / 100 as coverage, selective_risk from selective_risks {_OF_CELL} and score = 'confidence'
order by coverage
"""
_IMAGES = """
with cell as (
    select * {pictures} evaluation_id = $evaluation_id and corruption = $cell_corruption and severity = $cell_severity
)
select {columns}, typeof(({condition}
)) as condition_type, coalesce(({condition}
)::boolean, false)
    and ($true_class is null or label_name = $true_class) and ($prediction is null or predicted_name = $prediction)
    as in_slice
from cell
order by in_slice desc, correct, confidence desc nulls last, image_id
"""


class ModelCell(NamedTuple):
    """One model under one corruption at one severity; clean is severity 0 of any corruption.

    Attributes:
        evaluation_id: of the model on its images.
        label: of the model.
        corruption: of the curve of the cell.
        corruption_label: its label.
        severity: from 0, clean.
    """

    evaluation_id: str
    label: str
    corruption: str
    corruption_label: str
    severity: float

    @property
    def key(self) -> str:
        """Its key in the address."""
        return f"{self.evaluation_id},{self.corruption},{self.severity:g}"

    @property
    def stored_corruption(self) -> str:
        """The corruption of the stored rows of the cell: clean cells are stored once for all curves."""
        return self.corruption if self.severity else CLEAN

    @property
    def name(self) -> str:
        """The cell in words: ResNet-18, fog at severity 3."""
        corrupted = f"{lower_label(self.corruption_label)} at severity {format_severity(self.severity)}"
        return f"{self.label}, {corrupted if self.severity else 'clean images'}"


class CellFigures(NamedTuple):
    """The stored metrics of a cell.

    Attributes:
        figures: its row of `accuracy_by_severity`.
        confusions: label_name, prediction, image_count and share_of_label (0-1).
        bins: low and high (0-1), correct and incorrect (images), for 15 equal confidence bins.
        risks: coverage and selective_risk (0-1); empty if not computed.
    """

    figures: dict[str, Any]
    confusions: pl.DataFrame
    bins: pl.DataFrame
    risks: pl.DataFrame

    @property
    def summary(self) -> str:
        """Accuracy with its interval, drop from clean, mean confidence, and the most frequent confusion."""
        of = self.figures
        interval = format_interval(of["accuracy_low"], of["accuracy_high"])
        said = f"Accuracy {format_percent(of['accuracy'])} {interval} on {format_count(of['image_count'], 'image')}"
        if of["severity"] and of["accuracy_drop"] is not None:
            said += f", {format_number(100 * of['accuracy_drop'])} points below clean"
        if of["mean_confidence"] is None and of["non_finite_count"] == of["image_count"]:
            return f"{said}. No confidence is finite."
        incorrect = self.confusions.filter(pl.col("label_name") != pl.col("prediction"))
        most = incorrect.sort("image_count", descending=True, maintain_order=True).head(1).rows(named=True)
        confusion = "".join(
            f" Most frequent confusion: {row['label_name']} predicted as {row['prediction']} "
            f"({format_percent(row['share_of_label'], 0)} of the class)." for row in most
        )  # fmt: skip
        if of["mean_confidence"] is not None:
            said += f"; mean confidence {format_percent(of['mean_confidence'])}"
        return f"{said}.{confusion}"


class Slice(NamedTuple):
    """A filter for the images of a cell; empty fields match all.

    Attributes:
        true_class: name of the true class.
        prediction: name of the predicted class.
        condition: an SQL condition with the columns of `failmodes images --filter`.
    """

    true_class: str | None = None
    prediction: str | None = None
    condition: str = ""

    @property
    def name(self) -> str:
        """The slice in words; "" for all images."""
        parts = [f"true class {self.true_class}"] if self.true_class else []
        parts += [f"predicted {self.prediction}"] if self.prediction else []
        return " and ".join([*parts, *filter(None, [self.condition.strip()])])


class CellImages(NamedTuple):
    """The images of a cell.

    Attributes:
        rows: one row per image, with `in_slice` (bool): the slice first, its most confident misclassifications on top.
        slice: the filter.
    """

    rows: pl.DataFrame
    slice: Slice

    @property
    def chosen(self) -> pl.DataFrame:
        """The rows of the slice."""
        return self.rows.filter("in_slice")

    @property
    def headline(self) -> str:
        """The number of images in the slice, and the slice."""
        if not self.slice.name:
            return format_count(self.rows.height, "image")
        return f"{format_count(self.chosen.height, 'image')} of {self.rows.height:,}: {self.slice.name}"

    @property
    def comparison(self) -> str:
        """Accuracy in the slice and in the rest of its cell; "" if one of them is empty."""
        rest = self.rows.filter(~pl.col("in_slice"))
        if rest.is_empty() or self.chosen.is_empty():
            return ""
        parts = " and ".join(
            f"{format_percent_interval(accuracy_of(rows))} {place}"
            for rows, place in ((self.chosen, "in this slice"), (rest, "in the rest of the cell"))
        )
        return f"Accuracy {parts}. Intervals are valid for a slice that was chosen in advance."

    @property
    def table(self) -> pl.DataFrame:
        """The slice with readable headings, without empty columns."""
        shown = self.chosen.select(*HEADINGS).with_columns(cs.float().cast(pl.Float64).round(4))
        known = [name for name in shown.columns if name == "image_id" or shown[name].null_count() < shown.height]
        return shown.select(known).rename({name: HEADINGS[name] for name in known})


def narrowed(selection: Selection, labels: Sequence[str], corruptions: Sequence[str]) -> Selection:
    """A selection with some of its models and corruptions, in its order.

    Raises:
        StudyError: no model or no corruption is left.
    """
    evaluations = tuple(evaluation for evaluation in selection.evaluations if evaluation.label in labels)
    kept = tuple(name for name in selection.corruptions if name in corruptions)
    if not evaluations or (selection.corruptions and not kept):
        raise StudyError("select at least one model and one corruption")
    extras = tuple(name for name in selection.extras if name in kept)
    return replace(selection, evaluations=evaluations, corruptions=kept, extras=extras)


def read_curves(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """The points of the curves of a selection.

    Returns:
        One row per point: the fields of its `ModelCell`, accuracy with accuracy_low and accuracy_high (exact 95%
        interval, 0-1), image_count; corruptions by their largest drop over models.
    """
    names = {CLEAN: corruption_labels(con)[CLEAN]} | corruption_names(con, selection)
    points = read_for_selection(con, "accuracy_by_severity", selection).with_columns(
        corruption_label=pl.col("corruption").replace_strict(names, return_dtype=pl.String),
        worst=pl.col("accuracy_drop").max().over("corruption"),
    )
    order = points.sort("worst", "corruption", "label", "severity", descending=[True, False, False, False])
    return order.select(*ModelCell._fields, "accuracy", "accuracy_low", "accuracy_high", "image_count")


def cells_of(points: pl.DataFrame) -> dict[str, ModelCell]:
    """The cells of points by key, lowest accuracy first."""
    rows = points.sort("accuracy", maintain_order=True).select(ModelCell._fields).iter_rows()
    return {cell.key: cell for cell in map(ModelCell._make, rows)}


def nearest_cell(cells: Iterable[ModelCell], evaluation_id: str, corruption: str, severity: float) -> ModelCell:
    """The cell of this model and corruption with the nearest severity."""
    of_curve = (cell for cell in cells if (cell.evaluation_id, cell.corruption) == (evaluation_id, corruption))
    return min(of_curve, key=lambda cell: abs(cell.severity - severity))


def read_figures(con: duckdb.DuckDBPyConnection, cell: ModelCell) -> CellFigures:
    """The stored metrics of a cell."""
    severity = Decimal(str(cell.severity))
    stored = [cell.evaluation_id, cell.stored_corruption, severity]
    of_curve = [cell.evaluation_id, cell.corruption, severity]
    figures = con.sql(f"from accuracy_by_severity {_OF_CELL}", params=of_curve).pl()
    return CellFigures(
        figures.with_columns(cs.decimal().cast(pl.Float64)).row(0, named=True),
        cell_confusions(con, cell._asdict()),
        con.sql(_BINS, params=stored).pl(),
        con.sql(_RISKS, params=stored).pl(),
    )


def class_names(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[str]:
    """Class names of the images, in order, each once."""
    statement = "select class_name from classes where dataset_id = $1 order by class_index"
    return list(dict.fromkeys(name for (name,) in con.execute(statement, [selection.shared["dataset_id"]]).fetchall()))


def read_images(con: duckdb.DuckDBPyConnection, path: Path, cell: ModelCell, which: Slice) -> CellImages:
    """The images of a cell, those in a slice first.

    Args:
        con: the warehouse.
        path: its file, on which a condition runs in a locked connection of its own.
        cell: the cell.
        which: the slice.

    Raises:
        QueryError: the condition is invalid, or names an unknown column.
        LimitError: out of time or memory.
        WarehouseError: the warehouse cannot be read.
    """
    columns = ", ".join(dict.fromkeys((*PictureRow._fields, *HEADINGS, "pixel_hash")))
    statement = _IMAGES.format(pictures=PICTURES, columns=columns, condition=which.condition.strip() or "true")
    values = {
        "evaluation_id": cell.evaluation_id, "cell_corruption": cell.stored_corruption, "cell_severity": cell.severity,
        "true_class": which.true_class, "prediction": which.prediction,
    }  # fmt: skip
    is_typed = bool(which.condition.strip())
    rows = (
        run_query(path, statement, values, timeout_s=TIMEOUT_S) if is_typed else con.sql(statement, params=values).pl()
    )
    if kinds := set(rows["condition_type"]) - {"BOOLEAN", '"NULL"'}:
        raise QueryError(f"the condition is of type {kinds.pop()}: expected true or false, as from `confidence > 0.9`")
    return CellImages(rows.drop("condition_type"), which)


def accuracy_of(rows: pl.DataFrame) -> tuple[float, float, float]:
    """Accuracy of one or more images of a cell, with its exact 95% interval, which counts duplicates once."""
    hashes = rows.select(pl.coalesce("pixel_hash", pl.format("image {}", "image_id"))).to_series()
    independent = independent_share(number_groups(hashes.to_numpy()))
    correct = int(rows["correct"].sum())
    low, high = exact_interval(correct * independent, rows.height * independent)
    return correct / rows.height, float(low), float(high)


def pictures_of(
    con: duckdb.DuckDBPyConnection, open_study: OpenStudy | None, images: CellImages, rows: pl.DataFrame
) -> Pictures:
    """Images of a cell.

    Raises:
        StudyError: there is no image, or only a study has the images.
        WarehouseError, DataError: a clean image is missing or damaged.
    """
    if rows.is_empty():
        raise StudyError("no image of this cell is in the slice: relax the filter")
    picture_rows = [PictureRow(*row) for row in rows.select(PictureRow._fields).iter_rows()]
    return pictures_of_rows(con, picture_rows, f"{rows.height} of {images.headline}", open_study=open_study)


def strip_of(
    con: duckdb.DuckDBPyConnection, open_study: OpenStudy | None, selection: Selection, cell: ModelCell, image_id: int
) -> ImageStrip:
    """One image from clean to the last severity of the corruption of a cell, with attention if stored.

    Raises:
        StudyError, WarehouseError, DataError: as `pictures_of`.
    """
    (rows,) = curve_rows(con, narrowed(selection, [cell.label], [cell.corruption]), [image_id])
    made = pictures_of_rows(con, rows, "", open_study=open_study)
    without = [picture.row for picture in made.all if picture.attention is None]
    notes = made.notes + ([f"No attention map: {missing_map_reason(con, without)}"] if without else [])
    return picture_strip(made.all, cell.label, " ".join(f"{note}." for note in notes), max_px=STRIP_PX)
