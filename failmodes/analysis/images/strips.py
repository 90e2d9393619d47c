"""Strips of images over severities, and the viewer that enlarges them in the report and in the explorer."""

import base64
import io
from collections.abc import Sequence
from importlib.resources import files

import numpy as np
from PIL import Image

from failmodes.analysis.images.regeneration import Picture
from failmodes.analysis.images.stored_images import AttentionMap
from failmodes.analysis.render.blocks import ImageStrip, StripFrame
from failmodes.analysis.render.formatting import capitalize_first, format_severity

MAX_SIDE_PX = 96  # of an image; larger ones are scaled down
QUALITY = 80  # of WebP copies


def viewer(kind: str) -> str:
    """The viewer's "html" (a dialog), "css" or "js"."""
    return files("failmodes.analysis.images").joinpath(f"viewer.{kind}").read_text("utf-8")


def picture_strip(
    pictures: Sequence[Picture], model_label: str, note: str, *, is_lossless: bool = True, max_px: int = MAX_SIDE_PX
) -> ImageStrip:
    """The images of one image along severity side by side, with attention if all have a map of one size.

    Images whose longer side exceeds `max_px` pixels are scaled down and compressed.
    """
    height, width = pictures[0].pixels.shape[:2]
    share = min(1, max_px / max(height, width))
    size = max(1, round(width * share)), max(1, round(height * share))
    strip = Image.new("RGB", (size[0] * len(pictures), size[1]))
    for place, picture in enumerate(pictures):
        image = Image.fromarray(picture.pixels)
        small = image if share == 1 else image.resize(size, Image.Resampling.LANCZOS)
        strip.paste(small, (place * size[0], 0))
    buffer = io.BytesIO()
    kind = "png" if is_lossless and share == 1 else "webp"
    strip.save(buffer, kind, **({} if kind == "png" else {"quality": QUALITY, "method": 2}))
    last = pictures[-1].row
    return ImageStrip(
        f"{capitalize_first(last.corruption_label)}, {model_label}: image {last.image_id}, class "
        f"\u201c{last.label_name}\u201d",
        note,
        f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}",
        *size,
        tuple(
            StripFrame(format_severity(float(row.severity)), row.predicted_name, row.confidence_text, row.correct)
            for row in (picture.row for picture in pictures)
        ),
        *_encoded([picture.attention for picture in pictures]),
        file=last.file or "",
    )


def _encoded(maps: Sequence[AttentionMap | None]) -> tuple[str, tuple[int, int]]:
    """Maps in base64, scaled by their largest value, and their columns and rows; empty if a map is missing."""
    known = [attention for attention in maps if attention is not None]
    if not known or len(known) < len(maps) or len({attention.shape for attention in known}) > 1:
        return "", (0, 0)
    values = np.stack(known)
    top = float(values.max())
    scaled = (255 * values / top if top > 0 else values).round().astype(np.uint8)
    return base64.b64encode(scaled.tobytes()).decode(), (values.shape[2], values.shape[1])
