"""What the explorer reads: curves, the stored metrics of a cell (a model, corruption and severity), and its images."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import polars as pl
import polars.selectors as cs

from failmodes.analysis.charts.confusion import cell_confusions
from failmodes.analysis.images.attention import missing_map_reason
from failmodes.analysis.images.clean_images import OpenStudy
from failmodes.analysis.images.collection import Pictures, pictures_of_rows
from failmodes.analysis.images.rows import PICTURES, PictureRow, curve_rows
from failmodes.analysis.images.strips import frame_of, image_strip, strip_title
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
from failmodes.analysis.selection import Selection, corruption_names, read_for_selection
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.errors import QueryError, StudyError
from failmodes.warehouse.metrics.duplicates import independent_share, number_groups
from failmodes.warehouse.metrics.intervals import exact_interval
from failmodes.warehouse.schema import CLEAN

BINS = 15  # of the view `cell_confidence_bins`
TIMEOUT_S = 60
STRIP_PX = 320  # longer side of an image of a strip
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


class Cell(NamedTuple):
    """One model under one corruption at one severity; clean is severity 0 of any corruption.

    Attributes:
        evaluation_id: of the model on its images.
        label: the model, as charts call it.
        corruption: whose curve the cell is on.
        corruption_label: the same for people.
        severity: from 0, clean.
    """

    evaluation_id: str
    label: str
    corruption: str
    corruption_label: str
    severity: float

    @property
    def key(self) -> str:
        """What names it in an address."""
        return f"{self.evaluation_id},{self.corruption},{self.severity:g}"

    @property
    def stored_corruption(self) -> str:
        """The corruption under which the cell's rows are stored: clean is stored once, for all curves."""
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
        confusions: label_name, prediction, image_count and share_of_label (0-1), a row for each that occurred.
        bins: low and high (0-1), correct and incorrect (images), a row for each of the 15 equal bins of confidence.
        risks: coverage and selective_risk (0-1); empty where it was not computed.
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
        said += f", {format_number(100 * of['accuracy_drop'])} points below clean" if of["severity"] else ""
        if of["mean_confidence"] is None:
            return f"{said}. No confidence is a finite number."
        incorrect = self.confusions.filter(pl.col("label_name") != pl.col("prediction"))
        most = incorrect.sort("image_count", descending=True, maintain_order=True).head(1).rows(named=True)
        confusion = "".join(
            f" Most frequent confusion: {row['label_name']} predicted as {row['prediction']} "
            f"({format_percent(row['share_of_label'], 0)} of the class)." for row in most
        )  # fmt: skip
        return f"{said}; mean confidence {format_percent(of['mean_confidence'])}.{confusion}"


class Slice(NamedTuple):
    """Which images of a cell; a field that is empty lets all through.

    Attributes:
        true_class: name of their true class.
        prediction: name of the predicted class.
        condition: any condition in SQL over the columns of `outcomes`, label_name, predicted_name, file and the other
            names that `failmodes images --filter` takes.
    """

    true_class: str | None = None
    prediction: str | None = None
    condition: str = ""

    @property
    def name(self) -> str:
        """The slice in words; "" where it is all images."""
        parts = [f"true class {self.true_class}"] if self.true_class else []
        parts += [f"predicted {self.prediction}"] if self.prediction else []
        return " and ".join([*parts, *filter(None, [self.condition.strip()])])


ALL_IMAGES = Slice()


class CellImages(NamedTuple):
    """The images of a cell.

    Attributes:
        rows: a row an image, with `in_slice` (bool): the slice first, and in it the most confident mistakes.
        slice: which part it is.
    """

    rows: pl.DataFrame
    slice: Slice

    @property
    def chosen(self) -> pl.DataFrame:
        """The rows of the slice."""
        return self.rows.filter("in_slice")

    @property
    def headline(self) -> str:
        """How many images there are in the slice, and which."""
        if not self.slice.name:
            return format_count(self.rows.height, "image")
        return f"{format_count(self.chosen.height, 'image')} of {self.rows.height:,}: {self.slice.name}"

    @property
    def comparison(self) -> str:
        """Accuracy in the slice and in the rest of its cell; "" where there is no rest."""
        rest = self.rows.filter(~pl.col("in_slice"))
        if rest.is_empty() or self.chosen.is_empty():
            return ""
        parts = " and ".join(
            f"{format_percent_interval(accuracy_of(rows))} {place}"
            for rows, place in ((self.chosen, "in this slice"), (rest, "in the rest of the cell"))
        )
        return f"Accuracy {parts}. The intervals hold for a slice that was chosen beforehand."

    @property
    def table(self) -> pl.DataFrame:
        """The slice under headings for people, without columns that are empty throughout."""
        shown = self.chosen.select(*HEADINGS).with_columns(cs.float().cast(pl.Float64).round(4))
        known = [name for name in shown.columns if name == "image_id" or shown[name].null_count() < shown.height]
        return shown.select(known).rename({name: HEADINGS[name] for name in known})


def narrowed(selection: Selection, labels: Sequence[str], corruptions: Sequence[str]) -> Selection:
    """A selection with some of its models and corruptions, in its own order.

    Raises:
        StudyError: none of either is left.
    """
    evaluations = tuple(one for one in selection.evaluations if one.label in labels)
    kept = tuple(name for name in selection.corruptions if name in corruptions)
    if not evaluations or not kept:
        raise StudyError("choose at least one model and one corruption")
    extras = tuple(name for name in selection.extras if name in kept)
    return replace(selection, evaluations=evaluations, corruptions=kept, extras=extras)


def read_curves(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """The points of the curves of a selection.

    Returns:
        A row a point: the fields of its `Cell`, accuracy with accuracy_low and accuracy_high (exact 95% interval, 0-1),
        image_count; corruptions by the largest drop of a model.
    """
    names = corruption_names(con, selection)
    found = read_for_selection(con, "accuracy_by_severity", selection).with_columns(
        corruption_label=pl.col("corruption").replace_strict(names, return_dtype=pl.String),
        worst=pl.col("accuracy_drop").max().over("corruption"),
    )
    order = found.sort("worst", "corruption", "label", "severity", descending=[True, False, False, False])
    return order.select(*Cell._fields, "accuracy", "accuracy_low", "accuracy_high", "image_count")


def cells_of(points: pl.DataFrame) -> dict[str, Cell]:
    """The cell of each point by its key, the lowest accuracy first."""
    rows = points.sort("accuracy", maintain_order=True).select(Cell._fields).iter_rows()
    return {cell.key: cell for cell in map(Cell._make, rows)}


def nearest_cell(cells: Iterable[Cell], evaluation_id: str, corruption: str, severity: float) -> Cell:
    """The cell of this model and corruption whose severity is nearest."""
    of_curve = (one for one in cells if (one.evaluation_id, one.corruption) == (evaluation_id, corruption))
    return min(of_curve, key=lambda one: abs(one.severity - severity))


def read_figures(con: duckdb.DuckDBPyConnection, cell: Cell) -> CellFigures:
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
    """Names of the classes of the images, in their order, each once."""
    statement = "select class_name from classes where dataset_id = $1 order by class_index"
    return list(dict.fromkeys(name for (name,) in con.execute(statement, [selection.shared["dataset_id"]]).fetchall()))


def read_images(con: duckdb.DuckDBPyConnection, path: Path, cell: Cell, which: Slice = ALL_IMAGES) -> CellImages:
    """The images of a cell, with those that belong to a slice in front.

    Args:
        con: the warehouse.
        path: its file, which a condition is asked of on a locked connection of its own.
        cell: which model, corruption and severity.
        which: the slice; all images if not given.

    Raises:
        QueryError: the condition is none, or names an unknown column.
        LimitError: time or memory ran out.
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
        raise QueryError(f"the condition gives {kinds.pop()}: expected true or false, as `confidence > 0.9` gives it")
    return CellImages(rows.drop("condition_type"), which)


def accuracy_of(rows: pl.DataFrame) -> tuple[float, float, float]:
    """Accuracy of some images of a cell, at least one, with its exact 95% interval, which counts copies once."""
    hashes = rows.select(pl.coalesce("pixel_hash", pl.format("image {}", "image_id"))).to_series()
    independent, correct = independent_share(number_groups(hashes.to_numpy())), int(rows["correct"].sum())
    low, high = exact_interval(correct * independent, rows.height * independent)
    return correct / rows.height, float(low), float(high)


def pictures_of(
    con: duckdb.DuckDBPyConnection, open_study: OpenStudy | None, images: CellImages, rows: pl.DataFrame
) -> Pictures:
    """Pictures of some images of a cell.

    Raises:
        StudyError: there is no image, or pictures are needed that only a study has.
        WarehouseError, DataError: a clean image is missing or damaged.
    """
    if rows.is_empty():
        raise StudyError("no image of this cell is in the slice: take a part of it back")
    found = [PictureRow(*row) for row in rows.select(PictureRow._fields).iter_rows()]
    return pictures_of_rows(con, found, f"{rows.height} of {images.headline}", open_study=open_study)


def strip_of(
    con: duckdb.DuckDBPyConnection, open_study: OpenStudy | None, selection: Selection, cell: Cell, image_id: int
) -> ImageStrip:
    """One image from clean to the last severity of a cell's corruption, with attention where it is stored.

    Raises:
        StudyError, WarehouseError, DataError: as `pictures_of`.
    """
    (rows,) = curve_rows(con, narrowed(selection, [cell.label], [cell.corruption]), [image_id])
    made = pictures_of_rows(con, rows, "", open_study=open_study)
    without = [picture.row for picture in made.all if picture.attention is None]
    notes = made.notes + ([f"No attention map: {missing_map_reason(con, without)}"] if without else [])
    return image_strip(
        strip_title(cell.corruption_label, cell.label, image_id, rows[0].label_name),
        " ".join(f"{note}." for note in notes),
        [picture.pixels for picture in made.all],
        [frame_of(float(r.severity), r.predicted_name, r.confidence, is_correct=r.correct) for r in rows],
        is_lossless=True,
        maps=[picture.attention for picture in made.all],
        most_px=STRIP_PX,
    )
