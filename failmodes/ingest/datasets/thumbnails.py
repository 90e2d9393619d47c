"""Stored clean images: they reproduce any corrupted image without the dataset."""

import io
from contextlib import suppress

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.warehouse.errors import DamagedShardError
from failmodes.warehouse.schema import THUMBNAILS
from failmodes.warehouse.shards.format import dimension_path, write_dimension
from failmodes.warehouse.shards.inventory import read_rows
from failmodes.warehouse.storage.files import StorePath

# Per subset of a dataset. The test images of CIFAR-10 take 25 MB; of images of 224 pixels about 600 fit, and the
# warehouse stays small enough to send.
MOST_IMAGES = 10_000
MOST_BYTES = 64_000_000
TRIED_IMAGES = 32  # whose size gives an estimate of the number that fits


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
    dataset_id = dataset.dataset_id
    key = f"{dataset_id}-{subset_id}"
    with suppress(DamagedShardError):  # missing or damaged: written again
        read_rows(dimension_path(output, THUMBNAILS, key), THUMBNAILS)
        return
    kept = fitting_pngs(dataset, image_ids)
    height, width = dataset.images.shape[1:3]
    columns = {
        "dataset_id": pa.array([dataset_id] * len(kept), pa.string()),
        "image_id": pa.array(list(kept), pa.int32()),
        "png": pa.array(list(kept.values()), pa.binary()),
        "height_px": pa.array([height] * len(kept), pa.int32()),
        "width_px": pa.array([width] * len(kept), pa.int32()),
    }
    write_dimension(output, THUMBNAILS, key, pa.table(columns, schema=THUMBNAILS.arrow()))


def fitting_pngs(dataset: Dataset, image_ids: NDArray[np.int64]) -> dict[int, bytes]:
    """PNGs by image_id, at most MOST_IMAGES of at most MOST_BYTES together: evenly spaced over `image_ids` (N,)."""
    tried = _pngs(dataset, _evenly_spaced(image_ids, TRIED_IMAGES))
    fitting = int(MOST_BYTES * len(tried) / max(1, sum(map(len, tried.values()))))
    pngs = _pngs(dataset, _evenly_spaced(image_ids, min(MOST_IMAGES, fitting)))
    while (size := sum(map(len, pngs.values()))) > MOST_BYTES:  # the tried images are smaller than the rest
        fewer = min(len(pngs) - 1, int(len(pngs) * MOST_BYTES / size))
        pngs = {int(image_id): pngs[image_id] for image_id in _evenly_spaced(np.array(list(pngs)), fewer)}
    return pngs


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """An image (H, W, 3) uint8 as lossless PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _pngs(dataset: Dataset, image_ids: NDArray[np.int64]) -> dict[int, bytes]:
    return {int(one): encode_png(np.asarray(dataset.images[np.array([one])])[0]) for one in image_ids}


def _evenly_spaced(image_ids: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most `most` of them: the first, the last, and an even choice between."""
    if len(image_ids) <= most:
        return image_ids
    return image_ids[np.linspace(0, len(image_ids) - 1, most).round().astype(np.int64)]
