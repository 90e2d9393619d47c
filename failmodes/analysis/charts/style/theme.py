"""How every chart looks: one theme in light and dark, two sizes, and the text around the plot.

A color means one thing, on every page:

- a model: blue, vermillion, green, pink (Okabe and Ito's, in this order) with a dash each; of more than four the two
  with the highest and the lowest mean accuracy are blue and vermillion, the others gray;
- a group of corruptions: gold noise, teal blur, wine weather, slate digital; within a group a dash a corruption;
- how much (a severity, a drop, a share): violet, the darker the more; in the dark theme the lighter the more;
- all else has no hue: shapes are told by symbols and words, scores by symbols and dashes, verdicts by light and dark
  gray, right and wrong by a tick and a cross, measures by their axis.

Lines and points have a contrast of 3 with the page, text 4.5 (WCAG AA): where a color has less, text is drawn in its
text shade. Colors of one meaning differ for the color-blind too, and in gray by dash, symbol or lightness.

Colors that depend on light or dark are never written into a chart: marks name a style of the theme ("ink", "muted"),
or a color that DARK_COLORS replaces, so the same chart can be drawn in either, which the report does as the reader's
system asks.
"""

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from failmodes.analysis.charts.style.combining import stacked

FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"

# Okabe and Ito's palette, safe for color blindness
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
GRAY = "#8C8C8C"  # models behind those in color; what is not shown to hold
DARK_GRAY, MID_GRAY = "#2b2f36", "#6b7280"  # what has no hue

MODEL_COLORS = (BLUE, VERMILLION, GREEN, PURPLE)
MODEL_DASHES = ([1, 0], [5, 2], [2, 2], [7, 2, 2, 2])
GROUPS = ("noise", "blur", "weather", "digital")  # groups of corruptions, in order of publication
GROUP_COLORS = dict(zip(GROUPS, ("#8a6d00", "#0d8080", "#7d1128", "#33415c"), strict=True))
RAMP = ("#9f86d6", "#8a6bc9", "#7350b4", "#5b3a99", "#43267a", "#2b1459")  # severities, clean to last
SHAPE_SYMBOLS = {
    "abrupt": "triangle-down",
    "two_steps": "diamond",
    "late": "triangle-right",
    "middle": "cross",
    "near_linear": "square",
    "early": "triangle-left",
    "recovers": "triangle-up",
    "up_and_down": "wedge",
    "rise": "arrow",
    "flat": "stroke",
    "inconclusive": "circle",
}
TEXT_SHADES = {VERMILLION: "#b84f00", GREEN: "#007a58", PURPLE: "#a8487f", GRAY: MID_GRAY}
TEXT_LETTER_SHARE = 0.46  # width of an average letter of running text in font sizes
Layered = alt.LayerChart | alt.FacetChart  # what alt.layer returns


class ChartSize(NamedTuple):
    """The medium of a chart: its width, how many small panels stand side by side, and its type sizes."""

    width_px: float
    columns: int
    text_px: int
    title_px: int
    height_share: float = 1.0  # plots are drawn so much lower, for a chart that would not fit on its page

    def height(self, usual_px: float, least_px: float = 0) -> float:
        """How high a plot is that is usually `usual_px` high."""
        return max(usual_px * self.height_share, min(least_px, usual_px))

    @property
    def is_wide(self) -> bool:
        """Whether there is room for two plots, or for row headings beside a row of images."""
        return self.columns > 2


PAGE = ChartSize(680, 3, 12, 16)
PAPER = ChartSize(321, 2, 11, 13)  # 85 mm, a column of a paper; also a phone
CHART_SIZES = {"page": PAGE, "paper": PAPER}


class ChartText(NamedTuple):
    """The text around a plot: the finding, what is plotted, and where the data come from."""

    finding: str
    subtitle: str
    source: str


# On a dark page these colors are drawn in another shade of the same hue; none of the latter is one of the former.
DARK_COLORS = {
    BLUE: "#4ba6e3", VERMILLION: "#f07f3c", GREEN: "#1fd3a0", PURPLE: "#e8a9cc",
    GRAY: "#a2a5ab", DARK_GRAY: "#e3e5ea", MID_GRAY: "#9ca3b0",
    "#b84f00": "#f07f3c", "#007a58": "#1fd3a0", "#a8487f": "#e8a9cc",
    "#8a6d00": "#e6cf6a", "#0d8080": "#2fa7b0", "#7d1128": "#e0566f", "#33415c": "#c4d4d4",
    "#9f86d6": "#7a63b0", "#8a6bc9": "#937cc6", "#7350b4": "#ab96d8", "#5b3a99": "#c3b1e8", "#43267a": "#dacdf4",
    "#2b1459": "#f1eaff",
}  # fmt: skip


class ThemeColors(NamedTuple):
    """The colors that light and dark do not share."""

    background: str
    ink: str
    muted: str
    grid: str
    band: str
    cells: tuple[str, ...]  # sequential, from little to much
    on_low: str
    on_high: str


# Black and white are both read on the middle color, and on no other: there the text of a cell changes.
_CELLS = ("#f7f4fb", "#8562c8", "#2b1459")
_DARK_CELLS = ("#22252c", "#8562c8", "#e4d9fb")
LIGHT = ThemeColors("#ffffff", "#1b1b1f", "#5c6068", "#e8e8ea", "#dcdce0", _CELLS, "#000000", "#ffffff")
DARK = ThemeColors("#16181d", "#ececef", "#a6abb5", "#2c3038", "#3a3f49", _DARK_CELLS, "#ffffff", "#000000")
THEMES = {"light": LIGHT, "dark": DARK}


def vega_config(colors: ThemeColors) -> Any:
    """The Vega-Lite configuration of a theme."""
    axis = {
        **dict.fromkeys(("labelColor", "titleColor", "domainColor", "tickColor"), colors.muted),
        "gridColor": colors.grid, "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal",
        "titlePadding": 6, "tickSize": 4, "domainWidth": 0.75, "tickWidth": 0.75, "gridWidth": 0.75,
    }  # fmt: skip
    title = {
        "anchor": "start", "color": colors.ink, "subtitleColor": colors.muted, "fontWeight": "bold", "fontSize": 12,
        "subtitleFontSize": 11, "subtitlePadding": 3, "offset": 8,
    }  # fmt: skip
    fills = {"ink": colors.ink, "muted": colors.muted, "band": colors.band, "on-low": colors.on_low,
             "on-high": colors.on_high}  # fmt: skip
    strokes = {"ink-line": colors.ink, "muted-line": colors.muted}
    return {
        "background": colors.background,
        "font": FONT,
        "padding": 8,
        "view": {"stroke": None},
        "axis": axis,
        "title": title,
        "legend": {"labelColor": colors.ink, "titleColor": colors.muted, "labelFontSize": 11, "titleFontSize": 11,
                   "titleFontWeight": "normal", "labelLimit": 320},
        "header": {"labelColor": colors.ink, "titleColor": colors.muted},
        "text": {"fontSize": 11, "color": colors.ink},
        "range": {"heatmap": list(colors.cells), "category": list(MODEL_COLORS)},
        "style": {
            **{name: {"color": color, "fill": color} for name, color in fills.items()},
            **{name: {"color": color, "stroke": color} for name, color in strokes.items()},
            "hollow": {"fill": colors.background},
            "source": {"fill": colors.muted, "fontSize": 10, "fontWeight": "normal"},
        },
    }  # fmt: skip


def text_shade(color: str) -> str:
    """The color of text about what is drawn in `color`."""
    return TEXT_SHADES.get(color, color)


def add_text(parts: Sequence[Any], text: ChartText, size: ChartSize) -> alt.VConcatChart:
    """Put the finding and subtitle above a plot and its source below, wrapped to the width of the chart.

    The unwrapped text also travels as `usermeta`, from which the report sets it in HTML.

    Args:
        parts: what is stacked from top to bottom, such as a legend and a plot; the last has no title of its own.
        text: finding, subtitle and source.
        size: page or paper.
    """
    # set in place: every copy of a nested chart costs Altair most of a second
    parts[-1].title = alt.Title(
        wrapped(text.source, size.width_px, 10), orient="bottom", anchor="start", offset=12, fontSize=10,
        fontWeight="normal", style="source",
    )  # fmt: skip
    head = alt.Title(
        wrapped(text.finding, size.width_px, size.title_px * 1.08),
        subtitle=wrapped(text.subtitle, size.width_px, size.text_px),
        anchor="start", fontSize=size.title_px, subtitleFontSize=size.text_px, subtitlePadding=6, offset=14,
    )  # fmt: skip
    return stacked(*parts, spacing=10, title=head, usermeta=text._asdict())


def wrapped(text: str, width_px: float, font_px: float) -> list[str]:
    """The lines of a text that is `width_px` wide."""
    letters = max(20, int(width_px / (font_px * TEXT_LETTER_SHARE)))
    return textwrap.wrap(text, letters, break_long_words=False, break_on_hyphens=False) or [""]
