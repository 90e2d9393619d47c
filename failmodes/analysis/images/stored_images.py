"""Clean pixels and attention maps of single images, as a warehouse stores them, or from the dataset of a study.

A PNG of 20 kB may claim 13,000 x 13,000 pixels, so its header is checked before decoding.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import duckdb
import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.images.rows import PictureRow
from failmodes.ingest.corruptions.apply import ImageIds
from failmodes.ingest.corruptions.pixels import Images
from failmodes.ingest.datasets.decoding import decode
from failmodes.runtime.errors import DataError, WarehouseError, printable
from failmodes.warehouse.database.connection import REBUILD_HINT
from failmodes.warehouse.schema import CLEAN
from failmodes.warehouse.shards.inventory import MAX_STORED_PIXELS, png_size

Pixels = NDArray[np.uint8]  # one image, (H, W, 3)
GIVE_THE_STUDY = "name the study file instead of the warehouse, on a machine that has its images"
AttentionMap = NDArray[np.float64]  # (h, w), not negative
# Computes the maps (N, h, w) of an evaluation's model for images (N, H, W, 3) and the classes predicted on their clean
# images (N, H, W, 3); None if there is no such model, or none with attention
AttentionOf = Callable[[str, Pixels, Pixels], NDArray[np.float32] | None]
Point = tuple[float, float]  # x and y, 0 to 1 from the top left


class StudyImages(Protocol):
    """The images of a study, whose file `analysis` cannot read."""

    def clean(self, dataset_id: str, image_ids: ImageIds) -> Images | None:
        """Clean images (N, H, W, 3) uint8 of a dataset; None if the study has another dataset."""
        ...

    def published(self, source_id: str, corruption: str, severity: float, image_ids: ImageIds) -> Images | None:
        """Images (N, H, W, 3) uint8 of a published corrupted dataset; None if the study does not name it."""
        ...


OpenStudy = Callable[[], StudyImages | None]  # None: no study is available


def no_study() -> None:
    """Open no study."""


def clean_images(
    con: duckdb.DuckDBPyConnection, dataset_id: str, image_ids: Sequence[int], open_study: OpenStudy
) -> dict[int, Pixels]:
    """Clean images by image_id, without those that neither the warehouse nor a study has.

    Only the given images are read, and the study is opened only if an image is missing.

    Raises:
        WarehouseError: a stored image is invalid, or has another size than stated.
        DataError: the dataset of the study is missing or damaged.
    """
    stored = con.execute(
        "select image_id, png, height_px, width_px from thumbnails where dataset_id = $1 and image_id = any($2)",
        [dataset_id, list(image_ids)],
    ).fetchall()
    pixels_by_image = {
        image_id: decode_stored(png, (height, width), image_id) for image_id, png, height, width in stored
    }
    missing = [image_id for image_id in image_ids if image_id not in pixels_by_image]
    opened = open_study() if missing else None
    pixels = opened.clean(dataset_id, missing) if opened is not None else None
    return pixels_by_image if pixels is None else pixels_by_image | dict(zip(missing, pixels, strict=True))


def decode_stored(png: bytes, size: tuple[int, int], image_id: int) -> NDArray[np.uint8]:
    """The pixels of a stored thumbnail, (H, W, 3).

    Args:
        png: its content.
        size: expected height and width, pixels.
        image_id: for errors.

    Raises:
        WarehouseError: it is not a PNG, cannot be decoded, has another size, or is too large.
    """
    subject = f"the stored thumbnail of image {image_id}"
    stored_size = png_size(png)
    if stored_size is None:
        raise WarehouseError(f"{subject} is not a PNG: the warehouse was changed; {REBUILD_HINT}")
    if stored_size != size or stored_size[0] * stored_size[1] > MAX_STORED_PIXELS:
        raise WarehouseError(
            f"{subject} has {stored_size[1]:,}\u00d7{stored_size[0]:,} pixels, expected {size[1]:,}\u00d7{size[0]:,}, "
            f"at most {MAX_STORED_PIXELS:,} in all: the warehouse was changed; {REBUILD_HINT}"
        )
    try:
        return np.asarray(decode(png, subject))
    except DataError as error:
        raise WarehouseError(f"{error}; {REBUILD_HINT}") from error


def stored_attention(
    con: duckdb.DuckDBPyConnection, rows: Sequence[PictureRow]
) -> list[tuple[AttentionMap | None, Point | None]]:
    """Map and centroid of each row, for the class predicted on the clean image; None where not stored.

    Raises:
        WarehouseError: a stored map does not have its size.
    """
    wanted = [list({row.evaluation_id for row in rows}), list({row.image_id for row in rows})]
    # The clean image is stored with the exemplars of each corruption; its map is the same in all
    stored = con.execute(
        "select evaluation_id, if(severity = 0, $3, corruption), severity, image_id, map_f16, map_height, map_width "
        "from exemplars where evaluation_id = any($1) and image_id = any($2) and map_f16 is not null",
        [*wanted, CLEAN],
    ).fetchall()
    maps = {tuple(row[:4]): stored_map(*row[4:]) for row in stored}
    centers = con.execute(
        "select evaluation_id, corruption, severity, image_id, centroid_x, centroid_y from attention "
        "where evaluation_id = any($1) and image_id = any($2) and target = 'clean' and not empty "
        "and centroid_x between 0 and 1 and centroid_y between 0 and 1",
        wanted,
    ).fetchall()
    points: dict[tuple[Any, ...], Point] = {tuple(row[:4]): (row[4], row[5]) for row in centers}
    keys = [(row.evaluation_id, row.corruption, row.severity, row.image_id) for row in rows]
    return [(maps.get(key), points.get(key) or centroid(maps.get(key))) for key in keys]


def missing_map_reason(con: duckdb.DuckDBPyConnection, rows: Sequence[PictureRow]) -> str:
    """The reason for missing attention maps: notes of the evaluations, else which maps are stored."""
    notes = con.execute(
        "select distinct attention_note, evaluation_id in (select evaluation_id from exemplars) "
        "from evaluation_labels where evaluation_id = any($1) order by all",
        [list({row.evaluation_id for row in rows})],
    ).fetchall()
    has_exemplars = any(has_own for _, has_own in notes)
    kept = f"attention maps are stored for exemplars only{'' if has_exemplars else ', and there are none'}"
    return "; ".join(dict.fromkeys(printable(note) if note else kept for note, _ in notes))


def stored_map(content: bytes, height: int | None, width: int | None) -> AttentionMap:
    """Decode a map of the table `exemplars`: little-endian float16, row by row.

    Raises:
        WarehouseError: it does not have the stated size.
    """
    if height is None or width is None or min(height, width) < 1 or len(content) != 2 * height * width:
        raise WarehouseError(
            f"a stored attention map of {len(content):,} bytes is not {height} × {width}: the warehouse was changed; "
            f"{REBUILD_HINT}"
        )
    values = np.frombuffer(content, "<f2").astype(np.float64).reshape(height, width)
    return np.nan_to_num(values, nan=0, posinf=0, neginf=0).clip(min=0)


def centroid(attention: AttentionMap | None) -> Point | None:
    """Center of mass (x, y) of a map (h, w), 0-1 from the top left, of cell centers; None for an empty map."""
    if attention is None or attention.sum() <= 0:
        return None
    rows, columns = (np.arange(n) + 0.5 for n in attention.shape)
    total = attention.sum()
    x, y = (attention.sum(0) @ columns) / total, (attention.sum(1) @ rows) / total
    return float(x / attention.shape[1]), float(y / attention.shape[0])
