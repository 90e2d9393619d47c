"""Images that must be decoded: once, block by block, into a memory-mapped `.npy` of the cache folder."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageOps

from failmodes.warehouse.errors import DataError
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.storage.files import atomic_write

DECODER = 1  # raise it when decoding changes pixels
EIGHT_BIT_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}


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
    """
    settings = {"sources": [_stamp(path) for path in sources], "how": how, "decoder": [DECODER, PIL.__version__]}
    path = cache / "images" / f"{identity_of(settings)}.npy"
    images = memmap_if_whole(path)
    if images is None:
        _decode_to(path, shape, blocks)
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    return images


def memmap_if_whole(path: Path) -> NDArray[np.uint8] | None:
    """The array of a `.npy` file, mapped; None where there is none, or a damaged or truncated one."""
    try:
        array: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return array


def decode(content: bytes | Path, location: str) -> Image.Image:
    """Decode one image to 8-bit RGB, turned as its EXIF says; transparency is dropped.

    Raises:
        DataError: it is no image, truncated, or has more than 8 bits a channel.
    """
    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
            if image.mode not in EIGHT_BIT_MODES:
                raise DataError(f"{location} has pixels of mode {image.mode}: expected at most 8 bits a channel")
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = "not an image" if isinstance(error, PIL.UnidentifiedImageError) else f"damaged: {error}"
        raise DataError(f"{location} cannot be decoded ({reason}): replace or remove it") from error


def _decode_to(path: Path, shape: tuple[int, ...], blocks: Iterable[NDArray[np.uint8]]) -> None:
    with atomic_write(path) as temporary:
        images = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        start = 0
        for block in blocks:
            images[start : start + len(block)] = block
            start += len(block)
        images.flush()
        if start != shape[0]:
            raise DataError(f"{start:,} images were decoded where {shape[0]:,} are listed: a source changed meanwhile")


def _stamp(path: Path) -> list[object]:
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]
