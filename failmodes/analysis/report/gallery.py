"""The gallery of a report: exemplars as image strips with predictions and attention."""

import duckdb

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.images.exemplars import SERIES, exemplar_images, exemplar_rows
from failmodes.analysis.images.strips import picture_strip
from failmodes.analysis.render.blocks import Gallery, ImageStrip
from failmodes.analysis.render.formatting import REASON_MEANINGS, capitalize_first
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
    is_lossless = sum(map(len, rows["png"])) <= LOSSLESS_BYTES
    strips: list[ImageStrip] = []
    facts: list[tuple[str, str, str]] = []
    size = pixels = 0
    for part in parts:
        first = part.row(0, named=True)
        pixels += part.height * first["height_px"] * first["width_px"]
        if pixels > MAX_PIXELS and strips:
            break
        reason = first["reason_name"]
        labels = (selection.labels[first["evaluation_id"]], first["corruption_label"], reason)
        chosen = capitalize_first(f"{reason} ({REASON_MEANINGS[reason]})" if reason in REASON_MEANINGS else reason)
        strip = picture_strip(exemplar_images(part), labels[0], chosen, is_lossless=is_lossless)
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
