"""Clean pixels of single images: from the PNG files that a warehouse stores, else from the dataset of a study.

A PNG of 20 kB may claim 13,000 x 13,000 pixels, so its header is checked before decoding.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import duckdb
import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corruptions.apply import ImageIds
from failmodes.ingest.corruptions.pixels import Images
from failmodes.ingest.datasets.decoding import decode
from failmodes.runtime.errors import DataError, WarehouseError
from failmodes.warehouse.database.connection import REBUILD_HINT
from failmodes.warehouse.shards.inventory import MOST_STORED_PIXELS, png_size

Pixels = NDArray[np.uint8]  # one image, (H, W, 3)
GIVE_THE_STUDY = "name the study file instead of the warehouse, on a machine that has its images"


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
    found = {image_id: decode_stored(png, (height, width), image_id) for image_id, png, height, width in stored}
    missing = [image_id for image_id in image_ids if image_id not in found]
    opened = open_study() if missing else None
    pixels = opened.clean(dataset_id, missing) if opened is not None else None
    return found if pixels is None else found | dict(zip(missing, pixels, strict=True))


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
    found = png_size(png)
    if found is None:
        raise WarehouseError(f"{subject} is not a PNG: the warehouse was changed; {REBUILD_HINT}")
    if found != size or found[0] * found[1] > MOST_STORED_PIXELS:
        raise WarehouseError(
            f"{subject} has {found[1]:,}\u00d7{found[0]:,} pixels, expected {size[1]:,}\u00d7{size[0]:,}, at most "
            f"{MOST_STORED_PIXELS:,} in all: the warehouse was changed; {REBUILD_HINT}"
        )
    try:
        return np.asarray(decode(png, subject))
    except DataError as error:
        raise WarehouseError(f"{error}; {REBUILD_HINT}") from error
