"""Pictures as HTML: a page that needs no network, or a part of a notebook."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from failmodes.analysis.charts.image_sheet import picture_notes, picture_url
from failmodes.analysis.charts.style.theme import DARK, LIGHT, THEMES
from failmodes.analysis.images.collection import Picture, Pictures
from failmodes.analysis.render.formatting import format_percent
from failmodes.warehouse.errors import StudyError


def image_page(pictures: Pictures, *, theme: str | None = None, is_page: bool = True, heading: str = "h1") -> str:
    """Pictures with what was predicted; every text is escaped, whatever class names and labels hold.

    Args:
        pictures: a sheet, or curves.
        theme: 'light' or 'dark'; as the reader's system asks if not given.
        is_page: a whole page, or else what stands inside another.
        heading: element of the headline, such as "h3" where it stands beneath others.

    Raises:
        StudyError: another theme.
    """
    if theme is not None and theme not in THEMES:
        raise StudyError(f"no theme {theme!r}: choose {' or '.join(THEMES)}")
    return (
        _template()
        .render(
            rows=[_row(row, is_curve=pictures.is_curves) for row in pictures.rows],
            is_curves=pictures.is_curves,
            headline=pictures.headline,
            details=pictures.details,
            source=pictures.source,
            theme=theme,
            light=LIGHT,
            dark=DARK,
            colors=THEMES[theme or "light"],
            is_page=is_page,
            heading=heading,
        )
        .strip()
    )


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(files("failmodes.analysis").joinpath("image_page.html.j2").read_text("utf-8"))


def _row(row: Sequence[Picture], *, is_curve: bool) -> dict[str, Any]:
    first, last = row[0].row, row[-1].row
    top = max((float(one.attention.max()) for one in row if one.attention is not None), default=0.0)
    shown = [_picture(picture, top if is_curve else None) for picture in row]
    path: list[tuple[float, float]] = []
    for one, picture in zip(shown, row, strict=True):
        if picture.center is not None:
            point = (round(100 * picture.center[0], 2), round(100 * picture.center[1], 2))
            path = [*path, point] if is_curve else [point]
            one["path"] = path
        if is_curve:  # its heading says the rest
            one["notes"] = (one["confidence"], picture.row.short_cell_name)
    return {"title": f"{first.model_label}, {first.image_name}, {last.corruption_label}", "pictures": shown}


def _picture(picture: Picture, top: float | None) -> dict[str, Any]:
    row = picture.row
    confidence = "" if row.confidence is None else format_percent(row.confidence, 0)
    height, width = picture.made.pixels.shape[:2]
    caption = f"{row.model_label} says {row.predicted_name}" + (f" with confidence {confidence}" if confidence else "")
    verdict = "which is right" if row.correct else f"which is wrong: true is {row.label_name}"
    return {
        "url": picture_url(picture, top),
        "alt": f"{row.image_name}, {row.cell_name}: {caption}, {verdict}",
        "width": width,
        "height": height,
        "confidence": confidence,
        "prediction": row.predicted_name,
        "is_correct": row.correct,
        "notes": picture_notes(row, confidence),
        "path": [],
    }
