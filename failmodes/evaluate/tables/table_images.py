"""Pixels of the images of a table, from a folder: hashes that tell duplicates, measured properties, thumbnails."""

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
from failmodes.ingest.datasets.dataset import source_columns
from failmodes.ingest.datasets.decoding import decode
from failmodes.ingest.datasets.pixel_index import MEASURED, measure_images
from failmodes.ingest.datasets.thumbnails import MAX_IMAGES, encode_png
from failmodes.runtime.errors import DataError, StudyError, listed, shown
from failmodes.runtime.hashing import fingerprint_of
from failmodes.warehouse.schema import THUMBNAILS

MAX_SIDE_PX = 256  # of a thumbnail: larger images are scaled down
SHOWN = 5


class TablePixels(NamedTuple):
    """What is stored of an image.

    Attributes:
        pixel_hash: hash of its pixels.
        measured: its properties, in the order of MEASURED.
        height_px: its size, pixels.
        width_px: likewise.
        file_bytes: size of its file.
        png: its thumbnail; None beyond MAX_IMAGES.
        thumbnail_px: height and width of that.
    """

    pixel_hash: str
    measured: list[float]
    height_px: int
    width_px: int
    file_bytes: int
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
    """The dataset with hashes, properties, sizes and thumbnails of its images; see `read_pixels`."""
    pixels = read_pixels(folder, dataset.images, on_progress)
    sizes = {(image.height_px, image.width_px) for image in pixels}
    return replace(
        dataset,
        of_pixels=_columns_of_pixels(pixels),
        size_px=sizes.pop() if len(sizes) == 1 else None,
        thumbnails=_thumbnail_rows(pixels),
    )


def _columns_of_pixels(pixels: Sequence[TablePixels]) -> dict[str, pa.Array]:
    """The columns of `images` that follow from pixels and files."""
    measured = np.array([image.measured for image in pixels], np.float32).reshape(-1, len(MEASURED))
    sizes = pa.table(
        {
            "width_px": pa.array([image.width_px for image in pixels], pa.int32()),
            "height_px": pa.array([image.height_px for image in pixels], pa.int32()),
            "file_bytes": pa.array([image.file_bytes for image in pixels], pa.int64()),
        }
    )
    return {
        "pixel_hash": pa.array([image.pixel_hash for image in pixels], pa.string()),
        **{name: pa.array(measured[:, place]) for place, name in enumerate(MEASURED)},
        **{name: values.combine_chunks() for name, values in source_columns(sizes).items()},
    }


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
    measured = measure_images(pixels[None])[:, 0].tolist()
    height, width = pixels.shape[:2]
    return TablePixels(fingerprint_of([pixels]), measured, height, width, path.stat().st_size, png, size)
