"""A grid of images with tick or cross, prediction and notes below each; attention is drawn into the images."""

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from failmodes.analysis.charts.style.frame import PADDING_PX, Frame, end_of, wrapped
from failmodes.analysis.charts.style.theme import DARK_GRAY, LABEL_PX, MID_GRAY, SOURCE_PX, VERMILLION
from failmodes.analysis.images.regeneration import Picture
from failmodes.analysis.images.rows import PictureRow
from failmodes.analysis.images.stored_images import AttentionMap, Point
from failmodes.analysis.render.formatting import format_severity

GAP_PX, LINE_PX, MARK_PX = 6, 13, 14  # gap between images; height of a text line; width of a tick or cross
HEADING_PX = 142  # width of titles left of the images in a wide frame
MAX_SIDE_PX = 130  # enough for a small image
TICK, CROSS = "M-1,0.1L-0.3,0.8L1,-0.8", "M-0.8,-0.8L0.8,0.8M0.8,-0.8L-0.8,0.8"  # paths, since fonts may lack them
EMBEDDED_PX = 256  # longer side of an embedded image: 300 dpi at 85 pixels
HEAT_OPACITY = 0.6


class GridCell(NamedTuple):
    """One image.

    Attributes:
        url: the image as a PNG data URL, or None.
        tip: tooltip.
        notes: lines below the image.
        prediction: predicted class, below the image.
        is_correct: whether it is the true class (tick) or not (cross).
        file: file of the image, the last line below it; a narrow column shows its end.
    """

    url: str | None
    tip: str
    notes: Sequence[str] = ()
    prediction: str = ""
    is_correct: bool | None = None
    file: str = ""

    def lines(self, width_px: float) -> list[str]:
        """The notes and the file in a column of this width."""
        return [*self.notes, *([end_of(self.file, width_px, SOURCE_PX)] if self.file else [])]


class Row(NamedTuple):
    """Images by column name, with a title and lines left of them, or above them in a narrow frame."""

    cells: Mapping[str, GridCell]
    title: str = ""
    lines: Sequence[str] = ()


def image_grid(rows: Sequence[Row], columns: Sequence[str], frame: Frame, *, has_names: bool = True) -> alt.LayerChart:
    """All rows in one plot of at most 240 mm height, unless images would get less than half their column width.

    Args:
        rows: from top to bottom.
        columns: the columns to draw, from left to right.
        frame: of the chart.
        has_names: draw column names.
    """
    has_titles = any(row.title for row in rows)
    cells = [cell for row in rows for cell in row.cells.values()]
    left = HEADING_PX if has_titles and frame.is_wide else 0
    head = 2 * LINE_PX + 4 if has_titles and not frame.is_wide else 0
    prediction_px = LINE_PX if any(cell.prediction for cell in cells) else 0
    below = prediction_px + LINE_PX * max(len(cell.notes) + bool(cell.file) for cell in cells)
    width = frame.width_px - 2 * PADDING_PX
    column = (width - left) / len(columns)
    around = head + below + GAP_PX + 4
    side = min(column - GAP_PX, MAX_SIDE_PX)
    side = max(column / 2, frame.panels(len(rows), 1).height(side, around))
    names = alt.Axis(orient="top", domain=False, ticks=False, labelOffset=-column / 2, labelAlign="left", labelAngle=0)
    x = alt.X(
        "column:O", title=None, axis=names if has_names else None, bandPosition=0,
        scale=alt.Scale(type="band", range=[left, width], padding=0, domain=list(columns)),
    )  # fmt: skip
    y = alt.Y(
        "row:O", axis=None, bandPosition=0, scale=alt.Scale(type="band", padding=0, domain=list(range(len(rows))))
    )
    base = alt.Chart(_cell_rows(rows, columns, column - GAP_PX)).encode(x=x, y=y)
    heading = alt.Chart(_headings(rows, left)).encode(x=alt.value(0), y=y)
    shade = alt.when("datum.is_correct").then(alt.value(MID_GRAY)).otherwise(alt.value(DARK_GRAY))
    shape = alt.when("datum.is_correct").then(alt.value(TICK)).otherwise(alt.value(CROSS))
    under = head + side + 4
    text: dict[str, Any] = {
        "align": "left", "baseline": "top", "lineBreak": "\n", "lineHeight": LINE_PX, "limit": column - GAP_PX,
    }  # fmt: skip
    bold: dict[str, Any] = text | {"dx": MARK_PX, "dy": under, "fontWeight": "bold", "limit": column - GAP_PX - MARK_PX}
    beside: dict[str, Any] = text | {"limit": left - GAP_PX if left else width}
    layers = [
        base.transform_filter("isValid(datum.url)")
        .mark_image(width=side, height=side, align="left", baseline="top", yOffset=head)
        .encode(url="url:N", tooltip=alt.Tooltip("tip:N", title="image")),
        base.transform_filter("isValid(datum.is_correct)")
        .mark_point(size=60, strokeWidth=1.8, filled=False, opacity=1, xOffset=MARK_PX / 2 - 1, yOffset=under + 4)
        .encode(shape=shape, stroke=shade),
        base.mark_text(**bold).encode(text="prediction:N", color=shade),
        base.mark_text(**text, dy=under + prediction_px, fontSize=SOURCE_PX, style="muted").encode(text="notes:N"),
        heading.mark_text(**beside, fontWeight="bold", style="ink").encode(text="title:N"),
        heading.mark_text(**beside, style="muted").encode(text="lines:N"),
    ]  # fmt: skip
    return alt.LayerChart(layer=layers, width=width, height=len(rows) * (side + around))


def picture_urls(images: Sequence[tuple[NDArray[np.uint8], AttentionMap | None, Point | None]]) -> list[str]:
    """The images of one row as PNG data URLs, with attention and the path of its centroid.

    Args:
        images: pixels (H, W, 3), attention (h, w) and its centroid, from clean to the last severity. Attention is
            scaled by its largest value in the row.
    """
    top = max((float(attention.max()) for _, attention, _ in images if attention is not None), default=0.0)
    urls: list[str] = []
    path: list[Point] = []
    for pixels, attention, center in images:
        path += [center] if center else []
        buffer = io.BytesIO()
        Image.fromarray(with_attention(pixels, attention, top, path if center else [])).save(buffer, "PNG")
        urls.append("data:image/png;base64," + b64encode(buffer.getvalue()).decode())
    return urls


def curve_row(pictures: Sequence[Picture], title: str, lines: Sequence[str]) -> Row:
    """One image along severity, by severity as it is printed; its file is the last line of the title."""
    file = pictures[0].row.file
    lines = [*lines, end_of(file, HEADING_PX - GAP_PX, LABEL_PX)] if file else lines
    urls = picture_urls([picture.layers for picture in pictures])
    return Row(
        {
            format_severity(float(picture.row.severity)): picture_cell(picture.row, url, [picture.row.confidence_text])
            for picture, url in zip(pictures, urls, strict=True)
        },
        title,
        lines,
    )


def picture_cell(row: PictureRow, url: str, notes: Sequence[str]) -> GridCell:
    """An evaluated image with its prediction."""
    return GridCell(url, f"{row.image_name}, {row.cell_name}", notes, row.predicted_name, row.correct)


def with_attention(
    pixels: NDArray[np.uint8], attention: AttentionMap | None, top: float = 0.0, path: Sequence[Point] = ()
) -> NDArray[np.uint8]:
    """An image with an attention overlay and a path that ends in a dot, at the embedded size.

    Args:
        pixels: (H, W, 3).
        attention: (h, w), not negative, scaled bilinearly; or None.
        top: map value that is drawn at full strength.
        path: points of the path, 0 to 1 from the top left.

    Returns:
        (h, w, 3): a small image enlarged by the largest integer factor that fits EMBEDDED_PX; a larger one scaled down.
    """
    height, width = pixels.shape[:2]
    scale = EMBEDDED_PX / max(height, width)
    scale = int(scale) if scale >= 1 else scale
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BILINEAR)
    if attention is not None and top > 0:
        strength = Image.fromarray((255 * HEAT_OPACITY / top * attention).astype(np.float32))
        image.paste(VERMILLION, mask=strength.resize(size, Image.Resampling.BILINEAR).convert("L"))
    if path:
        draw = ImageDraw.Draw(image)
        unit = max(size) / 100
        points = [(x * size[0], y * size[1]) for x, y in path]
        (x, y) = points[-1]
        radius = 4 * unit
        for color, wide in (("black", 3.5), ("white", 1.5)):
            draw.line(points, color, round(wide * unit), joint="curve")
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), "white", "black", round(1.5 * unit))
    return np.asarray(image)


def _cell_rows(rows: Sequence[Row], columns: Sequence[str], width_px: float) -> pl.DataFrame:
    """One row per drawn cell, for columns of this width."""
    drawn = [
        cell._asdict()
        | {"row": place, "column": name, "notes": _text(cell.lines(width_px)), "prediction": _text([cell.prediction])}
        for place, row in enumerate(rows)
        for name, cell in row.cells.items()
        if name in columns
    ]
    return pl.DataFrame(drawn, schema_overrides={"url": pl.String, "is_correct": pl.Boolean})


def _headings(rows: Sequence[Row], left: float) -> pl.DataFrame:
    """Titles and lines: left of the images, `left` pixels wide, or in two lines above them."""
    headings = []
    for place, row in enumerate(rows):
        title = _text([row.title])
        title = "\n".join(wrapped(title, left - GAP_PX, LABEL_PX * 1.15)[:2]) if left else title
        lines = _text(row.lines if left else ["; ".join(row.lines)])
        below = "\u200b\n" * (title.count("\n") + 1)  # browsers give an empty line of SVG no height
        headings.append({"row": place, "title": title, "lines": below + lines})
    return pl.DataFrame(headings)


def _text(lines: Sequence[str]) -> str:
    """Lines as one text, with whitespace in each normalized."""
    return "\n".join(" ".join(line.split()) for line in lines)
