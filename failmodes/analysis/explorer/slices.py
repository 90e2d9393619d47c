"""The images of one cell, and a slice of them: of a class, of a range of confidence, or under any condition in SQL."""

from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import polars.selectors as cs

from failmodes.analysis.explorer.cell_figures import BINS, full_bins
from failmodes.analysis.explorer.model_cell import ModelCell
from failmodes.analysis.images.rows import PICTURES, PictureRow
from failmodes.analysis.render.formatting import format_count
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.errors import QueryError
from failmodes.warehouse.metrics.duplicates import independent_share, number_groups
from failmodes.warehouse.metrics.intervals import exact_interval

ANY = "any"
CONFIDENT = 0.9  # a wrong answer of this confidence or more is told apart
PARTS = ("slice", "rest of the cell", "whole cell")
TIMEOUT_S = 60

_SHOWN = ("image_id", "label_name", "predicted_name", "correct", "confidence", "label_probability", "margin",
          "entropy_nats", "loss_nats", "rmse", "ssim", "file")  # fmt: skip
_COLUMNS = ", ".join(dict.fromkeys((*PictureRow._fields, *_SHOWN, "pixel_hash")))
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


class SliceRequest(NamedTuple):
    """Which images of a cell; what is not given lets all through.

    Attributes:
        true_class: name of the class that they are of.
        prediction: name of the class that was predicted.
        lowest: confidence from which on, 0-1.
        highest: confidence up to which, 0-1.
        condition: any condition in SQL over the columns of `outcomes`, label_name, predicted_name, file and the other
            names that `failmodes images --filter` takes.
    """

    true_class: str | None = None
    prediction: str | None = None
    lowest: float = 0.0
    highest: float = 1.0
    condition: str = ""

    @property
    def is_everything(self) -> bool:
        """Whether it lets every image through."""
        return self == SliceRequest()

    @property
    def name(self) -> str:
        """The slice in words."""
        parts = [f"true class {self.true_class}"] if self.true_class else []
        parts += [f"predicted {self.prediction}"] if self.prediction else []
        if (self.lowest, self.highest) != (0, 1):
            parts.append(f"confidence {self.lowest:g} to {self.highest:g}")
        parts += [self.condition.strip()] if self.condition.strip() else []
        return " and ".join(parts) or "all images"


class CellImages(NamedTuple):
    """The images of a cell.

    Attributes:
        rows: a row an image, with `in_slice` (bool): the slice first, and in it the most confident mistakes.
        request: the slice.
    """

    rows: pl.DataFrame
    request: SliceRequest

    @property
    def slice(self) -> pl.DataFrame:
        """The rows of the slice."""
        return self.rows.filter("in_slice")

    @property
    def headline(self) -> str:
        """How many images there are in the slice, and which."""
        if self.request.is_everything:
            return format_count(self.rows.height, "image")
        return f"{format_count(self.slice.height, 'image')} of {self.rows.height:,}: {self.request.name}"


def read_images(path: Path, cell: ModelCell, request: SliceRequest | None = None) -> CellImages:
    """The images of a cell, with those that belong to a slice in front.

    Args:
        path: the warehouse.
        cell: which model, corruption and severity.
        request: the slice; all images if not given.

    Raises:
        QueryError: the condition is none, or names an unknown column.
        LimitError: time or memory ran out.
        WarehouseError: the warehouse cannot be read.
    """
    request = request or SliceRequest()
    condition = request.condition.strip() or "true"
    statement = _STATEMENT.format(pictures=PICTURES, columns=_COLUMNS, condition=condition)
    values = {
        "evaluation_id": cell.evaluation_id, "cell_corruption": cell.stored_corruption, "cell_severity": cell.severity,
        "true_class": request.true_class, "prediction": request.prediction,
        "lowest": request.lowest, "highest": request.highest,
    }  # fmt: skip
    rows = run_query(path, statement, values, timeout_s=TIMEOUT_S)
    if kinds := set(rows["condition_type"]) - {"BOOLEAN", '"NULL"'}:
        raise QueryError(f"the condition gives {kinds.pop()}: expected true or false, as `confidence > 0.9` gives it")
    return CellImages(rows.drop("condition_type"), request)


def image_table(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns of images that a reader looks at, as numbers of a table."""
    return rows.select(_SHOWN).with_columns(cs.float().cast(pl.Float64))


def picture_rows(rows: pl.DataFrame) -> list[PictureRow]:
    """Rows of images as those that pictures are made of."""
    return [PictureRow(*row) for row in rows.select(PictureRow._fields).iter_rows()]


def slice_bins(rows: pl.DataFrame) -> pl.DataFrame:
    """Right and wrong images by confidence, in the bins of the stored measure (see `full_bins`)."""
    known = rows.drop_nulls("confidence")
    index = (pl.col("confidence").cast(pl.Float64) * BINS).floor().clip(0, BINS - 1).cast(pl.Int32)
    counts = known.group_by(bin_index=index).agg(image_count=pl.len(), correct_count=pl.col("correct").sum())
    return full_bins(counts)


def compare_parts(images: CellImages) -> pl.DataFrame:
    """The slice beside the rest of its cell and the whole cell, a row each.

    Returns:
        part; images; accuracy with accuracy_low and accuracy_high (exact 95 % interval, copies as one);
        mean_confidence; confident_failure_share, the share of images that are read wrong with a confidence of 0.9 or
        more. Shares are 0-1, and null where there is no image.
    """
    rows = images.rows
    frames = (images.slice, rows.filter(~pl.col("in_slice")), rows)
    return pl.DataFrame(
        [_figures(name, frame) for name, frame in zip(PARTS, frames, strict=True)], infer_schema_length=None
    )


def _figures(name: str, rows: pl.DataFrame) -> dict[str, Any]:
    count, correct = rows.height, int(rows["correct"].sum() or 0)
    if not count:
        return {"part": name, "images": 0, "accuracy": None, "accuracy_low": None, "accuracy_high": None,
                "mean_confidence": None, "confident_failure_share": None}  # fmt: skip
    hashes = rows.select(pl.coalesce("pixel_hash", pl.format("image {}", "image_id"))).to_series()
    independent = independent_share(number_groups(hashes.to_numpy()))
    low, high = exact_interval(correct * independent, count * independent)
    confident_failures = rows.filter(~pl.col("correct") & (pl.col("confidence") >= CONFIDENT)).height
    return {
        "part": name, "images": count, "accuracy": correct / count, "accuracy_low": float(low),
        "accuracy_high": float(high), "mean_confidence": rows["confidence"].mean(),
        "confident_failure_share": confident_failures / count,
    }  # fmt: skip
