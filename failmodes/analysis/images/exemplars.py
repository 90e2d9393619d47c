"""Stored exemplars: images from clean to the last severity, with prediction and attention."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from failmodes.analysis.images.attention import AttentionMap, stored_map
from failmodes.analysis.images.clean_images import check_pixel_count, decode_stored
from failmodes.analysis.images.rows import NO_PREDICTION, OTHER_CLASS
from failmodes.analysis.render.formatting import REASON_NAMES
from failmodes.warehouse.schema import EXEMPLAR_REASONS

SERIES = ("evaluation_id", "corruption", "image_id")  # key of the rows from clean to the last severity


class ExemplarImage(NamedTuple):
    """One image at one severity: reason of its choice, prediction and attention."""

    evaluation_id: str
    corruption: str
    image_id: int
    reason: str
    severity: float
    label_name: str
    predicted_name: str
    is_correct: bool
    confidence: float | None
    pixels: NDArray[np.uint8]  # (H, W, 3)
    attention: AttentionMap | None

    @property
    def reason_name(self) -> str:
        """The reason in words."""
        return REASON_NAMES.get(self.reason, self.reason)


def exemplar_rows(
    con: duckdb.DuckDBPyConnection, evaluation_ids: Sequence[str], corruptions: Sequence[str], dataset_id: str
) -> pl.DataFrame:
    """Rows of `exemplars` with class names, first choices first, by ascending severity."""
    found: pl.DataFrame = con.sql(
        "select e.*, d.height_px, d.width_px, a.class_name as label_name, coalesce(b.class_name, "
        f"case when e.confidence is null then '{NO_PREDICTION}' else '{OTHER_CLASS}' end) as predicted_name "
        "from exemplars as e inner join datasets as d on d.dataset_id = $3 "
        "left join classes as a on a.dataset_id = $3 and a.class_index = e.label "
        "left join classes as b on b.dataset_id = $3 and b.class_index = e.predicted "
        "where e.evaluation_id = any($1) and e.corruption = any($2) "
        "order by list_position($4, e.reason), e.reason_rank, e.image_id, e.severity",
        params=[list(evaluation_ids), list(corruptions), dataset_id, list(EXEMPLAR_REASONS)],
    ).pl()
    return found


def exemplar_images(rows: pl.DataFrame) -> list[ExemplarImage]:
    """Rows of `exemplar_rows` with their images and maps decoded.

    Raises:
        WarehouseError: an image or map is invalid or has another size, or images are too large together.
    """
    if rows.height:
        check_pixel_count(rows.height, size_of(rows), f"image {rows['image_id'][0]} under {rows['corruption'][0]}")
    return [_image(row) for row in rows.rows(named=True)]


def size_of(rows: pl.DataFrame) -> tuple[int, int]:
    """Height and width of the images of rows of `exemplar_rows`, pixels."""
    return int(rows["height_px"][0]), int(rows["width_px"][0])


def _image(row: dict[str, Any]) -> ExemplarImage:
    content = row["map_f16"]
    return ExemplarImage(
        row["evaluation_id"], row["corruption"], row["image_id"], row["reason"], float(row["severity"]),
        row["label_name"] or str(row["label"]), row["predicted_name"], row["predicted"] == row["label"],
        row["confidence"], decode_stored(row["png"], (row["height_px"], row["width_px"]), row["image_id"]),
        None if content is None else stored_map(content, row["map_height"], row["map_width"]),
    )  # fmt: skip
