"""Convert images of any kind to 8-bit RGB, and describe the conversion.

- Images are rotated by their EXIF orientation; of animations and multi-page files the first frame is used.
- Transparent images are composited on a background; an alpha channel that is opaque everywhere is dropped.
- Gray images are repeated over three channels.
- Gray values v of 16 bits (0 to 65,535) become v / 257, rounded, so that white stays white. A 16-bit image whose
  largest value is 1 to 255 is refused: most likely it holds 8-bit values, and would become black.
- Color images of 16 bits per channel keep the upper 8 bits: Pillow decodes no more.
- CMYK, YCbCr and palette images are converted by Pillow.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps

from failmodes.runtime.errors import DataError

Color = tuple[int, int, int]  # red, green and blue, 0 to 255
WHITE: Color = (255, 255, 255)
COLOR_WORDS = {WHITE: "white", (0, 0, 0): "black"}

EIGHT_BIT_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}
SIXTEEN_BIT_MODES = {"I;16", "I;16L", "I;16B", "I;16N", "I"}  # all gray; "I" has 32 bits, whose range is checked
GRAY_MODES = {"1", "L", "LA"} | SIXTEEN_BIT_MODES
LARGEST_16_BIT, STEP_16_TO_8 = 65_535, 257
FILM_FORMATS = {"GIF", "PNG", "TIFF", "WEBP"}  # not MPO: a photograph with previews

# Conversions, with their text for one image and for several
GRAY, TRANSPARENT, SCALED, UPPER_BITS = "gray", "transparent", "16 bits", "16 bits per channel"
CMYK, FILM, TURNED = "CMYK", "film", "turned"
EMPTY_MASK = "empty mask"  # counted beside them, of masks
WORDS = {
    GRAY: ("gray image repeated over three channels", "gray images repeated over three channels"),
    TRANSPARENT: ("transparent image composited on {background}", "transparent images composited on {background}"),
    SCALED: ("16-bit image scaled to 8 bits", "16-bit images scaled to 8 bits"),
    UPPER_BITS: (
        "image of 16 bits per channel reduced to the upper 8",
        "images of 16 bits per channel reduced to the upper 8",
    ),
    CMYK: ("CMYK image converted to RGB", "CMYK images converted to RGB"),
    FILM: (
        "animation or multi-page file reduced to its first frame",
        "animations or multi-page files reduced to their first frame",
    ),
    TURNED: ("image rotated by its EXIF orientation", "images rotated by their EXIF orientation"),
}


class RgbImage(NamedTuple):
    """An image of mode RGB, and its conversions: keys of WORDS."""

    image: Image.Image
    changes: tuple[str, ...]


def to_rgb(image: Image.Image, location: str, background: Color = WHITE, *, turn: bool = True) -> RgbImage:
    """Convert an opened image to RGB by the rules above.

    Args:
        image: of at most 8 bits per channel, or 16-bit gray; rotated in place.
        location: its name in errors.
        background: color behind transparent images.
        turn: apply the EXIF orientation. An image that a program made from a file may still carry the file's EXIF,
            applied or not; it is used unchanged.

    Raises:
        DataError: pixels of another mode, gray values beyond 16 bits, 16-bit gray with 8-bit values, or a transparent
            color in a 16-bit image.
    """
    if image.mode not in EIGHT_BIT_MODES | SIXTEEN_BIT_MODES:
        raise DataError(
            f"{location} has pixels of mode {image.mode}: convert it to at most 8 bits per channel, or 16-bit gray"
        )
    has_upper_bits = _keeps_upper_bits(image)
    if "transparency" in image.info and (has_upper_bits or image.mode in SIXTEEN_BIT_MODES):
        raise DataError(f"{location} has 16 bits and a transparent color: save it with 8 bits or an alpha channel")
    occurred = {
        GRAY: image.mode in GRAY_MODES,
        SCALED: image.mode in SIXTEEN_BIT_MODES,
        UPPER_BITS: has_upper_bits,
        CMYK: image.mode == "CMYK",
        FILM: image.format in FILM_FORMATS and getattr(image, "is_animated", False),
        TURNED: turn and image.getexif().get(ExifTags.Base.Orientation) in range(2, 9),
    }
    if turn:
        ImageOps.exif_transpose(image, in_place=True)
    if occurred[SCALED]:
        image = _scaled_to_8_bits(image, location)
    if image.has_transparency_data and image.mode not in ("LA", "RGBA"):  # transparent colors of a palette, or one
        image = image.convert("RGBA")
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    alpha = image.getchannel("A") if image.has_transparency_data else None
    occurred[TRANSPARENT] = alpha is not None and alpha.getextrema() != (255, 255)
    if occurred[TRANSPARENT]:
        opaque = Image.new("RGB", rgb.size, background)
        opaque.paste(rgb, mask=alpha)
        rgb = opaque
    return RgbImage(rgb, tuple(change for change in WORDS if occurred[change]))


def describe_changes(changes: Mapping[str, int], background: Color = WHITE) -> list[str]:
    """The conversions with their number of images: "7 gray images repeated over three channels"."""
    word = COLOR_WORDS.get(background, f"the color {list(background)}")
    counts = [(changes.get(change, 0), words) for change, words in WORDS.items()]
    return [f"{count:,} {words[count > 1].format(background=word)}" for count, words in counts if count]


def _keeps_upper_bits(image: Image.Image) -> bool:
    """Whether the file has 16 bits per channel, reduced to 8 by Pillow; to be called before pixels are read."""
    if image.format not in ("PNG", "TIFF") or image.mode in SIXTEEN_BIT_MODES:
        return False
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def _scaled_to_8_bits(image: Image.Image, location: str) -> Image.Image:
    values = np.asarray(image)
    least, most = int(values.min()), int(values.max())
    if least < 0 or most > LARGEST_16_BIT:
        raise DataError(
            f"{location} has values from {least:,} to {most:,}: expected at most 16 bits per channel, 0 to"
            f" {LARGEST_16_BIT:,}; save it with 8 or 16 bits"
        )
    if 0 < most < 256:
        raise DataError(
            f"{location} has 16 bits and no value above {most}, so it would become black: save it with 8 bits if"
            f" its values are 0 to 255, else scale them"
        )
    half = STEP_16_TO_8 // 2  # an odd divisor has no ties
    return Image.fromarray(((values.astype(np.uint32) + half) // STEP_16_TO_8).astype(np.uint8))
