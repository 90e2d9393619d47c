"""Stored clean images: they reproduce any corrupted image without the dataset."""

import io
import math
from contextlib import suppress

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.runtime.errors import DamagedShardError
from failmodes.runtime.storage.files import StorePath
from failmodes.warehouse.schema import THUMBNAILS
from failmodes.warehouse.shards.format import dimension_path, write_dimension
from failmodes.warehouse.shards.inventory import read_rows

# Per subset of a dataset, so that the warehouse stays small enough to send. The test images of CIFAR-10 take 25 MB as
# PNGs; of photographs of 224 pixels 640 are stored, which take about 60 MB.
MAX_IMAGES = 10_000
MAX_BYTES = 96_000_000  # of pixels


def record_thumbnails(output: StorePath, dataset: Dataset, image_ids: NDArray[np.int64], subset_id: str) -> None:
    """Store the clean images of a subset, unless they are stored already.

    If not all fit, evenly spaced ones are kept.

    Args:
        output: the output folder.
        dataset: the dataset.
        image_ids: (N,) the evaluated images, ascending.
        subset_id: identity of the subset.

    Raises:
        StorageError: the file cannot be written.
    """
    key = f"{dataset.dataset_id}-{subset_id}"
    with suppress(DamagedShardError):  # missing or damaged: written again
        read_rows(dimension_path(output, THUMBNAILS, key), THUMBNAILS)
        return
    kept = stored_images(dataset, image_ids)
    height, width = dataset.images.shape[1:3]
    columns = {
        "dataset_id": pa.array([dataset.dataset_id] * len(kept), pa.string()),
        "image_id": pa.array(kept, pa.int32()),
        "png": pa.array([encode_png(np.asarray(dataset.images[[image_id]])[0]) for image_id in kept], pa.binary()),
        "height_px": pa.array([height] * len(kept), pa.int32()),
        "width_px": pa.array([width] * len(kept), pa.int32()),
    }
    write_dimension(output, THUMBNAILS, key, pa.table(columns, schema=THUMBNAILS.arrow()))


def stored_images(dataset: Dataset, image_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of `image_ids` (N,) that are stored: evenly spaced, at most MAX_IMAGES and MAX_BYTES of pixels."""
    most = max(1, min(MAX_IMAGES, MAX_BYTES // math.prod(dataset.images.shape[1:])))
    if len(image_ids) <= most:
        return image_ids
    return image_ids[np.linspace(0, len(image_ids) - 1, most).round().astype(np.int64)]


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """An image (H, W, 3) uint8 as lossless PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
