"""Stored exemplars: images from clean to the last severity, with prediction and attention."""

from collections.abc import Sequence

import duckdb
import polars as pl

from failmodes.analysis.images.attention import centroid, stored_map
from failmodes.analysis.images.clean_images import decode_stored
from failmodes.analysis.images.regeneration import Picture
from failmodes.analysis.images.rows import NO_PREDICTION, OTHER_CLASS, PictureRow
from failmodes.analysis.render.formatting import REASON_NAMES
from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse.database.connection import REBUILD_HINT
from failmodes.warehouse.schema import EXEMPLAR_REASONS

SERIES = ("evaluation_id", "corruption", "image_id")  # key of the rows from clean to the last severity
MAX_SERIES_PIXELS = 2**27  # decoded at once: 400 MB
_ROWS = f"""
select
    e.*, datasets.dataset_id, datasets.height_px, datasets.width_px, labels.model_label, labels.source_id,
    corruptions.corruption_label, coalesce(a.class_name, e.label::varchar) as label_name,
    coalesce(b.class_name, if(e.confidence is null, '{NO_PREDICTION}', '{OTHER_CLASS}')) as predicted_name,
    e.predicted is not distinct from e.label as correct, null as rmse, null as file
from exemplars as e
inner join datasets on datasets.dataset_id = $3
inner join evaluation_labels as labels using (evaluation_id)
inner join corruptions using (corruption)
left join classes as a on a.dataset_id = $3 and a.class_index = e.label
left join classes as b on b.dataset_id = $3 and b.class_index = e.predicted
where e.evaluation_id = any($1) and e.corruption = any($2)
order by list_position($4, e.reason), e.reason_rank, e.image_id, e.severity
"""


def exemplar_rows(
    con: duckdb.DuckDBPyConnection, evaluation_ids: Sequence[str], corruptions: Sequence[str], dataset_id: str
) -> pl.DataFrame:
    """Rows of `exemplars` with the columns of `PictureRow` and `reason_name`; first choices first, then by severity."""
    values = [list(evaluation_ids), list(corruptions), dataset_id, list(EXEMPLAR_REASONS)]
    found: pl.DataFrame = con.sql(_ROWS, params=values).pl()
    return found.with_columns(reason_name=pl.col("reason").replace(REASON_NAMES))


def exemplar_images(rows: pl.DataFrame) -> list[Picture]:
    """Rows of `exemplar_rows` of one image with pixels and maps decoded.

    Raises:
        WarehouseError: an image or map is invalid or has another size, or images are too large together.
    """
    first = rows.row(0, named=True)
    if rows.height * first["height_px"] * first["width_px"] > MAX_SERIES_PIXELS:
        raise WarehouseError(
            f"image {first['image_id']} under {first['corruption']}: {rows.height:,} images of "
            f"{first['width_px']:,}\u00d7{first['height_px']:,} pixels are too large to show, expected at most "
            f"{MAX_SERIES_PIXELS:,} pixels in all; {REBUILD_HINT}, of smaller images"
        )
    found = []
    for row in rows.rows(named=True):
        attention = None if row["map_f16"] is None else stored_map(row["map_f16"], row["map_height"], row["map_width"])
        pixels = decode_stored(row["png"], (row["height_px"], row["width_px"]), row["image_id"])
        own = PictureRow(**{name: row[name] for name in PictureRow._fields})
        found.append(Picture(own, pixels, None, None, attention, centroid(attention)))
    return found
