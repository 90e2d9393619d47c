"""Any pictures of a warehouse: a sheet of those that were asked for, or one image along its curves, a row a model."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from failmodes.analysis.charts.image_rows import (
    GAP_PX,
    NOTE_PX,
    ImageRow,
    ShownImage,
    fitted_text,
    image_cell,
    image_layers,
    image_rows,
    overlay,
)
from failmodes.analysis.charts.style.axes import evenly_spaced, pixel
from failmodes.analysis.charts.style.combining import layered
from failmodes.analysis.charts.style.saving import image_url
from failmodes.analysis.charts.style.theme import PAGE, ChartSize, ChartText, Layered, add_text
from failmodes.analysis.images.collection import Picture, Pictures
from failmodes.analysis.images.rows import PictureRow

PAGE_COLUMNS, PAPER_COLUMNS = 5, 3
PAGE_LEVELS, PAPER_LEVELS = 9, 4  # pictures of a curve side by side
FIRST_NOTE_PX, NOTE_STEP_PX = 25, 13  # beneath an image; notes are a line each
NOTES = 4
BELOW_PX = FIRST_NOTE_PX + NOTE_STEP_PX * NOTES + 4


def chart(pictures: Pictures, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """Draw pictures with what was predicted and where the model looked.

    Args:
        pictures: a sheet, or curves.
        size: page or paper; on paper a curve shows fewer severities.
    """
    details = pictures.details
    if pictures.is_curves:
        space = PAGE_LEVELS if size.is_wide else PAPER_LEVELS
        rows = [evenly_spaced(row, space) for row in pictures.rows]
        most = max(map(len, pictures.rows))
        if most > space:
            details += f" Clean and {space - 1} of {most - 1} severities are shown."
        plot = image_rows([_curve(row) for row in rows], size)
    else:
        plot = _sheet(pictures.all, size)
    return add_text([plot], ChartText(pictures.headline, details, pictures.source), size)


def picture_url(picture: Picture, top: float | None = None) -> str:
    """A picture with its attention laid over it, as a PNG inside a URL.

    Args:
        picture: the picture.
        top: value of the map that is drawn at full strength; its own largest if not given.
    """
    attention = picture.attention
    largest = float(attention.max()) if attention is not None else 0.0
    return image_url(overlay(picture.made.pixels, attention, largest if top is None else top))


def _curve(row: Sequence[Picture]) -> ImageRow:
    top = max((float(one.attention.max()) for one in row if one.attention is not None), default=0.0)
    first, last = row[0].row, row[-1].row
    lines = f"true: {first.label_name}", f"image {first.image_id}", last.corruption_label
    return ImageRow(first.model_label, lines, [_shown(one, picture_url(one, top)) for one in row])


def _sheet(pictures: Sequence[Picture], size: ChartSize) -> Layered:
    columns = PAGE_COLUMNS if size.is_wide else PAPER_COLUMNS
    width = size.width_px - 16
    side = (width + GAP_PX) / columns - GAP_PX
    cells: list[dict[str, Any]] = []
    notes: list[tuple[str, float, float]] = []
    for index, picture in enumerate(pictures):
        x, y = index % columns * (side + GAP_PX), index // columns * (side + BELOW_PX)
        cell = image_cell(_shown(picture, picture_url(picture)), x, y, side)
        confidence = cell["confidence"]
        cells.append(cell | {"confidence": "", "tip": picture.row.image_name})
        first = y + side + FIRST_NOTE_PX
        texts = enumerate(picture_notes(picture.row, confidence))
        notes += [
            (fitted_text(text, side, NOTE_PX), x + side / 2, first + number * NOTE_STEP_PX) for number, text in texts
        ]
    table = pl.DataFrame(notes, schema={"text": pl.String, "x": pl.Float64, "y": pl.Float64}, orient="row")
    captions = (
        alt.Chart(table)
        .mark_text(fontSize=NOTE_PX, style="muted")
        .encode(x=pixel("x", alt.X), y=pixel("y", alt.Y), text=alt.Text("text:N"))
    )
    rows = -(-len(pictures) // columns)
    return layered(*image_layers(cells, side), captions, width=width, height=rows * (side + BELOW_PX))


def picture_notes(row: PictureRow, confidence: str) -> tuple[str, str, str, str]:
    """What is told of a picture beside the answer, a line each."""
    true = f"true: {row.label_name}"
    return (
        f"{confidence}, {true}" if confidence else true,
        row.short_cell_name,
        row.model_label,
        f"image {row.image_id}",
    )


def _shown(picture: Picture, url: str) -> ShownImage:
    row, (height, width) = picture.row, picture.made.pixels.shape[:2]
    return ShownImage(
        url, float(row.severity), row.predicted_name, row.correct, row.confidence, picture.center, width / height
    )
