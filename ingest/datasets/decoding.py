"""Images that must be decoded: once, block by block, into a memory-mapped `.npy` of the cache folder."""

import io
import math
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageOps

from failmodes.ingest.data_files import map_npy, map_npy_if_whole, write_npy
from failmodes.warehouse.errors import DataError, StorageError, first_line
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.storage.files import atomic_write, make_folder, reason_of
from failmodes.warehouse.storage.regular_files import check_regular

DECODER = 1  # raise it when decoding changes pixels
EIGHT_BIT_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}
MOST_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 89_478_485)  # of one image: where Pillow refuses to go on, 13,377 squared

# Whatever a file's name says, its content decides; others than these (PostScript, for one) start other programs
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")


def decode_to_cache(
    cache: Path, sources: Iterable[Path], how: object, shape: tuple[int, ...], blocks: Iterable[NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """Images (N, H, W, 3) uint8, mapped from the cache; decoded from `blocks` into it where they are not there yet.

    The cached file is named by a hash of each source's path, size and time of change, of `how`, and of the decoder's
    version: what has changed since is decoded again.

    Args:
        cache: folder of decoded images.
        sources: files that the images are decoded from.
        how: JSON-like settings that shape the pixels, such as the size that they are resized to.
        shape: (N, H, W, 3).
        blocks: makes the images, some at a time, in order; not begun where the cache has them.

    Raises:
        DataError: a source is no regular file, or an image cannot be decoded.
        StorageError: the cache cannot be written to, or the disk has no room for it.
    """
    folders: dict[Path, str] = {}
    settings = {
        "sources": [_stamp(path, folders) for path in sources],
        "how": how,
        "decoder": [DECODER, PIL.__version__],
    }
    path = cache / "images" / f"{identity_of(settings)}.npy"
    images = map_npy_if_whole(path)
    if images is None:
        _check_room(path, math.prod(shape))
        with atomic_write(path) as temporary:
            write_npy(temporary, shape, blocks)
        images = map_npy(path)
    return images


def decode(content: bytes | Path, location: str) -> Image.Image:
    """Decode one image to 8-bit RGB, turned as its EXIF says; transparency is dropped, of a film the first image taken.

    Raises:
        DataError: it is no regular file, no image, truncated, has more than 8 bits a channel or MOST_PIXELS pixels.
    """
    try:
        if isinstance(content, Path):
            check_regular(content)
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content, formats=FORMATS) as image:
            if image.mode not in EIGHT_BIT_MODES:
                raise DataError(f"{location} has pixels of mode {image.mode}: expected at most 8 bits a channel")
            ImageOps.exif_transpose(image, in_place=True)
            return image if image.mode == "RGB" else image.convert("RGB")
    except (DataError, MemoryError):
        raise
    except StorageError as error:
        raise DataError(str(error)) from error
    except Exception as error:  # whatever a decoder raises at a file that was damaged, or made, to raise it
        raise DataError(f"{location} cannot be decoded ({_reason(error)}): replace or remove it") from error


def check_resized(width: int, height: int, location: str) -> None:
    """Check the size that an image is to be resized to, pixels: that of a long and thin one multiplies.

    Raises:
        DataError: it would have more than MOST_PIXELS pixels.
    """
    if width * height > MOST_PIXELS:
        raise DataError(
            f"{location} would be resized to {width:,}×{height:,} pixels, and {MOST_PIXELS:,} are the most: crop,"
            " replace or remove it"
        )


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {MOST_PIXELS:,} pixels"
    return "not an image" if isinstance(error, PIL.UnidentifiedImageError) else f"damaged: {first_line(error)}"


def _check_room(path: Path, needed_bytes: int) -> None:
    free = shutil.disk_usage(make_folder(path.parent)).free
    if needed_bytes > free:
        raise StorageError(
            f"cannot write {path}: decoded, these images need {needed_bytes / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB"
            " are free: free some, or bring them to a smaller size"
        )


def _stamp(path: Path, folders: dict[Path, str]) -> list[object]:
    """Real path, size and time of change of a regular file; `folders` remembers the real paths of folders."""
    try:
        status, is_link = path.stat(), path.is_symlink()
    except OSError as error:  # a link that leads nowhere, or round in a circle
        raise DataError(f"{path} cannot be read ({reason_of(error)}): replace or remove it") from error
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path} is no regular file: replace or remove it")
    if path.parent not in folders:
        folders[path.parent] = os.path.realpath(path.parent)
    real = os.path.realpath(path) if is_link else os.path.join(folders[path.parent], path.name)
    return [real, status.st_size, status.st_mtime_ns]
