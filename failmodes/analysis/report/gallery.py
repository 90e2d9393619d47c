"""The gallery of a report: the exemplars of all models as image strips, with predictions and attention."""

import base64
import io
from collections.abc import Sequence

import duckdb
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from failmodes.analysis.images.attention import AttentionMap
from failmodes.analysis.images.exemplars import SERIES, ExemplarImage, exemplar_images, exemplar_rows, size_of
from failmodes.analysis.render.blocks import Frame, Gallery, ImageStrip
from failmodes.analysis.render.formatting import REASON_MEANINGS, capitalize_first, format_confidence, format_severity
from failmodes.analysis.selection import Selection, corruption_labels
from failmodes.analysis.statistics.model_accuracy import lowest_first, run_accuracies

LONGEST_SIDE_PX = 96  # of a picture; larger ones are made smaller
MOST_BYTES = 4_000_000  # of all strips of a selection, a third more as text
MOST_PIXELS = 2**29  # that are decoded for them, some 10 s
LOSSLESS_BYTES = 800_000  # of all pictures on record, up to which they are embedded as they are
QUALITY = 80  # of the copies beyond that, WebP
MODEL, CORRUPTION, REASON = "Model", "Corruption", "Chosen as"  # filters
NO_IMAGES = (
    "No images are stored: a study keeps none with thumbnails = false, nor where corrupted images do not pair with "
    "clean ones."
)


def gallery(con: duckdb.DuckDBPyConnection, selection: Selection) -> Gallery:
    """Image strips of a selection, as far as they fit: first choices first, of these the largest accuracy drops."""
    order = lowest_first(run_accuracies(con, selection).values())
    rows = exemplar_rows(con, selection.ids, order, selection.shared["dataset_id"])
    parts = sorted(
        rows.partition_by(*SERIES, maintain_order=True),
        key=lambda part: (
            part["reason_rank"][0], order.index(part["corruption"][0]), selection.ids.index(part["evaluation_id"][0])
        ),
    )  # fmt: skip
    names, is_lossless = corruption_labels(con), sum(map(len, rows["png"])) <= LOSSLESS_BYTES
    strips: list[ImageStrip] = []
    facts: list[tuple[str, str, str]] = []
    size = pixels = 0
    for part in parts:
        height, width = size_of(part)
        pixels += part.height * height * width
        if pixels > MOST_PIXELS and strips:
            break
        images = exemplar_images(part)
        first = images[0]
        labels = (selection.labels[first.evaluation_id], names[first.corruption], first.reason_name)
        strip = _strip(images, *labels, is_lossless=is_lossless)
        size += len(strip.url) * 3 // 4
        if size > MOST_BYTES and strips:
            break
        strips.append(strip)
        facts.append(labels)
    filters: dict[str, tuple[str, ...]] = dict(
        zip((MODEL, CORRUPTION, REASON), zip(*facts, strict=True), strict=bool(facts))
    )
    return Gallery(tuple(strips), _note(len(strips), len(parts), is_lossless=is_lossless), filters)


def _note(shown: int, total: int, *, is_lossless: bool) -> str:
    if not shown:
        return NO_IMAGES
    note = "Images from clean to the last severity, chosen by rule: illustrations, not evidence."
    note += "" if is_lossless else " Compressed copies."
    note += f" {shown:,} of {total:,} stored." if shown < total else ""
    return f"{note} failmodes images shows any other image."


def _strip(images: list[ExemplarImage], model: str, corruption: str, reason: str, *, is_lossless: bool) -> ImageStrip:
    first, meaning = images[0], REASON_MEANINGS.get(reason)
    return image_strip(
        f"{corruption}, {model}: image {first.image_id}, class \u201c{first.label_name}\u201d",
        capitalize_first(f"{reason} ({meaning})" if meaning else reason),
        [image.pixels for image in images],
        [frame_of(i.severity, i.predicted_name, i.confidence, is_correct=i.is_correct) for i in images],
        is_lossless=is_lossless,
        maps=[image.attention for image in images],
    )


def frame_of(severity: float, prediction: str, confidence: float | None, *, is_correct: bool) -> Frame:
    """One picture of a strip, its confidence 0-1 in percent."""
    return Frame(format_severity(severity), prediction, format_confidence(confidence), is_correct)


def image_strip(
    title: str, note: str, pixels: Sequence[NDArray[np.uint8]], frames: Sequence[Frame], *, is_lossless: bool,
    maps: Sequence[AttentionMap | None] = (), most_px: int = LONGEST_SIDE_PX,
) -> ImageStrip:  # fmt: skip
    """Pictures of one size, (H, W, 3) each, side by side, with attention where each has a map of one size.

    Those whose longer side has more than `most_px` pixels are made smaller, and are never lossless.
    """
    height, width = pixels[0].shape[:2]
    share = min(1, most_px / max(height, width))
    size = max(1, round(width * share)), max(1, round(height * share))
    strip = Image.new("RGB", (size[0] * len(pixels), size[1]))
    for place, picture in enumerate(map(Image.fromarray, pixels)):
        small = picture if share == 1 else picture.resize(size, Image.Resampling.LANCZOS)
        strip.paste(small, (place * size[0], 0))
    buffer, kind = io.BytesIO(), "png" if is_lossless and share == 1 else "webp"
    strip.save(buffer, kind, **({} if kind == "png" else {"quality": QUALITY, "method": 2}))
    url = f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return ImageStrip(title, note, url, *size, tuple(frames), *_encoded(maps))


def _encoded(maps: Sequence[AttentionMap | None]) -> tuple[str, tuple[int, int]]:
    """Maps in base64, scaled by the largest value of all, and their columns and rows; nothing where one is missing."""
    known = [one for one in maps if one is not None]
    if not known or len(known) < len(maps) or len({one.shape for one in known}) > 1:
        return "", (0, 0)
    values = np.stack(known)
    top = float(values.max())
    scaled = (255 * values / top if top > 0 else values).round().astype(np.uint8)
    return base64.b64encode(scaled.tobytes()).decode(), (values.shape[2], values.shape[1])
