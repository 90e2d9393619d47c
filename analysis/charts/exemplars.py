"""Real images from clean to the last severity, with attention laid over them, its centroid, and the prediction."""

import base64
import io
from typing import Any, NamedTuple

import altair as alt
import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from analysis.charts.placing import text_width
from analysis.selection import Evaluation, Selection, corruption_labels
from analysis.theme import GREEN, PAGE, VERMILLION, Layout, Words, dress
from analysis.words import NO_BREAK, REASON_WORDS, counted, level, percent, within
from warehouse.errors import StudyError, WarehouseError

REASONS = ("first_to_fail", "confidently_wrong", "recovered", "still_right")  # in the order of preference
SHOWN_PX = 128  # pixels of an embedded picture's longer side
GAP_PX, CAPTION_PX, LEVEL_PX = 6, 32, 18
NARROW_HEAD_PX = 48  # two lines of heading and the severities, above a row
TICK, CROSS = "M-1,0.1L-0.3,0.8L1,-0.8", "M-0.8,-0.8L0.8,0.8M0.8,-0.8L-0.8,0.8"  # drawn, as fonts may lack them
HEAT = np.array([213, 94, 0], np.float64)  # Okabe-Ito vermillion
HEAT_OPACITY = 0.6


class Frame(NamedTuple):
    """One picture: where it stands, what was predicted, and its attention."""

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


def chart(
    con: duckdb.DuckDBPyConnection, selection: Selection, *, layout: Layout = PAGE, reason: str | None = None
) -> alt.VConcatChart:
    """One row of pictures for each corruption of one network.

    Args:
        con: the warehouse.
        selection: one evaluation; of several, the first is shown.
        layout: page or paper; the paper leaves severities out, and says so.
        reason: why images were chosen; by default the first reason on record among `REASONS`.

    Raises:
        StudyError: no such reason.
        WarehouseError: there are no exemplars.
    """
    if reason and reason not in REASONS:
        raise StudyError(f"no reason {reason!r} for exemplars: choose among {', '.join(REASONS)}")
    evaluation = selection.evaluations[0]
    strips = [_strip(con, evaluation, corruption, reason) for corruption in selection.corruptions]
    strips = [_thinned(strip, layout) for strip in strips if strip]
    if not strips:
        raise WarehouseError(f"no exemplars of {evaluation.label} are on record: run `failmodes evaluate` again")
    names = corruption_labels(con)
    return dress([_picture(strips, names, layout)], _words(strips, selection, evaluation, layout), layout)


def overlay(pixels: NDArray[np.uint8], attention: NDArray[np.float64] | None, top: float) -> bytes:
    """A PNG of the image with its attention over it, both scaled up: image by pixels, map bilinearly.

    Args:
        pixels: (H, W, 3) uint8.
        attention: (h, w) not negative, or None for the bare image.
        top: value of the map that is drawn at full strength.
    """
    height, width = pixels.shape[:2]
    scale = max(1, SHOWN_PX // max(height, width))
    size = (width * scale, height * scale)
    image = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST), np.float64)
    if attention is not None and top > 0:
        map_image = Image.fromarray((attention / top).astype(np.float32))
        strength = np.asarray(map_image.resize(size, Image.Resampling.BILINEAR), np.float64).clip(0, 1)
        opacity = (HEAT_OPACITY * strength)[..., None]
        image = image * (1 - opacity) + HEAT * opacity
    buffer = io.BytesIO()
    Image.fromarray(image.round().astype(np.uint8)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def centroid(attention: NDArray[np.float64] | None) -> tuple[float, float] | None:
    """Centre of mass (x, y) of a map (h, w), 0-1 from the top left, cell centres; None where it is empty."""
    if attention is None or attention.sum() <= 0:
        return None
    rows, columns = (np.arange(n) + 0.5 for n in attention.shape)
    total = attention.sum()
    x, y = (attention.sum(0) @ columns) / total, (attention.sum(1) @ rows) / total
    return float(x / attention.shape[1]), float(y / attention.shape[0])


def _strip(con: duckdb.DuckDBPyConnection, evaluation: Evaluation, corruption: str, reason: str | None) -> list[Frame]:
    """Pictures of one image under a corruption, by severity: the first of the preferred reason."""
    rows = con.sql(
        "select e.*, a.class_name as label_name, coalesce(b.class_name, 'no answer') as predicted_name "
        "from exemplars as e "
        "left join classes as a on a.dataset_id = $3 and a.class_index = e.label "
        "left join classes as b on b.dataset_id = $3 and b.class_index = e.predicted "
        "where e.evaluation_id = $1 and e.corruption = $2 order by e.reason_rank, e.image_id, e.severity",
        params=[evaluation.evaluation_id, corruption, evaluation.facts["dataset_id"]],
    ).pl().rows(named=True)  # fmt: skip
    for wanted in [reason] if reason else REASONS:
        first = next((row["image_id"] for row in rows if row["reason"] == wanted), None)
        if first is not None:
            return [_frame(row) for row in rows if row["image_id"] == first]
    return []


def _frame(row: dict[str, Any]) -> Frame:
    attention = None
    if row["map_f16"] is not None:
        flat = np.frombuffer(row["map_f16"], "<f2").astype(np.float64)
        attention = flat.reshape(row["map_height"], row["map_width"])
    pixels = np.asarray(Image.open(io.BytesIO(row["png"])).convert("RGB"))
    return Frame(
        row["corruption"], row["image_id"], row["reason"], float(row["severity"]),
        row["label_name"] or str(row["label"]), row["predicted_name"], row["predicted"] == row["label"],
        row["confidence"], pixels, attention,
    )  # fmt: skip


def _thinned(strip: list[Frame], layout: Layout) -> list[Frame]:
    """As many severities as the width has room for: clean, the last, and an even choice between."""
    room = 6 if layout.columns > 2 else 4
    if len(strip) <= room:
        return strip
    chosen = np.linspace(0, len(strip) - 1, room).round().astype(int)
    return [strip[index] for index in chosen]


def _picture(strips: list[list[Frame]], names: dict[str, str], layout: Layout) -> alt.LayerChart | alt.FacetChart:
    beside = layout.columns > 2  # the row's heading stands beside the pictures, else above them
    left = 126 if beside else 0
    most = max(len(strip) for strip in strips)
    side = (layout.width_px - 16 - left) / most - GAP_PX
    top = LEVEL_PX if beside else 0  # severities stand once above all rows, or above each
    head = 0 if beside else NARROW_HEAD_PX
    row_px = head + side + CAPTION_PX + 2 * GAP_PX
    rows: list[dict[str, Any]] = []
    headings: list[dict[str, Any]] = []
    for place, strip in enumerate(strips):
        y = top + place * row_px + head
        headings.append(_heading(strip, names, y, beside=beside))
        rows += _cells(strip, left, y, side, with_levels=not beside or not place)
    size = {"width": layout.width_px - 16, "height": top + len(strips) * row_px - GAP_PX}
    return alt.layer(*_layers(rows, headings, side), **size)


def _cells(strip: list[Frame], left: float, y: float, side: float, *, with_levels: bool) -> list[dict[str, Any]]:
    """One row of data a picture: places in pixels, the embedded image, captions, the path of the centroid so far."""
    top = max((float(f.attention.max()) for f in strip if f.attention is not None), default=0.0)
    found, path = [], []
    for column, frame in enumerate(strip):
        x = left + column * (side + GAP_PX)
        centre = centroid(frame.attention)
        path += [centre] if centre else []
        found.append({
            "x": x + side / 2, "y": y + side / 2, "top": y - 5, "caption": y + side + 12, "second": y + side + 25,
            "url": "data:image/png;base64," + base64.b64encode(
                overlay(frame.pixels, frame.attention, top)).decode(),
            "level": level(frame.severity) if with_levels else "",
            "answer": frame.predicted_name, "mark": TICK if frame.is_right else CROSS,
            "mark_x": x + side / 2 - text_width(frame.predicted_name, 11.5) / 2 - 3, "answer_x": x + side / 2 + 6,
            "colour": GREEN if frame.is_right else VERMILLION,
            "confidence": "" if frame.confidence is None else percent(frame.confidence, 0),
            "tip": f"severity {level(frame.severity)}",
            "path": [{"px": x + side * a, "py": y + side * b} for a, b in path],
        })  # fmt: skip
    return found


def _heading(strip: list[Frame], names: dict[str, str], y: float, *, beside: bool) -> dict[str, Any]:
    first = strip[0]
    title, true = names[first.corruption], f"true: {first.label_name}"
    reason = REASON_WORDS.get(first.reason, first.reason)
    step = 15 if beside else 13
    start = y + 10 if beside else y - NARROW_HEAD_PX + 10
    return {"title": title, "true": true if beside else f"{true}; {reason}", "reason": reason if beside else "",
            "image": f"image {first.image_id}" if beside else "",
            "y0": start, "y1": start + step, "y2": start + 2 * step, "y3": start + 3 * step}  # fmt: skip


def _layers(rows: list[dict[str, Any]], headings: list[dict[str, Any]], side: float) -> list[alt.Chart]:
    flat = pl.DataFrame([{k: v for k, v in row.items() if k != "path"} for row in rows])
    steps = [{"cell": i, "step": j, **p} for i, row in enumerate(rows) for j, p in enumerate(row["path"])]
    points = pl.DataFrame(steps, schema={"cell": pl.Int64, "step": pl.Int64, "px": pl.Float64, "py": pl.Float64})
    ends = points.group_by("cell", maintain_order=True).last()
    x, y = _pixel("x", alt.X), _pixel("y", alt.Y)
    base = alt.Chart(flat)
    paths = alt.Chart(points).encode(x=_pixel("px", alt.X), y=_pixel("py", alt.Y), detail="cell:N", order="step:Q")
    dots = alt.Chart(ends).encode(x=_pixel("px", alt.X), y=_pixel("py", alt.Y))
    colour = alt.Color("colour:N", scale=None, legend=None)
    stroke = alt.Stroke("colour:N", scale=None, legend=None)
    caption = _pixel("caption", alt.Y)
    answers = base.mark_text(fontSize=11, fontWeight="bold").encode(
        x=_pixel("answer_x", alt.X), y=caption, text="answer:N", color=colour
    )
    marks = base.mark_point(size=60, strokeWidth=1.8, filled=False, opacity=1).encode(
        x=_pixel("mark_x", alt.X), y=caption, shape=alt.Shape("mark:N", scale=None, legend=None), stroke=stroke
    )
    return [
        base.mark_image(width=side, height=side).encode(x=x, y=y, url="url:N", tooltip="tip:N"),
        paths.mark_line(stroke="#000000", strokeWidth=3, opacity=0.55),
        paths.mark_line(stroke="#ffffff", strokeWidth=1.4),
        dots.mark_point(filled=True, size=42, fill="#ffffff", stroke="#000000", strokeWidth=1.2, opacity=1),
        answers, marks,
        base.mark_text(fontSize=11, style="muted").encode(x=x, y=_pixel("second", alt.Y), text="confidence:N"),
        base.mark_text(fontSize=10, style="muted", baseline="bottom").encode(
            x=x, y=_pixel("top", alt.Y), text="level:N"),
        *_heading_layers(headings),
    ]  # fmt: skip


def _heading_layers(headings: list[dict[str, Any]]) -> list[alt.Chart]:
    base = alt.Chart(pl.DataFrame(headings)).encode(x=alt.value(0))
    bold = base.mark_text(align="left", fontWeight="bold", fontSize=12, style="ink")
    plain = base.mark_text(align="left", fontSize=11, style="muted")
    return [
        bold.encode(y=_pixel("y0", alt.Y), text="title:N"),
        *(plain.encode(y=_pixel(f"y{place}", alt.Y), text=f"{field}:N")
          for place, field in enumerate(("true", "reason", "image"), start=1)),
    ]  # fmt: skip


def _pixel(field: str, channel: Any) -> Any:
    """A channel whose field is a place in pixels."""
    return channel(f"{field}:Q", scale=None, axis=None)


def _words(strips: list[list[Frame]], selection: Selection, evaluation: Evaluation, layout: Layout) -> Words:
    lasts = [strip[-1] for strip in strips]
    wrong = [frame for frame in lasts if not frame.is_right]
    confident = sum(1 for frame in wrong if (frame.confidence or 0) > 0.5)
    finding = f"{evaluation.label} misreads {len(wrong)} of these {len(lasts)} images at the last severity" + (
        f", {confident or 'none'} of them with confidence above 50{NO_BREAK}%" if wrong else ""
    )
    seen = any(frame.attention is not None for strip in strips for frame in strip)
    heat = (
        " Orange: Grad-CAM for the class predicted on the clean image, scaled within a row; dot and line: its centroid "
        "and the way it came from clean." if seen else " No attention on record."
    )  # fmt: skip
    reasons = sorted({within(REASON_WORDS.get(strip[0].reason, strip[0].reason)) for strip in strips})
    return Words(
        finding,
        f"One image a corruption, chosen by rule ({', '.join(reasons)}), from clean to the last severity; beneath: predicted class, right (tick) or wrong (cross), and "
        f"confidence. Illustration, not evidence: {counted(len(strips), 'image')} of {selection.image_count:,}.{heat}",
        selection.source_line,
    )  # fmt: skip
