"""How the page is looked at: light or dark, and how wide; the browser says so in a cookie, which head.html keeps."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import altair as alt

from failmodes.analysis.charts.style.theme import DARK_COLORS, THEMES, ThemeColors, vega_config

COOKIE = "failmodes_view"
EMBED_OPTIONS = {"renderer": "svg", "actions": False}  # texts that a screen reader finds; no link to another host
WIDTHS_PX = {"wide": 1100.0, "large": 880.0, "medium": 525.0, "narrow": 322.0}  # of a chart as wide as the page


class View(NamedTuple):
    """What the charts of a page are drawn for.

    Attributes:
        theme: "light" or "dark", as the reader's system asks.
        width: "wide" (a window of 1,340 px or more), "large" (1,100), "medium" (720) or "narrow".
    """

    theme: str = "light"
    width: str = "wide"

    @property
    def colors(self) -> ThemeColors:
        """The colors of the theme."""
        return THEMES[self.theme]

    @property
    def width_px(self) -> float:
        """Width of a chart as wide as the page."""
        return WIDTHS_PX[self.width]

    def shade(self, color: str) -> str:
        """A color of the house's charts as it is drawn in this theme."""
        return DARK_COLORS.get(color, color) if self.theme == "dark" else color

    def dressed(self, chart: Any, description: str) -> Any:
        """A chart with the theme, and with the words that a screen reader says in its place; changed in place."""
        chart.config = alt.Config(**vega_config(self.colors))
        chart.background = "transparent"
        chart.description = description
        chart.usermeta = {"embedOptions": EMBED_OPTIONS}
        return chart


def view_of(cookies: Mapping[str, str]) -> View:
    """The view that the browser asks for; a wide light page where it says nothing that is known."""
    theme, _, width = cookies.get(COOKIE, "").partition(".")
    default = View()
    return View(theme if theme in THEMES else default.theme, width if width in WIDTHS_PX else default.width)
