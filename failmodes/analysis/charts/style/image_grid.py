"""Images in rows: each with attention laid over it, the centroid's path, and the answer beneath."""

import textwrap
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from failmodes.analysis.charts.style.axes import COLOR_FIELD, pixel
from failmodes.analysis.charts.style.combining import layered
from failmodes.analysis.charts.style.labels import text_width
from failmodes.analysis.charts.style.theme import DARK_GRAY, MID_GRAY, ChartSize, Layered
from failmodes.analysis.render.formatting import format_percent, format_severity

GAP_PX, CAPTION_PX, LEVEL_PX = 6, 32, 18
LABEL_PX = 126  # left of the images, on a page
TITLE_LETTERS = 18  # in a line of a title beside the images
NARROW_HEAD_PX = 48  # two lines of heading and the severities, above a row
TICK, CROSS = "M-1,0.1L-0.3,0.8L1,-0.8", "M-0.8,-0.8L0.8,0.8M0.8,-0.8L-0.8,0.8"  # drawn, as fonts may lack them
PREDICTION_PX, NOTE_PX = 11, 10  # type sizes
CAPTION_LETTER_SHARE = 0.48  # width of a letter of names and numbers in font sizes
BOLD = 1.25  # how much wider bold letters are
SHOWN_PX = 128  # pixels of an embedded image's longer side
LARGEST_SHOWN_PX = 256  # beyond it nothing is seen: an image is 124 pixels of a page at the most, drawn at double scale
HEAT = np.array([213, 94, 0], np.float64)  # Okabe-Ito vermillion
HEAT_OPACITY = 0.6


class ShownImage(NamedTuple):
    """One image as it is drawn: the picture, what was predicted, and the center of attention.

    `center` is (x, y), 0-1 from the image's upper left corner, or None; `aspect` is width by height.
    """

    url: str
    severity: float
    predicted_name: str
    is_correct: bool
    confidence: float | None
    center: tuple[float, float] | None
    aspect: float = 1.0


class ImageRow(NamedTuple):
    """Images from left to right with their heading: a title, and up to three lines beneath it."""

    title: str
    lines: tuple[str, ...]
    images: Sequence[ShownImage]


def overlay(pixels: NDArray[np.uint8], attention: NDArray[np.float64] | None, top: float) -> NDArray[np.uint8]:
    """The image with its attention over it, both scaled up: image by pixels, map bilinearly.

    Args:
        pixels: (H, W, 3) uint8.
        attention: (h, w) not negative, or None for the bare image.
        top: value of the map that is drawn at full strength.

    Returns:
        (h, w, 3) uint8: a small image enlarged by the whole number that brings its longer side closest to SHOWN_PX from
        below; one larger than LARGEST_SHOWN_PX scaled down to that.
    """
    height, width = pixels.shape[:2]
    longer = max(height, width)
    scale = max(1, SHOWN_PX // longer) if longer <= LARGEST_SHOWN_PX else LARGEST_SHOWN_PX / longer
    shown = (max(1, round(width * scale)), max(1, round(height * scale)))
    filtering = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BILINEAR
    image = np.asarray(Image.fromarray(pixels).resize(shown, filtering), np.float64)
    if attention is not None and top > 0:
        map_image = Image.fromarray((attention / top).astype(np.float32))
        strength = np.asarray(map_image.resize(shown, Image.Resampling.BILINEAR), np.float64).clip(0, 1)
        opacity = (HEAT_OPACITY * strength)[..., None]
        image = image * (1 - opacity) + HEAT * opacity
    return image.round().astype(np.uint8)


def fitted_text(text: str, width_px: float, font_px: float) -> str:
    """A text that fits a width, its end left out where it must be.

    Vega's own `limit` counts halves of emojis as letters, and the renderer fails at a half.
    """
    space = width_px / (font_px * CAPTION_LETTER_SHARE)
    used = 0.0
    for index, letter in enumerate(text):
        used += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if used > space:
            return text[: max(1, index - 1)] + "\N{HORIZONTAL ELLIPSIS}"
    return text


def image_rows(rows: Sequence[ImageRow], size: ChartSize) -> Layered:
    """All rows; on a page headings are printed beside the images and severities once, else both above each row."""
    left, top, head = (LABEL_PX, LEVEL_PX, 0) if size.is_wide else (0, 0, NARROW_HEAD_PX)
    width = size.width_px - 16
    side = (width - left) / max(len(row.images) for row in rows) - GAP_PX
    row_px = head + side + CAPTION_PX + 2 * GAP_PX
    cells: list[dict[str, Any]] = []
    tops: dict[float, ImageRow] = {}
    for index, row in enumerate(rows):
        y = top + index * row_px + head
        tops[y] = row
        cells += image_cells(row.images, left, y, side, with_severities=not size.is_wide or not index)
    layers = [*image_layers(cells, side), *_heading_layers(tops, width, is_beside=size.is_wide)]
    return layered(*layers, width=width, height=top + len(rows) * row_px - GAP_PX)


def image_cells(
    images: Sequence[ShownImage], left: float, y: float, side: float, *, with_severities: bool
) -> list[dict[str, Any]]:
    """What is drawn of each image: positions in pixels, the embedded image, captions, the centroid's path so far."""
    cells: list[dict[str, Any]] = []
    path: list[tuple[float, float]] = []  # from the upper left corner of each image's square
    for column, image in enumerate(images):
        x = left + column * (side + GAP_PX)
        path += [_in_square(image.center, image.aspect, side)] if image.center else []
        cells.append(image_cell(image, x, y, side) | {
            "level": format_severity(image.severity) if with_severities else "",
            "path": [{"px": x + a, "py": y + b} for a, b in path] if image.center else [],  # none if the map is empty
        })  # fmt: skip
    return cells


def image_cell(image: ShownImage, x: float, y: float, side: float) -> dict[str, Any]:
    """What is drawn of one image whose upper left corner is at (x, y) pixels; its path is the dot alone."""
    dots = [_in_square(image.center, image.aspect, side)] if image.center else []
    prediction = fitted_text(image.predicted_name, side - 16, BOLD * PREDICTION_PX)
    half = min(text_width(prediction, PREDICTION_PX + 0.5), side - 12) / 2
    return {
        "x": x + side / 2, "y": y + side / 2, "top": y - 5, "caption": y + side + 12, "second": y + side + 25,
        "url": image.url, "level": "",
        "prediction": prediction, "mark": TICK if image.is_correct else CROSS,
        "mark_x": x + side / 2 - half - 3, "prediction_x": x + side / 2 + 6,
        "color": MID_GRAY if image.is_correct else DARK_GRAY,
        "confidence": "" if image.confidence is None else format_percent(image.confidence, 0),
        "tip": f"severity {format_severity(image.severity)}",
        "path": [{"px": x + a, "py": y + b} for a, b in dots],
    }  # fmt: skip


def _in_square(point: tuple[float, float], aspect: float, side: float) -> tuple[float, float]:
    """Where a point of an image is in the square that the image is fitted into, pixels."""
    width, height = side * min(1, aspect), side * min(1, 1 / aspect)
    return (side - width) / 2 + width * point[0], (side - height) / 2 + height * point[1]


def image_layers(cells: list[dict[str, Any]], side: float) -> list[alt.Chart]:
    """Images, paths with their last dot, answers with tick or cross, confidence beneath, severity above."""
    base = alt.Chart(pl.DataFrame(cells).drop("path"))
    steps = [{"cell": i, "step": j, **p} for i, cell in enumerate(cells) for j, p in enumerate(cell["path"])]
    points = pl.DataFrame(steps, schema={"cell": pl.Int64, "step": pl.Int64, "px": pl.Float64, "py": pl.Float64})
    ends = points.group_by("cell", maintain_order=True).last()
    x, y, caption = pixel("x", alt.X), pixel("y", alt.Y), pixel("caption", alt.Y)
    path_x, path_y = pixel("px", alt.X), pixel("py", alt.Y)
    paths = alt.Chart(points).encode(x=path_x, y=path_y, detail=alt.Detail("cell:N"), order=alt.Order("step:Q"))
    predictions = base.mark_text(fontSize=PREDICTION_PX, fontWeight="bold").encode(
        x=pixel("prediction_x", alt.X), y=caption, text=alt.Text("prediction:N"), color=COLOR_FIELD
    )
    marks = base.mark_point(size=60, strokeWidth=1.8, filled=False, opacity=1).encode(
        x=pixel("mark_x", alt.X), y=caption, shape=alt.Shape("mark:N", scale=None, legend=None),
        stroke=alt.Stroke("color:N", scale=None, legend=None),
    )  # fmt: skip
    return [
        base.mark_image(width=side, height=side).encode(
            x=x, y=y, url=alt.Url("url:N"), tooltip=alt.Tooltip("tip:N", title="image")
        ),
        paths.mark_line(stroke="#000000", strokeWidth=3, opacity=0.55),
        paths.mark_line(stroke="#ffffff", strokeWidth=1.4),
        alt.Chart(ends).encode(x=path_x, y=path_y).mark_point(
            filled=True, size=42, fill="#ffffff", stroke="#000000", strokeWidth=1.2, opacity=1),
        predictions, marks,
        base.mark_text(fontSize=11, style="muted").encode(x=x, y=pixel("second", alt.Y), text=alt.Text("confidence:N")),
        base.mark_text(fontSize=NOTE_PX, style="muted", baseline="bottom").encode(
            x=x, y=pixel("top", alt.Y), text=alt.Text("level:N")),
    ]  # fmt: skip


def _wrapped_title(title: str) -> list[str]:
    """A title in two lines at most, what stands in brackets not broken where it fits a line."""
    before, bracket, inside = title.partition(" (")
    if bracket and len(title) > TITLE_LETTERS >= max(len(before), len(inside) + 1):
        return [before, f"({inside}"]
    return textwrap.wrap(title, TITLE_LETTERS)[:2] or [""]


def _heading_layers(tops: dict[float, ImageRow], width: float, *, is_beside: bool) -> list[alt.Chart]:
    """Title and lines of each row, by the top of its images in pixels: beside them, or in two lines above."""
    space = LABEL_PX if is_beside else width
    titles: list[tuple[str, float]] = []
    others: list[tuple[str, float]] = []
    for y, row in tops.items():
        heading = _wrapped_title(row.title) if is_beside else [row.title]
        lines = row.lines if is_beside else ("; ".join(row.lines),)
        top, step = (y + 10, 15) if is_beside else (y - NARROW_HEAD_PX + 10, 13)
        positions = [top + number * step for number in range(len(heading) + len(lines))]
        titles += zip((fitted_text(line, space, 12) for line in heading), positions, strict=False)
        others += zip((fitted_text(line, space, 11) for line in lines), positions[len(heading) :], strict=True)
    return [
        _heading_layer(titles).mark_text(align="left", fontWeight="bold", fontSize=12, style="ink"),
        _heading_layer(others).mark_text(align="left", fontSize=11, style="muted"),
    ]


def _heading_layer(texts: list[tuple[str, float]]) -> alt.Chart:
    table = pl.DataFrame(texts, schema={"text": pl.String, "y": pl.Float64}, orient="row")
    return alt.Chart(table).encode(x=alt.XValue(0), y=pixel("y", alt.Y), text=alt.Text("text:N"))
