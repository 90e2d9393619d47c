"""Images as HTML: a page that needs no network, or a part of a notebook."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template

from failmodes.analysis.charts.style.image_grid import picture_urls
from failmodes.analysis.charts.style.theme import DARK, LIGHT, THEMES
from failmodes.analysis.images.collection import Picture, Pictures
from failmodes.warehouse.errors import StudyError


def image_page(pictures: Pictures, *, theme: str | None = None, is_page: bool = True, heading: str = "h1") -> str:
    """Images with their predictions; every text is escaped, whatever class names and labels hold.

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
    rows = [_row(row, is_curve=pictures.is_curves) for row in pictures.rows]
    colors = {"light": LIGHT, "dark": DARK, "colors": THEMES[theme or "light"]}
    return (
        _template()
        .render(pictures=pictures, rows=rows, theme=theme, is_page=is_page, heading=heading, **colors)
        .strip()
    )


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(files("failmodes.analysis").joinpath("image_page.html.j2").read_text("utf-8"))


def _row(row: Sequence[Picture], *, is_curve: bool) -> list[tuple[Picture, str]]:
    """Each image of a row with its URL; along a curve attention has one scale."""
    groups = [row] if is_curve else [[picture] for picture in row]
    urls = [url for group in groups for url in picture_urls([picture.layers for picture in group])]
    return list(zip(row, urls, strict=True))
