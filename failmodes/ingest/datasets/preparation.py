"""Prepare one image: decode it, convert it to RGB, remove its border, resize and crop it.

Photographs are resized, then cropped; corruptions are applied at the resulting size. The published preparation of
ImageNet-C is `resize=256, image_size=224`.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from failmodes.ingest.corruptions.pixels import is_gray
from failmodes.ingest.datasets.color import WHITE, Color, RgbImage, to_rgb
from failmodes.ingest.datasets.decoding import decode, resize_and_crop
from failmodes.runtime.errors import DataError, counted, first_line, listed, printable

MAX_IMAGE_BYTES = 1 << 28  # of an encoded image in a file of many
NAMED_UNREADABLE = 3  # images, in a note
Encoded = bytes | Path | Image.Image  # an encoded image, its file, or one that a library decodes when it is read


class UnreadableImageError(DataError):
    """An image cannot be decoded, or not to RGB."""


class ImageFacts(NamedTuple):
    """Facts about an image before its preparation.

    Attributes:
        width_px: after its EXIF rotation, before its border is removed.
        height_px: likewise.
        file_bytes: size of the encoded image; None if a library decoded it.
        changes: conversions of its colors, keys of `failmodes.ingest.datasets.color.WORDS`.
    """

    width_px: int
    height_px: int
    file_bytes: int | None
    changes: tuple[str, ...]


class Preparation(NamedTuple):
    """The preparation of the images of a dataset.

    Attributes:
        size: height and width of the result, pixels.
        resize: length of the shorter side before the crop, pixels; None: all images have the size already.
        background: color behind transparent images.
        border_px: pixels to remove at each edge before anything else.
        gray: refuse images whose channels differ.
        first: an image of this size, named in the error about another size.
    """

    size: tuple[int, int]
    resize: int | None = None
    background: Color = WHITE
    border_px: int = 0
    gray: bool = False
    first: str = "the first"

    def settings(self) -> dict[str, object]:
        """What shapes the pixels, JSON-like."""
        how: dict[str, object] = {"size": list(self.size), "resize": self.resize, "background": list(self.background)}
        how |= {"border": self.border_px} if self.border_px else {}
        return how | ({"gray": True} if self.gray else {})  # so that images decoded without it are checked

    def prepare(self, content: Encoded, location: str) -> tuple[NDArray[np.uint8], ImageFacts]:
        """The pixels (H, W, 3) of an image, and facts about it.

        Raises:
            UnreadableImageError: it cannot be decoded.
            DataError: it has another size, or is not gray; `location` names it.
        """
        image, changes = read_rgb(content, location, self.background)
        facts = ImageFacts(image.width, image.height, _size_of(content), changes)
        if self.border_px:
            if min(image.size) <= 2 * self.border_px:
                raise DataError(
                    f"{location} is {image.width}×{image.height} pixels: nothing is left without its border"
                )
            image = ImageOps.crop(image, self.border_px)
        pixels = np.asarray(resize_and_crop(image, self.size[0], self.resize, location) if self.resize else image)
        if pixels.shape[:2] != self.size:
            raise DataError(
                f"{location} is {pixels.shape[1]}×{pixels.shape[0]} pixels where {self.first} is "
                f"{self.size[1]}×{self.size[0]}: set `image_size` to resize all images to one size"
            )
        if self.gray and not is_gray(pixels):
            raise DataError(f"{location} is not gray (its channels differ): convert it, or leave out `gray`")
        return pixels, facts


def read_rgb(content: Encoded, location: str, background: Color = WHITE) -> RgbImage:
    """Decode an image to RGB, by the rules of `failmodes.ingest.datasets.color`.

    The EXIF rotation of an image that a library has decoded is not applied: it may have been.

    Raises:
        UnreadableImageError: it cannot be decoded.
    """
    try:
        if isinstance(content, bytes | Path):
            changes: Counter[str] = Counter()
            image = decode(content, location, background=background, changes=changes)
            return RgbImage(image, tuple(changes.elements()))
        content.load()
        return to_rgb(content, location, background, turn=False)
    except DataError as error:
        raise UnreadableImageError(str(error)) from error
    except (OSError, SyntaxError, ValueError) as error:  # a file that a library reads late
        raise UnreadableImageError(f"{location} cannot be decoded: {first_line(error)}") from error


def preparation_note(image_size: int | None, resize: int | None, notes: list[str]) -> str | None:
    """A dataset's note on the preparation of its images; None if nothing was changed."""
    if image_size:
        to = "" if resize == image_size else f" to {image_size}"
        notes = [f"shorter side resized to {resize} pixels, center cropped{to}", *notes]
    return "; ".join(notes) or None


def unreadable_note(names: Sequence[str]) -> list[str]:
    """The note on images that are left out because they cannot be decoded; none without such images."""
    if not names:
        return []
    shown = listed([printable(name, 100) for name in names], NAMED_UNREADABLE)
    return [f"left out: {counted(len(names), 'image')} that cannot be decoded ({shown})"]


def _size_of(content: Encoded) -> int | None:
    if isinstance(content, Path):
        return content.stat().st_size
    return len(content) if isinstance(content, bytes) else None
