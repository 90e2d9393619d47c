"""How an image of any kind becomes 8-bit RGB, and what is said of it.

- Turned as its EXIF says; of a film (animation, several pages) the first image is taken.
- Transparent images are composited on a background; where every pixel is opaque, alpha is left out.
- Gray ones are repeated over three channels.
- Gray values v of 16 bits (0 to 65,535) become v / 257, rounded, so that white stays white. An image of 16 bits whose
  largest value is 1 to 255 is refused: most likely its values are those of 8 bits, and it would become black.
- Color images of 16 bits a channel keep the upper 8: Pillow decodes no more.
- CMYK, YCbCr and palettes by Pillow's conversion.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps

from failmodes.warehouse.errors import DataError

Color = tuple[int, int, int]  # red, green and blue, 0 to 255
WHITE: Color = (255, 255, 255)
COLOR_WORDS = {WHITE: "white", (0, 0, 0): "black"}

EIGHT_BIT_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}
SIXTEEN_BIT_MODES = {"I;16", "I;16L", "I;16B", "I;16N", "I"}  # all gray; "I" has 32 bits, whose range is checked
GRAY_MODES = {"1", "L", "LA"} | SIXTEEN_BIT_MODES
LARGEST_16_BIT, STEP_16_TO_8 = 65_535, 257
FILM_FORMATS = {"GIF", "PNG", "TIFF", "WEBP"}  # not MPO: a photograph with previews

# What may have been done to an image, and how a note says so, of one and of several
GRAY, TRANSPARENT, SCALED, UPPER_BITS = "gray", "transparent", "16 bits", "16 bits a channel"
CMYK, FILM, TURNED = "CMYK", "film", "turned"
EMPTY_MASK = "empty mask"  # counted beside them, of masks
WORDS = {
    GRAY: ("gray image repeated over three channels", "gray images repeated over three channels"),
    TRANSPARENT: ("transparent image composited on {background}", "transparent images composited on {background}"),
    SCALED: ("image of 16 bits scaled to 8", "images of 16 bits scaled to 8"),
    UPPER_BITS: (
        "image of 16 bits a channel, of which the upper 8 are kept",
        "images of 16 bits a channel, of which the upper 8 are kept",
    ),
    CMYK: ("CMYK image converted to RGB", "CMYK images converted to RGB"),
    FILM: ("film of which the first image is taken", "films of which the first image is taken"),
    TURNED: ("image turned as its EXIF says", "images turned as their EXIF says"),
}


class RgbImage(NamedTuple):
    """An image of mode RGB, and what was done to make it so: keys of WORDS."""

    image: Image.Image
    changes: tuple[str, ...]


def to_rgb(image: Image.Image, location: str, background: Color = WHITE, *, turn: bool = True) -> RgbImage:
    """Bring an opened image of at most 8 bits a channel, or of gray values of 16, to RGB by the rules above.

    Args:
        image: as it was opened; turned in place.
        location: what an error calls it.
        background: what a transparent image is composited on.
        turn: turn it as its EXIF says. An image that a program made from a file may still carry the file's EXIF, turned
            or not, and is taken as it is.

    Raises:
        DataError: pixels of another mode; of gray values one is beyond 16 bits, or none is beyond 8; one color of 16
            bits is transparent.
    """
    if image.mode not in EIGHT_BIT_MODES | SIXTEEN_BIT_MODES:
        raise DataError(
            f"{location} has pixels of mode {image.mode}: expected at most 8 bits a channel, or gray values of 16 bits;"
            " save it so"
        )
    has_upper_bits = _keeps_upper_bits(image)
    if "transparency" in image.info and (has_upper_bits or image.mode in SIXTEEN_BIT_MODES):
        raise DataError(f"{location} has 16 bits and one transparent color: save it with 8 bits or an alpha channel")
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
    """How many images each change occurred to, in words: "7 gray images repeated over three channels"."""
    word = COLOR_WORDS.get(background, f"the color {list(background)}")
    counts = [(changes.get(change, 0), words) for change, words in WORDS.items()]
    return [f"{count:,} {words[count > 1].format(background=word)}" for count, words in counts if count]


def parse_changes(content: Any) -> Counter[str] | None:
    """Counts of changes as JSON gave them; None where they are no such counts."""
    if not isinstance(content, dict) or not content.keys() <= {*WORDS, EMPTY_MASK}:
        return None
    if not all(type(count) is int and count > 0 for count in content.values()):
        return None
    return Counter(content)


def _keeps_upper_bits(image: Image.Image) -> bool:
    """Whether the file has 16 bits a channel, of which Pillow gives 8; asked before pixels are read."""
    if image.format not in ("PNG", "TIFF") or image.mode in SIXTEEN_BIT_MODES:
        return False
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def _scaled_to_8_bits(image: Image.Image, location: str) -> Image.Image:
    values = np.asarray(image)
    least, most = int(values.min()), int(values.max())
    if least < 0 or most > LARGEST_16_BIT:
        raise DataError(
            f"{location} has values from {least:,} to {most:,}: expected at most 16 bits a channel, 0 to"
            f" {LARGEST_16_BIT:,}; save it with 8 or 16 bits"
        )
    if 0 < most < 256:
        raise DataError(
            f"{location} has 16 bits and no value above {most}, so that it would become black: save it with 8 bits if"
            f" its values are 0 to 255, else multiply them"
        )
    half = STEP_16_TO_8 // 2  # an odd divisor has no ties
    return Image.fromarray(((values.astype(np.uint32) + half) // STEP_16_TO_8).astype(np.uint8))
