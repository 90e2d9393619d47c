"""Pixels of the images of a table, from a folder: hashes that tell duplicates, and thumbnails."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image

from failmodes.evaluate.tables.table_dataset import TableDataset
from failmodes.ingest.datasets.decoding import decode
from failmodes.ingest.datasets.thumbnails import MAX_IMAGES, encode_png
from failmodes.runtime.errors import DataError, StudyError, listed, shown
from failmodes.runtime.hashing import fingerprint_of
from failmodes.warehouse.schema import THUMBNAILS

MAX_SIDE_PX = 256  # of a thumbnail: larger images are scaled down
SHOWN = 5


class TablePixels(NamedTuple):
    """What is stored of an image: the hash of its pixels, its size, and its thumbnail, None beyond MAX_IMAGES."""

    pixel_hash: str
    height_px: int
    width_px: int
    png: bytes | None
    thumbnail_px: tuple[int, int]


def read_pixels(
    folder: Path, names: Sequence[str], on_progress: Callable[[str, int, int | None], None]
) -> list[TablePixels]:
    """Decode the images of a table, by their names.

    Args:
        folder: where the images are; a name is a path within it.
        names: of the images, by image_id.
        on_progress: called with the number of decoded images.

    Raises:
        StudyError: the folder does not exist.
        DataError: an image is missing, outside the folder, or cannot be decoded.
    """
    if not folder.is_dir():
        raise StudyError(f"--images {folder}: expected a folder with the images of the table")
    paths = [_path_in(folder, name) for name in names]
    missing = [name for name, path in zip(names, paths, strict=True) if not path.is_file()]
    if missing:
        raise DataError(
            f"--images {folder}: {len(missing):,} of {len(names):,} images are missing: "
            f"{listed(list(map(shown, missing)), SHOWN)}; expected files of these names"
        )
    kept = set(np.linspace(0, len(names) - 1, min(MAX_IMAGES, len(names))).round().astype(int).tolist())
    found: list[TablePixels] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for pixels in pool.map(lambda place: _read(paths[place], is_kept=place in kept), range(len(names))):
            found.append(pixels)
            on_progress("images", len(found), len(names))
    return found


def with_pixels(
    dataset: TableDataset, folder: Path, on_progress: Callable[[str, int, int | None], None]
) -> TableDataset:
    """The dataset with hashes, size and thumbnails of its images; see `read_pixels`."""
    pixels = read_pixels(folder, dataset.images, on_progress)
    sizes = {(image.height_px, image.width_px) for image in pixels}
    return replace(
        dataset,
        pixel_hashes=[image.pixel_hash for image in pixels],
        size_px=sizes.pop() if len(sizes) == 1 else None,
        thumbnails=_thumbnail_rows(pixels),
    )


def _thumbnail_rows(pixels: Sequence[TablePixels]) -> pa.Table:
    """Rows of `thumbnails`, of a dataset without identity yet."""
    kept = [(image_id, image) for image_id, image in enumerate(pixels) if image.png is not None]
    columns = {
        "dataset_id": pa.array([""] * len(kept), pa.string()),
        "image_id": pa.array([image_id for image_id, _ in kept], pa.int32()),
        "png": pa.array([image.png for _, image in kept], pa.binary()),
        "height_px": pa.array([image.thumbnail_px[0] for _, image in kept], pa.int32()),
        "width_px": pa.array([image.thumbnail_px[1] for _, image in kept], pa.int32()),
    }
    return pa.table(columns, schema=THUMBNAILS.arrow())


def _path_in(folder: Path, name: str) -> Path:
    """The file of an image; names are untrusted and may not leave the folder."""
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts or "\0" in name:
        raise DataError(f"image {shown(name)} is not a path within {folder}")
    return folder / relative


def _read(path: Path, *, is_kept: bool) -> TablePixels:
    image = decode(path, str(path))
    pixels = np.asarray(image)
    png, size = None, (0, 0)
    if is_kept:
        image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.LANCZOS)
        scaled = np.asarray(image)
        png = encode_png(scaled)
        size = (scaled.shape[0], scaled.shape[1])
    return TablePixels(fingerprint_of([pixels]), pixels.shape[0], pixels.shape[1], png, size)
