"""A contact sheet: one image under every corruption of a recipe, from clean to the last severity."""

import base64
import io
from decimal import Decimal
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from failmodes.analysis.charts.style.axes import evenly_spaced, pixel
from failmodes.analysis.charts.style.saving import PNG_SCALE
from failmodes.analysis.charts.style.theme import GROUPS, PAGE, ChartSize, ChartText, add_text
from failmodes.analysis.formatting import (
    capitalize_first,
    format_number,
    format_severity,
    join_names,
    label_with_extra,
    lower_label,
)
from failmodes.analysis.sample_images import CorruptionRequest, one_image
from failmodes.ingest.corruptions.catalogue import CORRUPTIONS
from failmodes.ingest.corruptions.catalogue import SEVERITIES
from failmodes.ingest.distortion import rmse
from failmodes.warehouse.errors import FailmodesError, StudyError

GAP_PX, CAPTION_PX, GROUP_PX, NAME_PX = 6, 17, 30, 17

LABEL_PX = 126  # left of the pictures, on a page

SIDE_STEP_PX, LARGEST_SIDE_PX = 16, 80  # steps so that 32 pixels are enlarged by a whole number

NARROW_LEVELS = 3  # beside clean, in a column of a paper


class ContactSheetRow(NamedTuple):
    """One corruption: pictures by severity from clean, their distance from it, and why some cannot be made.

    A picture that cannot be made is None, its distance NaN.
    """

    name: str
    pictures: list[NDArray[np.uint8] | None]
    rmse: list[float]
    reason: str

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing but the clean picture."""
        return all(picture is None for picture in self.pictures[1:])


def chart(corrupting: CorruptionRequest, *, layout: ChartSize = PAGE) -> alt.VConcatChart:
    """Rows of pictures, grouped as published; beneath each picture its RMSE against the clean one.

    Args:
        corrupting: one image file at most; severities 1-5 by default, fewer on paper.
        layout: page or paper, where names stand above their row.

    Raises:
        StudyError, DataError: what was asked for cannot be read, or nothing of it can be made.
    """
    picture = one_image(corrupting.files, corrupting.side_px)
    levels = [Decimal(0), *(corrupting.levels() or [Decimal(s) for s in SEVERITIES])]
    if layout.columns < 3 and not corrupting.severities:
        levels = [levels[0], *evenly_spaced(levels[1:], NARROW_LEVELS)]
    made = [_row(corrupting, name, levels, picture.images) for name in corrupting.names()]
    rows = sorted((row for row in made if not row.is_empty), key=lambda row: GROUPS.index(CORRUPTIONS[row.name].group))
    if not rows:
        raise StudyError(made[0].reason)
    words = ChartText(
        _finding(rows, levels),
        f"One image ({picture.label}, {corrupting.side_px} \u00d7 {corrupting.side_px} pixels), clean and at each "
        "severity, with the same draws along a row; beneath: root mean square difference from clean, of values / 255."
        f"{''.join(_note(row, levels) for row in made)}",
        f"Image: {picture.credit}; {corrupting.words}.",
    )
    return add_text([_sheet(rows, levels, layout)], words, layout)


def _row(corrupting: CorruptionRequest, name: str, levels: list[Decimal], clean: NDArray[np.uint8]) -> ContactSheetRow:
    pictures: list[NDArray[np.uint8] | None] = [clean[0]]
    distances, reason = [0.0], ""
    for severity in levels[1:]:
        try:
            made = corrupting.images_at(name, severity, clean)
        except FailmodesError as error:
            reason = reason or str(error)
            pictures.append(None)
            distances.append(float("nan"))
        else:
            pictures.append(made[0])
            distances.append(float(rmse(clean, made)[0]))
    return ContactSheetRow(name, pictures, distances, reason)


def _note(row: ContactSheetRow, levels: list[Decimal]) -> str:
    """What of a row is missing, and why."""
    if not row.reason:
        return ""
    without = [format_severity(float(s)) for s, picture in zip(levels, row.pictures, strict=True) if picture is None]
    place = "" if row.is_empty else f" at {join_names(without)}"
    return f" Without {lower_label(CORRUPTIONS[row.name].label)}{place}: {row.reason.rstrip('.')}."


def _finding(rows: list[ContactSheetRow], levels: list[Decimal]) -> str:
    last = sorted((row for row in rows if row.pictures[-1] is not None), key=lambda row: -row.rmse[-1])
    place = f"at severity {format_severity(float(levels[-1]))}"
    if not last:
        return f"No corruption asked for can be made {place}"
    first = last[0]
    told = f"{CORRUPTIONS[first.name].label} takes this image farthest from clean {place}: RMSE {_rmse(first.rmse[-1])}"
    if len(last) == 1:
        return told
    return f"{told}; {lower_label(CORRUPTIONS[last[-1].name].label)} least: {_rmse(last[-1].rmse[-1])}"


def _rmse(value: float) -> str:
    return format_number(value, 3)


def _sheet(rows: list[ContactSheetRow], levels: list[Decimal], layout: ChartSize) -> alt.LayerChart | alt.FacetChart:
    beside = layout.columns > 2
    left, above = (LABEL_PX, 0) if beside else (0, NAME_PX)
    room = (layout.width_px - 16 - left) / len(levels) - GAP_PX
    side = min(LARGEST_SIDE_PX, max(SIDE_STEP_PX, int(room // SIDE_STEP_PX) * SIDE_STEP_PX))
    cells: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    y = 0.0
    for place, row in enumerate(rows):
        if not place or CORRUPTIONS[rows[place - 1].name].group != CORRUPTIONS[row.name].group:
            texts += _heading(CORRUPTIONS[row.name].group, levels, left, side, y)
            y += GROUP_PX
        texts.append(_name(row.name, y if beside else y - 1, beside=beside))
        for column, (picture, distance) in enumerate(zip(row.pictures, row.rmse, strict=True)):
            x = left + column * (side + GAP_PX) + side / 2
            cells += _cell(
                picture, x, y + above + side / 2, side, f"{row.name} {format_severity(float(levels[column]))}"
            )
            texts += _caption(picture, distance, x, y + above + side, column)
        y += above + side + CAPTION_PX
    return alt.layer(*_layers(cells, texts, side), width=layout.width_px - 16, height=y)


def _cell(picture: NDArray[np.uint8] | None, x: float, y: float, side: int, tip: str) -> list[dict[str, Any]]:
    if picture is None:
        return []
    return [{"x": x, "y": y, "url": _data_url(picture, side), "tip": tip}]


def _caption(picture: NDArray[np.uint8] | None, distance: float, x: float, bottom: float, column: int) -> (
    list[dict[str, Any]]
):  # fmt: skip
    if picture is None:
        return [_text("\u2013", x, bottom - 8, "plain")]
    return [_text(_rmse(distance), x, bottom + 8, "plain")] if column else []


def _heading(group: str, levels: list[Decimal], left: float, side: int, y: float) -> list[dict[str, Any]]:
    """The group's name and the severities, above its rows; severities stand right of the name where they can."""
    numbers = [_text(format_severity(float(s)), left + i * (side + GAP_PX) + side / 2, y + 20, "plain")
               for i, s in enumerate(levels)]  # fmt: skip
    return [_text(capitalize_first(group), 0, y + (20 if left else 6), "group"), *numbers]


def _name(name: str, y: float, *, beside: bool) -> dict[str, Any]:
    known = CORRUPTIONS[name]
    return _text(label_with_extra(known.label, is_extra=not known.headline), 0, y + (9 if beside else 8), "name")


def _text(text: str, x: float, y: float, kind: str) -> dict[str, Any]:
    return {"text": text, "x": x, "y": y, "kind": kind}


def _layers(cells: list[dict[str, Any]], texts: list[dict[str, Any]], side: int) -> list[alt.Chart]:
    x, y = pixel("x", alt.X), pixel("y", alt.Y)
    images = alt.Chart(pl.DataFrame(cells)).mark_image(width=side, height=side)
    base = alt.Chart(pl.DataFrame(texts)).encode(x=x, y=y, text="text:N")
    group, name, plain = (base.transform_filter(f"datum.kind === '{kind}'") for kind in ("group", "name", "plain"))
    words = [
        group.mark_text(align="left", fontWeight="bold", fontSize=13, style="ink"),
        name.mark_text(align="left", fontSize=11.5, style="ink"),
        plain.mark_text(fontSize=10, style="muted"),
    ]
    return [images.encode(x=x, y=y, url="url:N", tooltip="tip:N"), *words]


def _data_url(pixels: NDArray[np.uint8], side: int) -> str:
    """A picture at twice its size on the page: small ones by whole pixels, as renderers would smooth them."""
    image, wanted = Image.fromarray(pixels), PNG_SCALE * side
    if image.width <= wanted:
        whole = image.width * (wanted // image.width)
        image = image.resize((whole, whole), Image.Resampling.NEAREST)
    else:
        image = image.resize((wanted, wanted), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
