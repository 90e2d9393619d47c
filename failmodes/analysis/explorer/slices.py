"""The images of one cell, and a slice of them: of a class, of a range of confidence, or under any condition in SQL."""

from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl
import polars.selectors as cs

from failmodes.analysis.explorer.cells import Cell, narrowed
from failmodes.analysis.images.clean_images import OpenStudy
from failmodes.analysis.images.attention import missing_map_reason
from failmodes.analysis.images.collection import Pictures, pictures_of_rows
from failmodes.analysis.images.rows import PICTURES, PictureRow, curve_rows
from failmodes.analysis.render import blocks
from failmodes.analysis.render.formatting import format_count, format_percent, format_percent_interval
from failmodes.analysis.report.gallery import frame_of, image_strip
from failmodes.analysis.selection import Selection
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.errors import QueryError, StudyError
from failmodes.warehouse.metrics.duplicates import independent_share, number_groups
from failmodes.warehouse.metrics.intervals import exact_interval

CONFIDENT = 0.9  # an incorrect prediction of this confidence or more is counted apart
TIMEOUT_S = 60
STRIP_PX = 320  # longer side of a picture of a strip
HEADINGS = {
    "image_id": "image", "label_name": "true class", "predicted_name": "prediction", "correct": "correct",
    "confidence": "confidence", "label_probability": "probability of the true class", "margin": "margin",
    "entropy_nats": "entropy, nats", "loss_nats": "loss, nats", "rmse": "RMSE from clean", "ssim": "SSIM to clean",
    "file": "file",
}  # fmt: skip
_COLUMNS = ", ".join(dict.fromkeys((*PictureRow._fields, *HEADINGS, "pixel_hash")))
_STATEMENT = """
with cell as (
    select * {pictures} evaluation_id = $evaluation_id and corruption = $cell_corruption and severity = $cell_severity
)
select {columns}, typeof(({condition}
)) as condition_type, coalesce(({condition}
)::boolean, false)
    and ($true_class is null or label_name = $true_class) and ($prediction is null or predicted_name = $prediction)
    and ($lowest = 0 and $highest = 1 or coalesce(confidence between $lowest and $highest, false)) as in_slice
from cell
order by in_slice desc, correct, confidence desc nulls last, image_id
"""


class Slice(NamedTuple):
    """Which images of a cell; a field that is not given lets all through.

    Attributes:
        true_class: name of their true class.
        prediction: name of the predicted class.
        confidence: lowest and highest confidence, 0-1.
        condition: any condition in SQL over the columns of `outcomes`, label_name, predicted_name, file and the other
            names that `failmodes images --filter` takes.
    """

    true_class: str | None = None
    prediction: str | None = None
    confidence: tuple[float, float] = (0.0, 1.0)
    condition: str = ""

    @property
    def name(self) -> str:
        """The slice in words; "" where it is all images."""
        parts = [f"true class {self.true_class}"] if self.true_class else []
        parts += [f"predicted {self.prediction}"] if self.prediction else []
        if tuple(self.confidence) != (0, 1):
            parts.append("confidence {:g} to {:g}".format(*self.confidence))
        return " and ".join([*parts, *filter(None, [self.condition.strip()])])


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
    def table(self) -> pl.DataFrame:
        """The slice under headings for people, without columns that are empty throughout."""
        shown = self.chosen.select(*HEADINGS).with_columns(cs.float().cast(pl.Float64).round(4))
        known = [name for name in shown.columns if name == "image_id" or shown[name].null_count() < shown.height]
        return shown.select(known).rename({name: HEADINGS[name] for name in known})


def read_images(path: Path, cell: Cell, which: Slice = Slice()) -> CellImages:
    """The images of a cell, with those that belong to a slice in front.

    Args:
        path: the warehouse.
        cell: which model, corruption and severity.
        which: the slice; all images if not given.

    Raises:
        QueryError: the condition is none, or names an unknown column.
        LimitError: time or memory ran out.
        WarehouseError: the warehouse cannot be read.
    """
    condition = which.condition.strip() or "true"
    statement = _STATEMENT.format(pictures=PICTURES, columns=_COLUMNS, condition=condition)
    values = {
        "evaluation_id": cell.evaluation_id, "cell_corruption": cell.stored_corruption, "cell_severity": cell.severity,
        "true_class": which.true_class, "prediction": which.prediction,
        "lowest": float(which.confidence[0]), "highest": float(which.confidence[1]),
    }  # fmt: skip
    rows = run_query(path, statement, values, timeout_s=TIMEOUT_S)
    if kinds := set(rows["condition_type"]) - {"BOOLEAN", '"NULL"'}:
        raise QueryError(f"the condition gives {kinds.pop()}: expected true or false, as `confidence > 0.9` gives it")
    return CellImages(rows.drop("condition_type"), which)


def compare_parts(images: CellImages) -> blocks.Table:
    """The slice beside the rest of its cell and the whole cell, with exact 95% intervals that count copies once."""
    parts = {"slice": images.chosen, "rest of the cell": images.rows.filter(~pl.col("in_slice")), "cell": images.rows}
    return blocks.Table(
        "The slice and the rest of its cell",
        "Intervals hold for a slice that was chosen beforehand: of many that are tried, some stand out by chance.",
        ("", "images", "accuracy", "mean confidence", f"incorrect, confidence ≥ {format_percent(CONFIDENT, 0)}"),
        tuple((blocks.Cell(name), *map(blocks.Cell, _figures(rows))) for name, rows in parts.items()),
    )


def _figures(rows: pl.DataFrame) -> tuple[str, str, str, str]:
    """Count, accuracy with interval, mean confidence, and share of confident mistakes, as texts; "" where none."""
    if rows.is_empty():
        return "0", "", "", ""
    hashes = rows.select(pl.coalesce("pixel_hash", pl.format("image {}", "image_id"))).to_series()
    independent = independent_share(number_groups(hashes.to_numpy()))
    correct, confidence = int(rows["correct"].sum()), rows["confidence"].cast(pl.Float64)
    low, high = exact_interval(correct * independent, rows.height * independent)
    confident = int((~rows["correct"] & (confidence >= CONFIDENT)).sum())
    return (
        f"{rows.height:,}",
        format_percent_interval((correct / rows.height, float(low), float(high))),
        "" if confidence.is_null().all() else format_percent(float(confidence.mean())),  # type: ignore[arg-type]
        format_percent(confident / rows.height),
    )


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
) -> blocks.ImageStrip:
    """One image from clean to the last severity of a cell's corruption, with attention where it is stored.

    Raises:
        StudyError, WarehouseError, DataError: as `pictures_of`.
    """
    (rows,) = curve_rows(con, narrowed(selection, [cell.label], [cell.corruption]), [image_id])
    made = pictures_of_rows(con, rows, "", open_study=open_study)
    without = [picture.row for picture in made.all if picture.attention is None]
    why = f"No attention map: {missing_map_reason(con, without)}." if without else ""
    return image_strip(
        f"{cell.corruption_label}, {cell.label}: image {image_id}, class “{rows[0].label_name}”",
        " ".join([*made.notes, why]).strip(),
        [picture.made.pixels for picture in made.all],
        [frame_of(float(r.severity), r.predicted_name, r.confidence, is_correct=r.correct) for r in rows],
        is_lossless=True,
        maps=[picture.attention for picture in made.all],
        most_px=STRIP_PX,
    )
