"""Images as HTML: a page that needs no network, or a part of a notebook."""

from collections.abc import Sequence

from markupsafe import Markup

from failmodes.analysis.charts.style.image_grid import picture_urls
from failmodes.analysis.charts.style.theme import DARK, LIGHT, THEMES
from failmodes.analysis.images.collection import Picture, Pictures
from failmodes.analysis.render.formats.html import environment
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
    template = environment().get_template("images.html.j2")
    return template.render(
        pictures=pictures, rows=rows, theme=theme, is_page=is_page, heading=heading, **colors
    ).strip()


def _row(row: Sequence[Picture], *, is_curve: bool) -> list[tuple[Picture, Markup]]:
    """Each image of a row with its URL; along a curve attention has one scale."""
    groups = [row] if is_curve else [[picture] for picture in row]
    urls = [Markup(url) for group in groups for url in picture_urls([picture.layers for picture in group])]
    return list(zip(row, urls, strict=True))
