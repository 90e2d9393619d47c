"""One pass over the pixels of a dataset: its identity, a hash of each image, and measured properties of each image.

luminance     mean luma, 0-1: that of Rec. 601 in 8 bits, as Pillow converts images to gray
contrast      RMS contrast, 0-0.5: standard deviation of the luma (Peli 1990)
sharpness     variance of the Laplacian of the luma in 8 bits, 0 to infinity (Pech-Pacheco et al. 2000; OpenCV's 3×3
              kernel and border)
colorfulness  M3 of 8-bit values, 0 to infinity (Hasler and Süsstrunk 2003)

All sums are exact, so that results are the same on every machine.
"""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from failmodes.runtime.errors import StorageError
from failmodes.runtime.hashing import fingerprint_of, fingerprint_with_rows
from failmodes.runtime.storage.files import atomic_write, check_regular

MEASURED = ("image_luminance", "image_contrast", "image_sharpness", "image_colorfulness")  # columns of `images`
VERSION = b"1"  # increase it when a measure changes
BLOCK_BYTES = 1 << 19  # of pixels measured at a time: as fast as it gets, since values stay in the processor's cache
_PIXEL_HASH, _DATASET_ID, _VERSION = "pixel_hash", b"dataset_id", b"version"
_COLUMNS = pa.schema({_PIXEL_HASH: pa.uint64(), **dict.fromkeys(MEASURED, pa.float32())})


class PixelIndex(NamedTuple):
    """Facts about the pixels of a dataset.

    Attributes:
        dataset_id: hash of images and labels in their order.
        pixel_hashes: (N,) uint64 hash of each image's pixels, equal for exact duplicates.
        measured: (N,) float32 columns MEASURED.
    """

    dataset_id: str
    pixel_hashes: NDArray[np.uint64]
    measured: pa.Table


def pixel_index(images: Any, labels: NDArray[np.int64]) -> PixelIndex:
    """Hash and measure images, or read what was computed before, where they know a file for it (`index_path`).

    Args:
        images: (N, H, W, 3) uint8, read once, block by block.
        labels: (N,) class indices.
    """
    place: Path | None = getattr(images, "index_path", None)
    if place is None:
        return _computed(images, labels)
    path = place.with_suffix(f".{fingerprint_of([labels])}.parquet")
    index = _stored(path, len(labels))
    if index is None:
        index = _computed(images, labels)
        rows = index.measured.add_column(0, _PIXEL_HASH, pa.array(index.pixel_hashes))
        facts = {_DATASET_ID: index.dataset_id.encode(), _VERSION: VERSION}
        with suppress(StorageError), atomic_write(path) as temporary:  # it is only computed again
            pq.write_table(rows.replace_schema_metadata(facts), temporary, compression="zstd", write_page_checksum=True)
    return index


def measure_images(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Luminance, contrast, sharpness and colorfulness of images.

    Args:
        images: (N, H, W, 3) uint8, RGB.

    Returns:
        (4, N), in the order of MEASURED.
    """
    count, height, width, _ = images.shape
    rows = Image.fromarray(np.ascontiguousarray(images).reshape(count * height, width, 3))  # as one tall image
    luma = np.asarray(rows.convert("L")).reshape(count, height, width).astype(np.int16)
    mean_luma, variance_of_luma = _moments(luma)
    _, sharpness = _moments(_laplacian(luma))
    red, green, blue = np.moveaxis(images, 3, 0).astype(np.int16)
    mean_rg, variance_rg = _moments(red - green)
    mean_yb, variance_yb = _moments(red + green - 2 * blue)  # twice the difference of yellow and blue
    spread = np.sqrt(variance_rg + variance_yb / 4)
    colorfulness = spread + 0.3 * np.sqrt(mean_rg**2 + mean_yb**2 / 4)
    return np.stack([mean_luma / 255, np.sqrt(variance_of_luma) / 255, sharpness, colorfulness]).astype(np.float32)


def _laplacian(luma: NDArray[np.int16]) -> NDArray[np.int16]:
    """Sum of the four neighbors minus four times the value, (N, H, W); borders mirror without repeating the edge."""
    padded = np.pad(luma, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    laplacian = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1]
    laplacian += padded[:, 1:-1, :-2]
    laplacian += padded[:, 1:-1, 2:]
    laplacian -= 4 * luma
    return laplacian


def _moments(values: NDArray[np.int16]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of each image's values (N, H, W); sums of whole numbers below 2⁵³ are exact in float64."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    mean = flat.sum(axis=1) / flat.shape[1]
    return mean, np.maximum(np.vecdot(flat, flat) / flat.shape[1] - mean**2, 0)


def _computed(images: Any, labels: NDArray[np.int64]) -> PixelIndex:
    """Hash and measure images in one pass: threads measure a block while it is hashed."""
    at_once = max(1, BLOCK_BYTES // int(np.prod(images.shape[1:])))
    parts: list[NDArray[np.float32]] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        started: deque[Any] = deque()

        def measure(block: NDArray[np.uint8]) -> None:
            parts.extend(future.result() for future in started)  # of the block before, which is then released
            started.clear()
            started.extend(
                pool.submit(measure_images, block[start : start + at_once]) for start in range(0, len(block), at_once)
            )

        dataset_id, hashes = fingerprint_with_rows(images, labels, on_block=measure)
        parts.extend(future.result() for future in started)
    columns = np.concatenate([np.empty((len(MEASURED), 0), np.float32), *parts], axis=1)
    return PixelIndex(dataset_id, hashes, pa.table([*map(pa.array, columns)], [*MEASURED]))


def _stored(path: Path, count: int) -> PixelIndex | None:
    """An index of `count` images that was stored; None if it is missing, damaged or of another version."""
    try:
        check_regular(path)
        rows = pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException, ValueError):
        return None
    facts = rows.schema.metadata or {}
    if facts.get(_VERSION) != VERSION or not rows.schema.equals(_COLUMNS) or len(rows) != count:
        return None
    return PixelIndex(facts[_DATASET_ID].decode(), rows[_PIXEL_HASH].to_numpy(), rows.select([*MEASURED]))
