"""A contact sheet: one image under every corruption of a recipe, from clean to the last severity."""

from decimal import Decimal
from itertools import groupby
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from failmodes.analysis.charts.style.axes import evenly_spaced, pixel
from failmodes.analysis.charts.style.combining import layered
from failmodes.analysis.charts.style.saving import PNG_SCALE, image_url
from failmodes.analysis.charts.style.theme import GROUPS, PAGE, ChartSize, ChartText, Layered, add_text
from failmodes.analysis.render.formatting import (
    format_number,
    format_severity,
    join_names,
    label_with_extra,
    lower_label,
)
from failmodes.analysis.sample_images import CorruptionRequest, one_image
from failmodes.ingest.corruptions.catalog import CORRUPTIONS, SEVERITIES
from failmodes.ingest.distortion import rmse
from failmodes.warehouse.errors import FailmodesError, StudyError

GAP_PX, CAPTION_PX, GROUP_PX, NAME_PX = 6, 17, 30, 17
LABEL_PX = 126  # left of the images, on a page
SIDE_STEP_PX, LARGEST_SIDE_PX, LEAST_SIDE_PX = 16, 80, 48  # steps so that 32 pixels are enlarged by a whole number
NARROW_LEVELS = 3  # beside clean, in a column of a paper


class ContactSheetRow(NamedTuple):
    """One corruption of the image.

    Attributes:
        name: the corruption.
        images: (S, S, 3) uint8 by severity, from clean; None where it cannot be made.
        rmse: distance of each from clean, 0-1; NaN where there is none.
        reason: why some cannot be made, or "".
    """

    name: str
    images: list[NDArray[np.uint8] | None]
    rmse: list[float]
    reason: str

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing but the clean image."""
        return all(image is None for image in self.images[1:])


def chart(request: CorruptionRequest, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """Rows of images, grouped as published; beneath each image its RMSE against the clean one.

    Args:
        request: one image file at most; severities 1-5 by default, fewer on paper.
        size: page or paper, where names are printed above their row.

    Raises:
        StudyError, DataError: what was requested cannot be read, or nothing of it can be made.
    """
    sample = one_image(request.files, request.side_px)
    levels = [Decimal(0), *(request.levels() or [Decimal(s) for s in SEVERITIES])]
    if not size.is_wide and not request.severities:
        levels = [levels[0], *evenly_spaced(levels[1:], NARROW_LEVELS)]
    made = [_row(request, name, levels, sample.images) for name in request.names()]
    rows = sorted((row for row in made if not row.is_empty), key=lambda row: GROUPS.index(CORRUPTIONS[row.name].group))
    if not rows:
        raise StudyError(made[0].reason)
    severities = [format_severity(float(level)) for level in levels]
    text = ChartText(
        _finding(rows, severities[-1]),
        f"One image ({sample.label}, {request.side_px} \u00d7 {request.side_px} pixels), clean and at each "
        "severity, with the same draws along a row; beneath: root mean square difference from clean, of values / 255."
        f"{''.join(_note(row, severities) for row in made if row.reason)}",
        f"Image: {sample.credit}; {request.description}.",
    )
    return add_text([_sheet(rows, severities, size)], text, size)


def _row(request: CorruptionRequest, name: str, levels: list[Decimal], clean: NDArray[np.uint8]) -> ContactSheetRow:
    row = ContactSheetRow(name, [clean[0]], [0.0], "")
    for severity in levels[1:]:
        try:
            made = request.images_at(name, severity, clean)
        except FailmodesError as error:
            row = row._replace(reason=row.reason or str(error))
            row.images.append(None)
            row.rmse.append(float("nan"))
        else:
            row.images.append(made[0])
            row.rmse.append(float(rmse(clean, made)[0]))
    return row


def _note(row: ContactSheetRow, severities: list[str]) -> str:
    """What of a row is missing, and why."""
    missing = [severity for severity, image in zip(severities, row.images, strict=True) if image is None]
    at = "" if row.is_empty else f" at {join_names(missing)}"
    return f" Without {lower_label(CORRUPTIONS[row.name].label)}{at}: {row.reason.rstrip('.')}."


def _finding(rows: list[ContactSheetRow], last_severity: str) -> str:
    ranked = sorted((row for row in rows if row.images[-1] is not None), key=lambda row: -row.rmse[-1])
    if not ranked:
        return f"No corruption asked for can be made at severity {last_severity}"
    farthest, nearest = (CORRUPTIONS[row.name].label for row in (ranked[0], ranked[-1]))
    most, least = (format_number(row.rmse[-1], 3) for row in (ranked[0], ranked[-1]))
    finding = f"{farthest} takes this image farthest from clean at severity {last_severity}: RMSE {most}"
    return finding if len(ranked) == 1 else f"{finding}; {lower_label(nearest)} least: {least}"


def _sheet(rows: list[ContactSheetRow], severities: list[str], size: ChartSize) -> Layered:
    left, above = (LABEL_PX, 0) if size.is_wide else (0, NAME_PX)
    space = (size.width_px - 16 - left) / len(severities) - GAP_PX
    side = int(min(space, size.height(LARGEST_SIDE_PX, LEAST_SIDE_PX)) // SIDE_STEP_PX) * SIDE_STEP_PX or SIDE_STEP_PX
    centers = [left + column * (side + GAP_PX) + side / 2 for column in range(len(severities))]
    images: list[dict[str, Any]] = []
    texts: list[tuple[str, float, float, str]] = []
    y = 0.0
    for group, group_rows in groupby(rows, key=lambda row: CORRUPTIONS[row.name].group):
        # severities are printed right of the group's name where they can
        texts.append((group.capitalize(), 0, y + (20 if size.is_wide else 6), "group"))
        texts += [(severity, x, y + 20, "plain") for severity, x in zip(severities, centers, strict=True)]
        y += GROUP_PX
        for row in group_rows:
            info, bottom = CORRUPTIONS[row.name], y + above + side
            name = label_with_extra(info.label, is_extra=not info.headline)
            texts.append((name, 0, y + (9 if size.is_wide else 7), "name"))
            for severity, x, image, distance in zip(severities, centers, row.images, row.rmse, strict=True):
                if image is None:
                    texts.append(("\u2013", x, bottom - 8, "plain"))
                    continue
                tip = f"{name}, {severity if severity == severities[0] else f'severity {severity}'}"
                images.append({"x": x, "y": y + above + side / 2, "url": image_url(_enlarged(image, side)), "tip": tip})
                if severity != severities[0]:
                    texts.append((format_number(distance, 3), x, bottom + 8, "plain"))
            y += above + side + CAPTION_PX
    return layered(*_layers(images, texts, side), width=size.width_px - 16, height=y)


def _layers(images: list[dict[str, Any]], texts: list[tuple[str, float, float, str]], side: int) -> list[alt.Chart]:
    x, y = pixel("x", alt.X), pixel("y", alt.Y)
    marks = alt.Chart(pl.DataFrame(images)).mark_image(width=side, height=side)
    labels = pl.DataFrame(texts, schema={"text": str, "x": float, "y": float, "kind": str}, orient="row")
    base = alt.Chart(labels).encode(x=x, y=y, text=alt.Text("text:N"))
    group, name, plain = (base.transform_filter(f"datum.kind === '{kind}'") for kind in ("group", "name", "plain"))
    return [
        marks.encode(x=x, y=y, url=alt.Url("url:N"), tooltip=alt.Tooltip("tip:N", title="image")),
        group.mark_text(align="left", fontWeight="bold", fontSize=12, style="ink"),
        name.mark_text(align="left", fontSize=11.5, style="ink"),
        plain.mark_text(fontSize=10, style="muted"),
    ]


def _enlarged(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """An image at twice its size on the page: small ones by whole pixels, as renderers would smooth them."""
    image, side_px = Image.fromarray(pixels), PNG_SCALE * side
    if image.width <= side_px:
        whole = image.width * (side_px // image.width)
        return np.asarray(image.resize((whole, whole), Image.Resampling.NEAREST))
    return np.asarray(image.resize((side_px, side_px), Image.Resampling.BILINEAR))
