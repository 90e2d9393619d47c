"""Pictures that a warehouse holds as PNG: decoded where their size is the one on record, and is bounded.

A PNG of 20 kB may say that it has 13,000 x 13,000 pixels, so its header is read before anything is decoded.
"""

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.datasets.decoding import decode
from failmodes.warehouse.database.connection import REBUILD_HINT
from failmodes.warehouse.errors import DataError, WarehouseError
from failmodes.warehouse.shards.inventory import MOST_PICTURE_PIXELS, png_size

MOST_SERIES_PIXELS = 2**27  # of the pictures that are decoded at once: 400 MB


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
