"""Clean pictures for a synthetic record, so that its images can be made again: patterns, of no class in particular."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from encoded_files import encoded

from failmodes.runtime.hashing import identity_of
from failmodes.warehouse.schema import THUMBNAILS
from failmodes.warehouse.shards.format import write_dimension

SIDE_PX, PATTERNS = 32, 64


def write_thumbnails(output: Path, images: int) -> None:
    """Put a clean picture of each image of `write_synthetic(output, images=images)` on record."""
    dataset_id = identity_of({"synthetic": images})
    patterns = [_png(number) for number in range(min(images, PATTERNS))]
    columns = {
        "dataset_id": pa.array([dataset_id] * images, pa.string()),
        "image_id": pa.array(np.arange(images), pa.int32()),
        "png": pa.array([patterns[number % PATTERNS] for number in range(images)], pa.binary()),
        "height_px": pa.array([SIDE_PX] * images, pa.int32()),
        "width_px": pa.array([SIDE_PX] * images, pa.int32()),
    }
    write_dimension(output, THUMBNAILS, f"{dataset_id}-all", pa.table(columns, schema=THUMBNAILS.arrow()))


def _png(number: int) -> bytes:
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    wave = np.sin(x / (2 + number % 7) + y / (3 + number % 5) + number) * 100 + 127
    pixels = np.stack([wave, np.roll(wave, number, 0), 255 - wave], axis=-1).astype(np.uint8)
    return encoded(pixels)
