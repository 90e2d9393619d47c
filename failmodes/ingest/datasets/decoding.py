"""Decode images once, block by block, into a memory-mapped `.npy` in the cache folder."""

import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from failmodes.ingest.data_files import (
    check_space,
    data_errors,
    file_stamp,
    map_npy,
    map_npy_if_whole,
    read_json,
    write_npy,
)
from failmodes.ingest.datasets.color import (
    LARGEST_16_BIT,
    SCALED,
    SIXTEEN_BIT_MODES,
    TRANSPARENT,
    WHITE,
    Color,
    to_rgb,
)
from failmodes.runtime.errors import DataError, first_line
from failmodes.runtime.hashing import identity_of
from failmodes.runtime.storage.files import atomic_write, atomic_write_bytes, check_regular

DECODER = 2  # increase it when decoding changes pixels
MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 89_478_485)  # of one image: Pillow's own limit, 13,377 squared

# The content decides, not the file name; other formats, such as PostScript, start other programs
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MASK_MODES = {"1", "L", "LA", "P", "RGB", "RGBA"} | SIXTEEN_BIT_MODES


def decode_to_cache(
    cache: Path,
    sources: Iterable[Path],
    how: object,
    shape: tuple[int, ...],
    blocks: Iterable[NDArray[np.uint8]],
    changes: Counter[str] | None = None,
) -> NDArray[np.uint8]:
    """Images (N, H, W, 3) uint8, mapped from the cache; decoded from `blocks` into it if they are not cached.

    The cached file is named by a hash of each source's path, size and modification time, of `how`, and of the decoder's
    version: changed files are decoded again. Counts of color conversions are stored beside it, as JSON.

    Args:
        cache: folder of decoded images.
        sources: files that the images are decoded from.
        how: JSON-like settings that shape the pixels, such as the target size.
        shape: (N, H, W, 3).
        blocks: yields the images in order, some at a time; not started if the images are cached.
        changes: counts of the conversions by `decode`; filled from the cache if the images are cached.

    Raises:
        DataError: a source is not a regular file, or an image cannot be decoded.
        StorageError: the cache cannot be written, or the disk has too little space.
    """
    path = cached_path(cache, sources, how)
    counts_path = path.with_suffix(".json")
    images = map_npy_if_whole(path)
    known = Counter[str]() if changes is None else _read_changes(counts_path)
    if images is None or known is None:
        check_space(path.parent, math.prod(shape), "these images, decoded,", "set a smaller `image_size`")
        with atomic_write(path) as temporary:
            write_npy(temporary, shape, blocks)
            if changes is not None:  # before the images: cached images always have counts
                atomic_write_bytes(counts_path, json.dumps(changes).encode())
        images = map_npy(path)
        known = None
    if changes is not None and known is not None:
        changes.update(known)
    return images


def cached_path(cache: Path, sources: Iterable[Path], how: object) -> Path:
    """The file of decoded images in the cache, see `decode_to_cache`.

    Raises:
        DataError: a source is not a regular file.
    """
    settings = {"sources": [*map(file_stamp, sources)], "how": how, "decoder": [DECODER, PIL.__version__]}
    return cache / "images" / f"{identity_of(settings)}.npy"


def decode(
    content: bytes | Path, location: str, *, background: Color = WHITE, changes: Counter[str] | None = None
) -> Image.Image:
    """Decode one image to 8-bit RGB, by the rules of `failmodes.ingest.datasets.color`.

    Args:
        content: its bytes, or its file.
        location: its name in errors.
        background: color behind transparent images.
        changes: counts its conversions.

    Raises:
        DataError: it is not a regular file or an image, is truncated, has more than MAX_PIXELS pixels, or is neither
            of 8 bits per channel nor 16-bit gray.
    """
    with _opened(content, location) as image:
        rgb = to_rgb(image, location, background)
    if changes is not None:
        changes.update(rgb.changes)
    return rgb.image


def decode_mask(path: Path, location: str) -> Image.Image:
    """Decode an object mask to an image of 0 and 255, by the rules of `failmodes.ingest.datasets.masks`.

    Raises:
        DataError: it is not a regular file or an image, is truncated, has more than MAX_PIXELS pixels, another mode,
            or ambiguous values.
    """
    with _opened(path, location) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode not in MASK_MODES:
            raise DataError(f"{location} has pixels of mode {image.mode}: expected gray, color or a palette")
        return Image.fromarray(np.where(_is_object(image, location), np.uint8(255), np.uint8(0)))


@contextmanager
def _opened(content: bytes | Path, location: str) -> Iterator[Image.Image]:
    """Open an image for decoding."""
    with data_errors(location, "cannot be decoded", ": replace or remove it", reason=_reason):
        if isinstance(content, Path):
            check_regular(content)
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content, formats=FORMATS) as image:
            yield image


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {MAX_PIXELS:,} pixels"
    return "not an image" if isinstance(error, PIL.UnidentifiedImageError) else f"damaged: {first_line(error)}"


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of a decodable image after its EXIF rotation, pixels; only its header is read."""
    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        is_turned = image.getexif().get(ExifTags.Base.Orientation) in range(5, 9)
    return (height, width) if is_turned else (width, height)


def _is_object(image: Image.Image, location: str) -> NDArray[np.bool_]:
    """The pixels of the object, (H, W)."""
    values = np.asarray(image)
    if image.mode in ("1", "P"):
        return values > 0
    half = (LARGEST_16_BIT + 1) // 2 if image.mode in SIXTEEN_BIT_MODES else 128
    opaque = np.ones(values.shape[:2], np.bool_)
    if image.mode in ("LA", "RGBA"):
        values, opaque = values[..., :-1], values[..., -1] >= half
    highest = values if values.ndim == 2 else values.max(axis=2)
    most = int(highest.max())
    if 1 < most < half:
        raise DataError(
            f"{location} has values up to {most} and none of {half} or more, which would be the object: save the"
            f" object as {2 * half - 1}, or the mask as 0 and 1"
        )
    return (highest >= (1 if most == 1 else half)) & opaque


def decode_opaque(content: bytes | Path, location: str) -> Image.Image:
    """Decode one image of a published dataset of opaque images, 8 bits per channel.

    Raises:
        DataError: it is transparent or 16-bit gray, or `decode` fails.
    """
    changes: Counter[str] = Counter()
    image = decode(content, location, changes=changes)
    for change, problem in ((TRANSPARENT, "is transparent"), (SCALED, "is 16-bit gray")):
        if changes[change]:
            raise DataError(
                f"{location} {problem}: expected an opaque image of 8 bits per channel; download the dataset again"
            )
    return image


def check_resized(width: int, height: int, location: str) -> None:
    """Check the target size of an image, pixels: resizing multiplies that of a long and thin image.

    Raises:
        DataError: it would have more than MAX_PIXELS pixels.
    """
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{location} would be resized to {width:,}×{height:,} pixels, more than {MAX_PIXELS:,}: crop,"
            " replace or remove it"
        )


def resize_and_crop(
    image: Image.Image,
    side: int,
    resize: int | None = None,
    location: str = "an image",
    resampling: Image.Resampling = Image.Resampling.BILINEAR,
) -> Image.Image:
    """Resize the shorter side to `resize` (bilinear, anti-aliased), then center-crop to `side`×`side` pixels.

    Pixel for pixel torchvision's Resize(resize) and CenterCrop(side) of a PIL image: the longer side is rounded down,
    and margins of half a pixel are rounded to even ones.

    Raises:
        DataError: the image is so long and thin that the resized one would be too large.
    """
    width, height = image.size
    shorter = min(width, height)
    to = resize or side
    size = to * width // shorter, to * height // shorter
    check_resized(*size, location)
    resized = image.resize(size, resampling)
    left, top = (round((length - side) / 2) for length in resized.size)
    return resized.crop((left, top, left + side, top + side))


def _read_changes(path: Path) -> Counter[str] | None:
    """Stored counts of conversions; None if missing or damaged."""
    try:
        content = read_json(path)
    except (FileNotFoundError, DataError):
        return None
    is_valid = isinstance(content, dict) and all(type(count) is int for count in content.values())
    return Counter(content) if is_valid else None
