"""Real images from clean to the last severity, with attention laid over them, its centroid, and the prediction."""

import io
from typing import Any, NamedTuple

import altair as alt
import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from failmodes.analysis.charts.style.axes import COLOUR_FIELD, evenly_spaced, pixel
from failmodes.analysis.charts.style.combining import layered
from failmodes.analysis.charts.style.labels import text_width
from failmodes.analysis.charts.style.saving import image_url
from failmodes.analysis.charts.style.theme import DARK_GREY, MID_GREY, PAGE, ChartSize, ChartText, Layered, add_text
from failmodes.analysis.formatting import REASON_NAMES, format_count, format_percent, format_severity, lower_label
from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.schema import EXEMPLAR_REASONS

GAP_PX, CAPTION_PX, LEVEL_PX = 6, 32, 18
LABEL_PX = 126  # left of the images, on a page
NARROW_HEAD_PX = 48  # two lines of heading and the severities, above a row
TICK, CROSS = "M-1,0.1L-0.3,0.8L1,-0.8", "M-0.8,-0.8L0.8,0.8M0.8,-0.8L-0.8,0.8"  # drawn, as fonts may lack them
SHOWN_PX = 128  # pixels of an embedded image's longer side
HEAT = np.array([213, 94, 0], np.float64)  # Okabe-Ito vermillion
HEAT_OPACITY = 0.6


class ExemplarImage(NamedTuple):
    """One image at one severity: why it was chosen, what was predicted, and the attention."""

    corruption: str
    image_id: int
    reason: str
    severity: float
    label_name: str
    predicted_name: str
    is_right: bool
    confidence: float | None
    pixels: NDArray[np.uint8]  # (H, W, 3)
    attention: NDArray[np.float64] | None  # (h, w), not negative
    url: str = ""  # the picture that is shown, attention laid over it, scaled by the largest value of the row

    @property
    def reason_name(self) -> str:
        """The reason as a reader sees it."""
        return REASON_NAMES.get(self.reason, self.reason)


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """One row of images for each corruption of one network.

    Args:
        con: the warehouse.
        selection: one evaluation; of several, the first is shown.
        size: page or paper; the paper leaves severities out.

    Raises:
        WarehouseError: there are no exemplars.
    """
    evaluation = selection.evaluations[0]
    rows = [_exemplar_images(con, evaluation, corruption) for corruption in selection.corruptions]
    rows = [evenly_spaced(row, 6 if size.is_wide else 4) for row in rows if row]
    if not rows:
        raise WarehouseError(f"no exemplars of {evaluation.label} are on record: run `failmodes evaluate` again")
    return add_text([_rows(rows, corruption_labels(con), size)], _chart_text(rows, selection, evaluation), size)


@read_once
def _exemplar_images(
    con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo, corruption: str
) -> list[ExemplarImage]:
    """One image under a corruption, by severity: the first in rank of the most preferred reason, drawn."""
    rows = con.sql(
        "select e.*, a.class_name as label_name, coalesce(b.class_name, "
        "if(e.confidence is null, 'no answer', 'another class')) as predicted_name "
        "from exemplars as e "
        "left join classes as a on a.dataset_id = $3 and a.class_index = e.label "
        "left join classes as b on b.dataset_id = $3 and b.class_index = e.predicted "
        "where e.evaluation_id = $1 and e.corruption = $2 "
        "order by list_position($4, e.reason), e.reason_rank, e.image_id, e.severity",
        params=[evaluation.evaluation_id, corruption, evaluation.facts["dataset_id"], list(EXEMPLAR_REASONS)],
    ).pl().rows(named=True)  # fmt: skip
    images = [_exemplar_image(row) for row in rows if row["image_id"] == rows[0]["image_id"]]
    top = max((float(image.attention.max()) for image in images if image.attention is not None), default=0.0)
    return [image._replace(url=image_url(overlay(image.pixels, image.attention, top))) for image in images]


def _exemplar_image(row: dict[str, Any]) -> ExemplarImage:
    attention = None
    if row["map_f16"] is not None:
        flat = np.frombuffer(row["map_f16"], "<f2").astype(np.float64)
        attention = flat.reshape(row["map_height"], row["map_width"])
    pixels = np.asarray(Image.open(io.BytesIO(row["png"])).convert("RGB"))
    return ExemplarImage(
        row["corruption"], row["image_id"], row["reason"], float(row["severity"]),
        row["label_name"] or str(row["label"]), row["predicted_name"], row["predicted"] == row["label"],
        row["confidence"], pixels, attention,
    )  # fmt: skip


def overlay(pixels: NDArray[np.uint8], attention: NDArray[np.float64] | None, top: float) -> NDArray[np.uint8]:
    """The image with its attention over it, both scaled up: image by pixels, map bilinearly.

    Args:
        pixels: (H, W, 3) uint8.
        attention: (h, w) not negative, or None for the bare image.
        top: value of the map that is drawn at full strength.

    Returns:
        (sH, sW, 3) uint8, where s is the whole number that brings the longer side closest to SHOWN_PX from below.
    """
    height, width = pixels.shape[:2]
    scale = max(1, SHOWN_PX // max(height, width))
    shown = (width * scale, height * scale)
    image = np.asarray(Image.fromarray(pixels).resize(shown, Image.Resampling.NEAREST), np.float64)
    if attention is not None and top > 0:
        map_image = Image.fromarray((attention / top).astype(np.float32))
        strength = np.asarray(map_image.resize(shown, Image.Resampling.BILINEAR), np.float64).clip(0, 1)
        opacity = (HEAT_OPACITY * strength)[..., None]
        image = image * (1 - opacity) + HEAT * opacity
    return image.round().astype(np.uint8)


def centroid(attention: NDArray[np.float64] | None) -> tuple[float, float] | None:
    """Centre of mass (x, y) of a map (h, w), 0-1 from the top left, cell centres; None where it is empty."""
    if attention is None or attention.sum() <= 0:
        return None
    rows, columns = (np.arange(n) + 0.5 for n in attention.shape)
    total = attention.sum()
    x, y = (attention.sum(0) @ columns) / total, (attention.sum(1) @ rows) / total
    return float(x / attention.shape[1]), float(y / attention.shape[0])


def _rows(rows: list[list[ExemplarImage]], names: dict[str, str], size: ChartSize) -> Layered:
    """All rows; on a page headings are printed beside the images and severities once, else both above each row."""
    left, top, head = (LABEL_PX, LEVEL_PX, 0) if size.is_wide else (0, 0, NARROW_HEAD_PX)
    width = size.width_px - 16
    side = (width - left) / max(len(row) for row in rows) - GAP_PX
    row_px = head + side + CAPTION_PX + 2 * GAP_PX
    cells: list[dict[str, Any]] = []
    firsts: dict[float, ExemplarImage] = {}
    for index, row in enumerate(rows):
        y = top + index * row_px + head
        firsts[y] = row[0]
        cells += _cells(row, left, y, side, with_severities=not size.is_wide or not index)
    layers = [*_image_layers(cells, side), *_heading_layers(firsts, names, is_beside=size.is_wide)]
    return layered(*layers, width=width, height=top + len(rows) * row_px - GAP_PX)


def _cells(
    row: list[ExemplarImage], left: float, y: float, side: float, *, with_severities: bool
) -> list[dict[str, Any]]:
    """What is drawn of each image: positions in pixels, the embedded image, captions, the centroid's path so far."""
    cells: list[dict[str, Any]] = []
    path: list[tuple[float, float]] = []
    for column, image in enumerate(row):
        x = left + column * (side + GAP_PX)
        centre = centroid(image.attention)
        path += [centre] if centre else []
        cells.append({
            "x": x + side / 2, "y": y + side / 2, "top": y - 5, "caption": y + side + 12, "second": y + side + 25,
            "url": image.url,
            "level": format_severity(image.severity) if with_severities else "",
            "answer": image.predicted_name, "mark": TICK if image.is_right else CROSS,
            "mark_x": x + side / 2 - text_width(image.predicted_name, 11.5) / 2 - 3, "answer_x": x + side / 2 + 6,
            "colour": MID_GREY if image.is_right else DARK_GREY,
            "confidence": "" if image.confidence is None else format_percent(image.confidence, 0),
            "tip": f"severity {format_severity(image.severity)}",
            "path": [{"px": x + side * a, "py": y + side * b} for a, b in path] if centre else [],  # none if empty
        })  # fmt: skip
    return cells


def _image_layers(cells: list[dict[str, Any]], side: float) -> list[alt.Chart]:
    base = alt.Chart(pl.DataFrame(cells).drop("path"))
    steps = [{"cell": i, "step": j, **p} for i, cell in enumerate(cells) for j, p in enumerate(cell["path"])]
    points = pl.DataFrame(steps, schema={"cell": pl.Int64, "step": pl.Int64, "px": pl.Float64, "py": pl.Float64})
    ends = points.group_by("cell", maintain_order=True).last()
    x, y, caption = pixel("x", alt.X), pixel("y", alt.Y), pixel("caption", alt.Y)
    path_x, path_y = pixel("px", alt.X), pixel("py", alt.Y)
    paths = alt.Chart(points).encode(x=path_x, y=path_y, detail=alt.Detail("cell:N"), order=alt.Order("step:Q"))
    answers = base.mark_text(fontSize=11, fontWeight="bold").encode(
        x=pixel("answer_x", alt.X), y=caption, text=alt.Text("answer:N"), color=COLOUR_FIELD
    )
    marks = base.mark_point(size=60, strokeWidth=1.8, filled=False, opacity=1).encode(
        x=pixel("mark_x", alt.X), y=caption, shape=alt.Shape("mark:N", scale=None, legend=None),
        stroke=alt.Stroke("colour:N", scale=None, legend=None),
    )  # fmt: skip
    return [
        base.mark_image(width=side, height=side).encode(
            x=x, y=y, url=alt.Url("url:N"), tooltip=alt.Tooltip("tip:N", title="image")),
        paths.mark_line(stroke="#000000", strokeWidth=3, opacity=0.55),
        paths.mark_line(stroke="#ffffff", strokeWidth=1.4),
        alt.Chart(ends).encode(x=path_x, y=path_y).mark_point(
            filled=True, size=42, fill="#ffffff", stroke="#000000", strokeWidth=1.2, opacity=1),
        answers, marks,
        base.mark_text(fontSize=11, style="muted").encode(x=x, y=pixel("second", alt.Y), text=alt.Text("confidence:N")),
        base.mark_text(fontSize=10, style="muted", baseline="bottom").encode(
            x=x, y=pixel("top", alt.Y), text=alt.Text("level:N")),
    ]  # fmt: skip


def _heading_layers(firsts: dict[float, ExemplarImage], names: dict[str, str], *, is_beside: bool) -> list[alt.Chart]:
    """Corruption, true class, reason and image of each row, by the top of its images in pixels: beside or above it."""
    headings = []
    for y, first in firsts.items():
        true, reason = f"true: {first.label_name}", first.reason_name
        lines = [true, reason, f"image {first.image_id}"] if is_beside else [f"{true}; {reason}", "", ""]
        top, step = (y + 10, 15) if is_beside else (y - NARROW_HEAD_PX + 10, 13)
        headings.append([names[first.corruption], *lines, *(top + line * step for line in range(4))])
    schema = ["title", "true", "reason", "image", "y0", "y1", "y2", "y3"]
    base = alt.Chart(pl.DataFrame(headings, schema=schema, orient="row")).encode(x=alt.XValue(0))
    title = base.mark_text(align="left", fontWeight="bold", fontSize=12, style="ink")
    other = base.mark_text(align="left", fontSize=11, style="muted")
    return [
        (other if line else title).encode(y=pixel(f"y{line}", alt.Y), text=alt.Text(f"{field}:N"))
        for line, field in enumerate(schema[:4])
    ]


def misread_sentence(label: str, wrong: int, shown: int, confident: int) -> str:
    """How many of the images shown are misread at the last severity, and how many of these confidently."""
    if shown == 1:
        sure = f", with confidence {'above' if confident else 'up to'} {format_percent(0.5, 0)}" if wrong else ""
        return f"{label} {'misreads this image' if wrong else 'reads this image right'} at the last severity{sure}"
    sure = f", {confident or 'none'} of them with confidence above {format_percent(0.5, 0)}" if wrong else ""
    return f"{label} misreads {wrong} of these {shown} images at the last severity{sure}"


def _chart_text(rows: list[list[ExemplarImage]], selection: Selection, evaluation: EvaluationInfo) -> ChartText:
    lasts = [row[-1] for row in rows]
    wrong = [image for image in lasts if not image.is_right]
    confident = sum(1 for image in wrong if (image.confidence or 0) > 0.5)
    finding = misread_sentence(evaluation.label, len(wrong), len(lasts), confident)
    attention = " No attention on record."
    if any(image.attention is not None for row in rows for image in row):
        attention = (
            " Orange: Grad-CAM for the class predicted on the clean image, scaled within a row; dot and line: its "
            "centroid and the way it came from clean."
        )
    reasons = sorted({lower_label(row[0].reason_name) for row in rows})
    return ChartText(
        finding,
        f"One image a corruption, chosen by rule ({', '.join(reasons)}), from clean to the last severity; "
        f"beneath: predicted class, right (tick) or wrong (cross), and confidence. "
        f"Illustration, not evidence: {format_count(len(rows), 'image')} of {selection.image_count:,}.{attention}",
        selection.source_line,
    )
