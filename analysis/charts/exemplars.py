"""Real images from clean to the last severity, with attention laid over them, its centroid, and the prediction."""

import base64
from typing import Any

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.exemplar_images import REASONS, ExemplarImage, centroid, overlay, read_exemplar_images
from failmodes.analysis.charts.style.axes import evenly_spaced, pixel
from failmodes.analysis.charts.style.labels import text_width
from failmodes.analysis.charts.style.theme import GREEN, PAGE, VERMILLION, ChartSize, ChartText, add_text
from failmodes.analysis.formatting import (
    NO_BREAK,
    REASON_WORDS,
    format_count,
    format_percent,
    format_severity,
    lower_label,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.warehouse.errors import StudyError, WarehouseError

GAP_PX, CAPTION_PX, LEVEL_PX = 6, 32, 18

NARROW_HEAD_PX = 48  # two lines of heading and the severities, above a row

TICK, CROSS = "M-1,0.1L-0.3,0.8L1,-0.8", "M-0.8,-0.8L0.8,0.8M0.8,-0.8L-0.8,0.8"  # drawn, as fonts may lack them


def chart(
    con: duckdb.DuckDBPyConnection, selection: Selection, *, layout: ChartSize = PAGE, reason: str | None = None
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
    strips = [read_exemplar_images(con, evaluation, corruption, reason) for corruption in selection.corruptions]
    strips = [_thinned(strip, layout) for strip in strips if strip]
    if not strips:
        raise WarehouseError(f"no exemplars of {evaluation.label} are on record: run `failmodes evaluate` again")
    names = corruption_labels(con)
    return add_text([_picture(strips, names, layout)], _words(strips, selection, evaluation, layout), layout)


def _thinned(strip: list[ExemplarImage], layout: ChartSize) -> list[ExemplarImage]:
    """As many severities as the width has room for: clean, the last, and an even choice between."""
    room = 6 if layout.columns > 2 else 4
    return evenly_spaced(strip, room)


def _picture(
    strips: list[list[ExemplarImage]], names: dict[str, str], layout: ChartSize
) -> alt.LayerChart | alt.FacetChart:
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


def _cells(
    strip: list[ExemplarImage], left: float, y: float, side: float, *, with_levels: bool
) -> list[dict[str, Any]]:
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
            "level": format_severity(frame.severity) if with_levels else "",
            "answer": frame.predicted_name, "mark": TICK if frame.is_right else CROSS,
            "mark_x": x + side / 2 - text_width(frame.predicted_name, 11.5) / 2 - 3, "answer_x": x + side / 2 + 6,
            "colour": GREEN if frame.is_right else VERMILLION,
            "confidence": "" if frame.confidence is None else format_percent(frame.confidence, 0),
            "tip": f"severity {format_severity(frame.severity)}",
            "path": [{"px": x + side * a, "py": y + side * b} for a, b in path],
        })  # fmt: skip
    return found


def _heading(strip: list[ExemplarImage], names: dict[str, str], y: float, *, beside: bool) -> dict[str, Any]:
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
    x, y = pixel("x", alt.X), pixel("y", alt.Y)
    base = alt.Chart(flat)
    paths = alt.Chart(points).encode(x=pixel("px", alt.X), y=pixel("py", alt.Y), detail="cell:N", order="step:Q")
    dots = alt.Chart(ends).encode(x=pixel("px", alt.X), y=pixel("py", alt.Y))
    colour = alt.Color("colour:N", scale=None, legend=None)
    stroke = alt.Stroke("colour:N", scale=None, legend=None)
    caption = pixel("caption", alt.Y)
    answers = base.mark_text(fontSize=11, fontWeight="bold").encode(
        x=pixel("answer_x", alt.X), y=caption, text="answer:N", color=colour
    )
    marks = base.mark_point(size=60, strokeWidth=1.8, filled=False, opacity=1).encode(
        x=pixel("mark_x", alt.X), y=caption, shape=alt.Shape("mark:N", scale=None, legend=None), stroke=stroke
    )
    return [
        base.mark_image(width=side, height=side).encode(x=x, y=y, url="url:N", tooltip="tip:N"),
        paths.mark_line(stroke="#000000", strokeWidth=3, opacity=0.55),
        paths.mark_line(stroke="#ffffff", strokeWidth=1.4),
        dots.mark_point(filled=True, size=42, fill="#ffffff", stroke="#000000", strokeWidth=1.2, opacity=1),
        answers, marks,
        base.mark_text(fontSize=11, style="muted").encode(x=x, y=pixel("second", alt.Y), text="confidence:N"),
        base.mark_text(fontSize=10, style="muted", baseline="bottom").encode(
            x=x, y=pixel("top", alt.Y), text="level:N"),
        *_heading_layers(headings),
    ]  # fmt: skip


def _heading_layers(headings: list[dict[str, Any]]) -> list[alt.Chart]:
    base = alt.Chart(pl.DataFrame(headings)).encode(x=alt.value(0))
    bold = base.mark_text(align="left", fontWeight="bold", fontSize=12, style="ink")
    plain = base.mark_text(align="left", fontSize=11, style="muted")
    return [
        bold.encode(y=pixel("y0", alt.Y), text="title:N"),
        *(plain.encode(y=pixel(f"y{place}", alt.Y), text=f"{field}:N")
          for place, field in enumerate(("true", "reason", "image"), start=1)),
    ]  # fmt: skip


def _words(
    strips: list[list[ExemplarImage]], selection: Selection, evaluation: EvaluationInfo, layout: ChartSize
) -> ChartText:
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
    reasons = sorted({lower_label(REASON_WORDS.get(strip[0].reason, strip[0].reason)) for strip in strips})
    return ChartText(
        finding,
        f"One image a corruption, chosen by rule ({', '.join(reasons)}), from clean to the last severity; "
        f"beneath: predicted class, right (tick) or wrong (cross), and confidence. "
        f"Illustration, not evidence: {format_count(len(strips), 'image')} of {selection.image_count:,}.{heat}",
        selection.source_line,
    )  # fmt: skip
