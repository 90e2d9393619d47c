"""The gallery of a report: exemplars as image strips with predictions and attention."""

import duckdb

from failmodes.analysis.images.exemplars import SERIES, ExemplarImage, exemplar_images, exemplar_rows, size_of
from failmodes.analysis.images.strips import image_strip, strip_frame, strip_title
from failmodes.analysis.render.blocks import Gallery, ImageStrip
from failmodes.analysis.render.formatting import REASON_MEANINGS, capitalize_first
from failmodes.analysis.selection import Selection, corruption_labels
from failmodes.analysis.statistics.model_accuracy import lowest_first, run_accuracies

MAX_BYTES = 4_000_000  # of all strips of a selection; base64 adds a third
MAX_PIXELS = 2**29  # decoded, about 10 s
LOSSLESS_BYTES = 800_000  # of all stored pictures, up to which they are embedded uncompressed
MODEL, CORRUPTION, REASON = "Model", "Corruption", "Chosen as"  # filters
NO_IMAGES = (
    "No images are stored: the study has thumbnails = false, or its corrupted images do not pair with clean images."
)


def gallery(con: duckdb.DuckDBPyConnection, selection: Selection) -> Gallery:
    """Image strips of a selection, as far as they fit: first choices first, then by accuracy drop."""
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
        if pixels > MAX_PIXELS and strips:
            break
        images = exemplar_images(part)
        first = images[0]
        labels = (selection.labels[first.evaluation_id], names[first.corruption], first.reason_name)
        strip = _strip(images, *labels, is_lossless=is_lossless)
        size += len(strip.url) * 3 // 4
        if size > MAX_BYTES and strips:
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
    return f"{note} `failmodes images` shows any other image."


def _strip(images: list[ExemplarImage], model: str, corruption: str, reason: str, *, is_lossless: bool) -> ImageStrip:
    first, meaning = images[0], REASON_MEANINGS.get(reason)
    return image_strip(
        strip_title(corruption, model, first.image_id, first.label_name),
        capitalize_first(f"{reason} ({meaning})" if meaning else reason),
        [image.pixels for image in images],
        [strip_frame(i.severity, i.predicted_name, i.confidence, is_correct=i.is_correct) for i in images],
        is_lossless=is_lossless,
        maps=[image.attention for image in images],
    )
