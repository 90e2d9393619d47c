"""Clean pixels of single images: the PNG files that a warehouse stores, else the dataset of a study.

A PNG of 20 kB may say that it has 13,000 x 13,000 pixels, so its header is read before anything is decoded.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import duckdb
import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corruptions.apply import ImageIds
from failmodes.ingest.corruptions.pixels import Images
from failmodes.ingest.datasets.decoding import decode
from failmodes.warehouse.database.connection import REBUILD_HINT
from failmodes.warehouse.errors import DataError, WarehouseError
from failmodes.warehouse.shards.inventory import MOST_PICTURE_PIXELS, png_size

MOST_SERIES_PIXELS = 2**27  # of the pictures that are decoded at once: 400 MB
Pixels = NDArray[np.uint8]  # one image, (H, W, 3)
GIVE_THE_STUDY = "name the study file in place of the warehouse, where its images are at hand"


class StudyImages(Protocol):
    """The images of a study, whose file this room cannot read."""

    def clean(self, dataset_id: str, image_ids: ImageIds) -> Images | None:
        """Clean images (N, H, W, 3) uint8 of a data set; None where the study has another one."""
        ...

    def published(self, source_id: str, corruption: str, severity: float, image_ids: ImageIds) -> Images | None:
        """Images (N, H, W, 3) uint8 of a published set; None where the study names no such set."""
        ...


OpenStudy = Callable[[], StudyImages | None]  # None: no study is at hand


def no_study() -> None:
    """Open no study: none is at hand."""


def clean_images(
    con: duckdb.DuckDBPyConnection, dataset_id: str, image_ids: Sequence[int], open_study: OpenStudy
) -> dict[int, Pixels]:
    """Clean images by image_id; those that neither the warehouse nor a study has are left out.

    Only the images asked for are read, and the study is opened only when an image is missing.

    Raises:
        WarehouseError: a stored picture is none, or of another size than it says.
        DataError: the study's data set is missing or damaged.
    """
    found = _thumbnails(con, dataset_id, image_ids)
    missing = [image_id for image_id in image_ids if image_id not in found]
    opened = open_study() if missing else None
    pixels = opened.clean(dataset_id, missing) if opened is not None else None
    return found if pixels is None else found | dict(zip(missing, pixels, strict=True))


def _thumbnails(con: duckdb.DuckDBPyConnection, dataset_id: str, image_ids: Sequence[int]) -> dict[int, Pixels]:
    stored = con.execute(
        "select image_id, png, height_px, width_px from thumbnails where dataset_id = $1 and image_id = any($2)",
        [dataset_id, list(image_ids)],
    ).fetchall()
    return {image_id: decode_stored(png, (height, width), image_id) for image_id, png, height, width in stored}


def check_pixel_count(count: int, size: tuple[int, int], subject: str) -> None:
    """Refuse pictures that would take too much memory together.

    Args:
        count: how many there are.
        size: height and width of each, pixels.
        subject: what an error calls them.

    Raises:
        WarehouseError: they have more than MOST_SERIES_PIXELS pixels.
    """
    if count * size[0] * size[1] > MOST_SERIES_PIXELS:
        raise WarehouseError(
            f"{subject}: {count:,} pictures of {size[1]:,}\u00d7{size[0]:,} pixels are too large to be shown, expected "
            f"at most {MOST_SERIES_PIXELS:,} pixels in all; {REBUILD_HINT}, of smaller images"
        )


def decode_stored(png: bytes, size: tuple[int, int], image_id: int) -> NDArray[np.uint8]:
    """The pixels of a stored picture, (H, W, 3).

    Args:
        png: its content.
        size: height and width that it should have, pixels.
        image_id: which image it is, for errors.

    Raises:
        WarehouseError: it is no PNG, cannot be decoded, has another size, or is larger than pictures may be.
    """
    subject = f"the stored picture of image {image_id}"
    found = png_size(png)
    if found is None:
        raise WarehouseError(f"{subject} is no PNG: the warehouse was changed; {REBUILD_HINT}")
    if found != size or found[0] * found[1] > MOST_PICTURE_PIXELS:
        raise WarehouseError(
            f"{subject} has {found[1]:,}\u00d7{found[0]:,} pixels, expected {size[1]:,}\u00d7{size[0]:,}, at most "
            f"{MOST_PICTURE_PIXELS:,} in all: the warehouse was changed; {REBUILD_HINT}"
        )
    try:
        return np.asarray(decode(png, subject))
    except DataError as error:
        raise WarehouseError(f"{error}; {REBUILD_HINT}") from error
