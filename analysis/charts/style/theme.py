"""How every chart looks: one theme in light and dark, two sizes, and the text around the plot.

Colours that depend on light or dark are never written into a chart: marks name a style of the theme ("ink", "muted"),
so the same chart can be drawn in either, which the report does as the reader's system asks.
"""

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from failmodes.analysis.charts.style.combining import stacked

FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"

# Okabe and Ito's palette, safe for colour blindness
VERMILLION, BLUE, PURPLE, GREEN, GREY = "#D55E00", "#0072B2", "#CC79A7", "#009E73", "#8C8C8C"
ORANGE, SKY = "#E69F00", "#56B4E9"

SHAPE_COLOURS = {
    "late_collapse": VERMILLION,
    "near_linear": BLUE,
    "early_drop": PURPLE,
    "non_monotone": GREEN,
    "rise": ORANGE,
    "flat": GREY,
    "undecided": GREY,
}

MODEL_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE)
MODEL_DASHES = ([1, 0], [5, 2], [2, 2], [7, 2, 2, 2])
TEXT_LETTER_SHARE = 0.46  # width of an average letter of running text in font sizes
GROUPS = ("noise", "blur", "weather", "digital")  # groups of corruptions, in order of publication
Layered = alt.LayerChart | alt.FacetChart  # what alt.layer returns


class ChartSize(NamedTuple):
    """The medium of a chart: its width, how many small panels stand side by side, and its type sizes."""

    width_px: int
    columns: int
    text_px: int
    title_px: int

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


# On a dark page the darker of these colours are drawn in a lighter shade of the same hue.
DARK_COLOURS = {BLUE: "#4ba6e3", VERMILLION: "#f07f3c", GREEN: "#2dbf94", PURPLE: "#dd96bd", GREY: "#a2a5ab",
                "#3a7fc4": "#4f95da", "#5b5fb5": "#8185d8", "#8a4a9e": "#b070c6", "#b03a78": "#dc609f"}  # fmt: skip


class ThemeColours(NamedTuple):
    """The colours that light and dark do not share."""

    background: str
    ink: str
    muted: str
    grid: str
    band: str
    cells: tuple[str, ...]  # sequential, from little to much
    on_low: str
    on_high: str


_ORANGES = ("#faf6f1", "#fdc592", "#e5671b", "#8c2d04")
_EMBERS = ("#22252c", "#6a3c1c", "#c96a24", "#ffbd85")
LIGHT = ThemeColours("#ffffff", "#1b1b1f", "#5c6068", "#e8e8ea", "#dcdce0", _ORANGES, "#1b1b1f", "#ffffff")
DARK = ThemeColours("#16181d", "#ececef", "#a6abb5", "#2c3038", "#3a3f49", _EMBERS, "#ececef", "#16181d")
THEMES = {"light": LIGHT, "dark": DARK}


def vega_config(colours: ThemeColours) -> Any:
    """The Vega-Lite configuration of a theme."""
    axis = {
        **dict.fromkeys(("labelColor", "titleColor", "domainColor", "tickColor"), colours.muted),
        "gridColor": colours.grid, "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal",
        "titlePadding": 6, "tickSize": 4, "domainWidth": 0.75, "tickWidth": 0.75, "gridWidth": 0.75,
    }  # fmt: skip
    title = {
        "anchor": "start", "color": colours.ink, "subtitleColor": colours.muted, "fontWeight": "bold", "fontSize": 12,
        "subtitleFontSize": 11, "subtitlePadding": 3, "offset": 8,
    }  # fmt: skip
    fills = {"ink": colours.ink, "muted": colours.muted, "band": colours.band, "on-low": colours.on_low,
             "on-high": colours.on_high}  # fmt: skip
    strokes = {"ink-line": colours.ink, "muted-line": colours.muted}
    return {
        "background": colours.background,
        "font": FONT,
        "padding": 8,
        "view": {"stroke": None},
        "axis": axis,
        "title": title,
        "legend": {"labelColor": colours.ink, "titleColor": colours.muted, "labelFontSize": 11, "titleFontSize": 11,
                   "titleFontWeight": "normal", "labelLimit": 320},
        "header": {"labelColor": colours.ink, "titleColor": colours.muted},
        "text": {"fontSize": 11, "color": colours.ink},
        "range": {"heatmap": list(colours.cells), "category": list(MODEL_COLOURS)},
        "style": {
            **{name: {"color": colour, "fill": colour} for name, colour in fills.items()},
            **{name: {"color": colour, "stroke": colour} for name, colour in strokes.items()},
            "hollow": {"fill": colours.background},
            "source": {"fill": colours.muted, "fontSize": 10, "fontWeight": "normal"},
        },
    }  # fmt: skip


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
        _wrapped(text.source, size.width_px, 10), orient="bottom", anchor="start", offset=12, fontSize=10,
        fontWeight="normal", style="source",
    )  # fmt: skip
    head = alt.Title(
        _wrapped(text.finding, size.width_px, size.title_px * 1.08),
        subtitle=_wrapped(text.subtitle, size.width_px, size.text_px),
        anchor="start", fontSize=size.title_px, subtitleFontSize=size.text_px, subtitlePadding=6, offset=14,
    )  # fmt: skip
    return stacked(*parts, spacing=10, title=head, usermeta=text._asdict())


def _wrapped(text: str, width_px: float, font_px: float) -> list[str]:
    letters = max(20, int(width_px / (font_px * TEXT_LETTER_SHARE)))
    return textwrap.wrap(text, letters, break_long_words=False, break_on_hyphens=False) or [""]
