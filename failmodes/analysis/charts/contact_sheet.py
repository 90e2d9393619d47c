"""Contact sheet: one image under every corruption of a recipe, from clean to the last severity."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame, evenly_spaced
from failmodes.analysis.charts.style.image_grid import GridCell, Row, image_grid, picture_urls
from failmodes.analysis.charts.style.theme import GROUPS
from failmodes.analysis.images.sample_images import CorruptionRequest, one_image
from failmodes.analysis.render.formatting import (
    format_number,
    format_severity,
    join_names,
    label_with_extra,
    lower_label,
)
from failmodes.ingest.corruptions.catalog import CORRUPTIONS, SEVERITIES
from failmodes.ingest.corruptions.corruption import Corruption
from failmodes.ingest.distortion import rmse
from failmodes.runtime.errors import FailmodesError, StudyError

CLEAN, NARROW_LEVELS = format_severity(0), 3  # beside clean


class Series(NamedTuple):
    """The image under one corruption.

    Attributes:
        info: the corruption.
        images: (S, S, 3) with its RMSE from clean, 0-1, by severity as it is printed; except those that failed.
        reason: why some failed, or "".
    """

    info: Corruption
    images: dict[str, tuple[NDArray[np.uint8], float]]
    reason: str


def chart_of_images(request: CorruptionRequest, *, frame: Frame = PAGE) -> Figure:
    """One row of images per corruption, by group, with the RMSE of each image from clean.

    Args:
        request: one image file at most; severities 1-5 by default, fewer in a narrow frame.
        frame: where it is drawn.

    Raises:
        StudyError, DataError: what was requested cannot be read, or nothing of it can be made.
    """
    sample = one_image(request.files, request.side_px)
    levels = request.levels() or [Decimal(s) for s in SEVERITIES]
    if not frame.is_wide and not request.severities:
        levels = evenly_spaced(levels, NARROW_LEVELS)
    every = [_series(request, name, levels, sample.images) for name in request.names()]
    made = sorted((row for row in every if row.images), key=lambda row: GROUPS.index(row.info.group))
    if not made:
        raise StudyError(every[0].reason)
    columns = [format_severity(float(level)) for level in levels]
    last = next(level for level in reversed(columns) if any(level in row.images for row in made))
    far = sorted((row for row in made if last in row.images), key=lambda row: -row.images[last][1])
    most, least = (format_number(row.images[last][1], 3) for row in (far[0], far[-1]))
    title = f"{far[0].info.label} distorts this image most at severity {last}: RMSE {most}"
    if len(far) > 1:
        title += f"; {lower_label(far[-1].info.label)} least: {least}"
    return Figure(
        image_grid([_row(row, columns, sample.images[0]) for row in made], [CLEAN, *columns], frame),
        title,
        f"One image ({sample.label}, {request.side_px} \u00d7 {request.side_px} pixels) by severity; a row "
        "shares its random seed. Below each image: root mean square error from clean (RMSE, values / 255)."
        f"{''.join(_note(row, columns) for row in every if row.reason)}",
        f"Image: {sample.credit}; {request.description}.",
        frame,
    )


def _series(request: CorruptionRequest, name: str, levels: Sequence[Decimal], clean: NDArray[np.uint8]) -> Series:
    images: dict[str, tuple[NDArray[np.uint8], float]] = {}
    reason = ""
    for level in levels:
        try:
            made = request.images_at(name, level, clean)
        except FailmodesError as error:
            reason = reason or str(error)
        else:
            images[format_severity(float(level))] = made[0], float(rmse(clean, made)[0])
    return Series(CORRUPTIONS[name], images, reason)


def _row(series: Series, columns: Sequence[str], clean: NDArray[np.uint8]) -> Row:
    name = label_with_extra(series.info.label, is_extra=not series.info.headline)
    shown = {CLEAN: (clean, 0.0)} | series.images
    urls = dict(zip(shown, picture_urls([(pixels, None, None) for pixels, _ in shown.values()]), strict=True))
    cells = {
        level: GridCell(
            urls.get(level),
            f"{name}, severity {level}",
            [format_number(shown[level][1], 3) if level in shown else "\u2013"],
        )
        for level in columns
    }
    return Row({CLEAN: GridCell(urls[CLEAN], CLEAN)} | cells, name, (series.info.group,))


def _note(series: Series, columns: Sequence[str]) -> str:
    """Missing severities of a corruption, with the reason."""
    at = f" at {join_names(level for level in columns if level not in series.images)}" if series.images else ""
    return f" Without {lower_label(series.info.label)}{at}: {series.reason.rstrip('.')}."
