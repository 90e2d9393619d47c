"""The gallery of a report: the exemplars of all models as image strips, with predictions and attention."""

import base64
import io
from collections.abc import Sequence

import duckdb
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from failmodes.analysis.charts.style.figure import image_url
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
    names = corruption_labels(con)
    is_lossless = sum(map(len, rows["png"])) <= LOSSLESS_BYTES
    strips: list[ImageStrip] = []
    labels: dict[str, list[str]] = {MODEL: [], CORRUPTION: [], REASON: []}
    size = pixels = 0
    for part in parts:
        height, width = size_of(part)
        pixels += part.height * height * width
        if pixels > MOST_PIXELS and strips:
            break
        images = exemplar_images(part)
        first = images[0]
        facts = (selection.labels[first.evaluation_id], names[first.corruption], first.reason_name)
        strip = _strip(images, *facts, is_lossless=is_lossless)
        size += len(strip.url) * 3 // 4
        if size > MOST_BYTES and strips:
            break
        strips.append(strip)
        for kept, label in zip(labels.values(), facts, strict=True):
            kept.append(label)
    note = _note(len(strips), len(parts), is_lossless=is_lossless)
    return Gallery(tuple(strips), note, {name: tuple(kept) for name, kept in labels.items()} if strips else {})


def _note(shown: int, total: int, *, is_lossless: bool) -> str:
    if not shown:
        return NO_IMAGES
    note = "Images from clean to the last severity, chosen by rule: illustrations, not evidence."
    note += "" if is_lossless else " Compressed copies."
    note += f" {shown:,} of {total:,} stored." if shown < total else ""
    return f"{note} failmodes images shows any other image."


def _strip(images: list[ExemplarImage], model: str, corruption: str, reason: str, *, is_lossless: bool) -> ImageStrip:
    first, pictures = images[0], [small_picture(image.pixels) for image in images]
    maps, map_size = encoded_maps([image.attention for image in images])
    meaning = REASON_MEANINGS.get(reason)
    return ImageStrip(
        f"{corruption}, {model}: image {first.image_id}, class \u201c{first.label_name}\u201d",
        capitalize_first(f"{reason} ({meaning})" if meaning else reason),
        side_by_side(pictures, is_lossless=is_lossless), *pictures[0].size,
        tuple(map(_frame, images)), maps, map_size,
    )  # fmt: skip


def _frame(image: ExemplarImage) -> Frame:
    return frame_of(image.severity, image.predicted_name, image.confidence, is_correct=image.is_correct)


def frame_of(severity: float, prediction: str, confidence: float | None, *, is_correct: bool) -> Frame:
    """One picture of a strip, its confidence 0-1 in percent."""
    return Frame(format_severity(severity), prediction, format_confidence(confidence), is_correct)


def small_picture(pixels: NDArray[np.uint8], most_px: int = LONGEST_SIDE_PX) -> Image.Image:
    """A picture (H, W, 3), made smaller where its longer side has more pixels."""
    picture = Image.fromarray(pixels)
    longest = max(picture.size)
    if longest <= most_px:
        return picture
    width, height = (max(1, round(side * most_px / longest)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def side_by_side(pictures: Sequence[Image.Image], *, is_lossless: bool) -> str:
    """Pictures of one size side by side, as a URL."""
    width, height = pictures[0].size
    strip = Image.new("RGB", (width * len(pictures), height))
    for place, picture in enumerate(pictures):
        strip.paste(picture, (place * width, 0))
    if is_lossless:
        return image_url(np.asarray(strip))
    buffer = io.BytesIO()
    strip.save(buffer, "WEBP", quality=QUALITY, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def encoded_maps(maps: Sequence[AttentionMap | None]) -> tuple[str, tuple[int, int]]:
    """The attention of a strip in base64, scaled by the largest value of all, and its columns and rows.

    Nothing where a map is missing, or where the maps differ in size.
    """
    known = [one for one in maps if one is not None]
    if len(known) < len(maps) or len({one.shape for one in known}) > 1:
        return "", (0, 0)
    values = np.stack(known)
    top = float(values.max())
    scaled = (255 * values / top if top > 0 else values).round().astype(np.uint8)
    return base64.b64encode(scaled.tobytes()).decode(), (values.shape[2], values.shape[1])
