"""Strips of images over severities, and the viewer that enlarges them in the report and in the explorer."""

import base64
import io
from collections.abc import Sequence
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from failmodes.analysis.images.attention import AttentionMap
from failmodes.analysis.images.regeneration import Picture
from failmodes.analysis.render.blocks import ImageStrip, StripFrame
from failmodes.analysis.render.formatting import capitalize_first, format_confidence, format_severity

MAX_SIDE_PX = 96  # of an image; larger ones are scaled down
QUALITY = 80  # of WebP copies


def viewer(kind: str) -> str:
    """The viewer's "html" (a dialog), "css" or "js"."""
    return files("failmodes.analysis.images").joinpath(f"viewer.{kind}").read_text("utf-8")


def strip_frame(severity: float, prediction: str, confidence: float | None, *, is_correct: bool) -> StripFrame:
    """One image of a strip, with its confidence (0-1) in percent."""
    return StripFrame(format_severity(severity), prediction, format_confidence(confidence), is_correct)


def strip_title(corruption_label: str, model_label: str, image_id: int, class_name: str) -> str:
    """The title of a strip: Fog, ResNet-18: image 17, class “cat”."""
    return f"{capitalize_first(corruption_label)}, {model_label}: image {image_id}, class \u201c{class_name}\u201d"


def image_strip(
    title: str, note: str, pixels: Sequence[NDArray[np.uint8]], frames: Sequence[StripFrame], *, is_lossless: bool,
    maps: Sequence[AttentionMap | None] = (), max_px: int = MAX_SIDE_PX,
) -> ImageStrip:  # fmt: skip
    """Images of one size, (H, W, 3) each, side by side, with attention if all have a map of one size.

    Images whose longer side exceeds `max_px` pixels are scaled down and compressed.
    """
    height, width = pixels[0].shape[:2]
    share = min(1, max_px / max(height, width))
    size = max(1, round(width * share)), max(1, round(height * share))
    strip = Image.new("RGB", (size[0] * len(pixels), size[1]))
    for place, picture in enumerate(map(Image.fromarray, pixels)):
        small = picture if share == 1 else picture.resize(size, Image.Resampling.LANCZOS)
        strip.paste(small, (place * size[0], 0))
    buffer, kind = io.BytesIO(), "png" if is_lossless and share == 1 else "webp"
    strip.save(buffer, kind, **({} if kind == "png" else {"quality": QUALITY, "method": 2}))
    url = f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return ImageStrip(title, note, url, *size, tuple(frames), *_encoded(maps))


def picture_strip(pictures: Sequence[Picture], model_label: str, note: str, max_px: int = MAX_SIDE_PX) -> ImageStrip:
    """The reproduced images of one image along severity, with attention if it was read."""
    rows = [picture.row for picture in pictures]
    return image_strip(
        strip_title(rows[-1].corruption_label, model_label, rows[-1].image_id, rows[-1].label_name),
        note,
        [picture.pixels for picture in pictures],
        [strip_frame(float(r.severity), r.predicted_name, r.confidence, is_correct=r.correct) for r in rows],
        is_lossless=True,
        maps=[picture.attention for picture in pictures],
        max_px=max_px,
    )


def _encoded(maps: Sequence[AttentionMap | None]) -> tuple[str, tuple[int, int]]:
    """Maps in base64, scaled by their largest value, and their columns and rows; empty if a map is missing."""
    known = [one for one in maps if one is not None]
    if not known or len(known) < len(maps) or len({one.shape for one in known}) > 1:
        return "", (0, 0)
    values = np.stack(known)
    top = float(values.max())
    scaled = (255 * values / top if top > 0 else values).round().astype(np.uint8)
    return base64.b64encode(scaled.tobytes()).decode(), (values.shape[2], values.shape[1])
