"""How every chart looks: one Altair theme in light and dark, two widths, and the words around a picture.

Colours that depend on light or dark are never written into a chart: marks name a style of the theme ("ink", "muted"),
so the same chart can be drawn in either, which the report does as the reader's system asks.
"""

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"

# Okabe and Ito's palette, safe for colour blindness
VERMILLION, BLUE, PURPLE, GREEN, GREY = "#D55E00", "#0072B2", "#CC79A7", "#009E73", "#8C8C8C"

ORANGE, SKY = "#E69F00", "#56B4E9"

SHAPE_COLOURS = {
    "late_collapse": VERMILLION,
    "near_linear": BLUE,
    "early_drop": PURPLE,
    "non_monotone": GREEN,
    "flat": GREY,
}

MODEL_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE)

MODEL_DASHES = ([1, 0], [5, 2], [2, 2], [7, 2, 2, 2])

MOST_COLOURED = len(MODEL_COLOURS)

TEXT_LETTER_SHARE = 0.46  # width of an average letter of running text in font sizes

GROUPS = ("noise", "blur", "weather", "digital")  # groups of corruptions, in order of publication

PERCENT_AXIS = "format(100 * datum.value, '.0f') + '\u00a0%'"

Layered = alt.LayerChart | alt.FacetChart  # what alt.layer returns


class ChartSize(NamedTuple):
    """A place where a chart is read: its width, how many small panels stand side by side, and its type sizes."""

    width_px: int
    columns: int
    text_px: int
    title_px: int
    widest_heat_map: int  # panels of a heat map side by side


PAGE = ChartSize(680, 3, 12, 16, 2)

PAPER = ChartSize(321, 2, 11, 13, 1)  # 85 mm, a column of a paper; also a phone

CHART_SIZES = {"page": PAGE, "paper": PAPER}


class ChartText(NamedTuple):
    """What is written around a picture: the finding, what is plotted, and where the data come from."""

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


def vega_config(inks: ThemeColours) -> Any:
    """The Vega-Lite configuration of a theme."""
    axis = {
        "labelColor": inks.muted, "titleColor": inks.muted, "domainColor": inks.muted, "tickColor": inks.muted,
        "gridColor": inks.grid, "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal",
        "titlePadding": 6, "tickSize": 4, "domainWidth": 0.75, "tickWidth": 0.75, "gridWidth": 0.75,
    }  # fmt: skip
    title = {
        "anchor": "start", "color": inks.ink, "subtitleColor": inks.muted, "fontWeight": "bold", "fontSize": 12,
        "subtitleFontSize": 11, "subtitlePadding": 3, "offset": 8,
    }  # fmt: skip
    return {
        "background": inks.background,
        "font": FONT,
        "padding": 8,
        "view": {"stroke": None},
        "axis": axis,
        "title": title,
        "legend": {"labelColor": inks.ink, "titleColor": inks.muted, "labelFontSize": 11, "titleFontSize": 11,
                   "titleFontWeight": "normal", "labelLimit": 320},
        "header": {"labelColor": inks.ink, "titleColor": inks.muted},
        "text": {"fontSize": 11, "color": inks.ink},
        "range": {"heatmap": list(inks.cells), "category": list(MODEL_COLOURS)},
        "style": {
            "ink": {"color": inks.ink, "fill": inks.ink},
            "ink-line": {"color": inks.ink, "stroke": inks.ink},
            "muted": {"color": inks.muted, "fill": inks.muted},
            "muted-line": {"color": inks.muted, "stroke": inks.muted},
            "band": {"color": inks.band, "fill": inks.band},
            "hollow": {"fill": inks.background},
            "on-low": {"color": inks.on_low, "fill": inks.on_low},
            "on-high": {"color": inks.on_high, "fill": inks.on_high},
            "source": {"fill": inks.muted, "fontSize": 10, "fontWeight": "normal"},
        },
    }  # fmt: skip


@alt.theme.register("failmodes", enable=True)
def light() -> alt.theme.ThemeConfig:
    """The light theme; importing this module switches it on."""
    return alt.theme.ThemeConfig(config=vega_config(LIGHT))


@alt.theme.register("failmodes_dark", enable=False)
def dark() -> alt.theme.ThemeConfig:
    """The dark theme."""
    return alt.theme.ThemeConfig(config=vega_config(DARK))


def with_dark_colours(specification: str) -> str:
    """A chart as JSON with the colours that a dark page needs."""
    for light_colour, dark_colour in DARK_COLOURS.items():
        specification = specification.replace(light_colour, dark_colour)
    return specification


THEMES = {"light": "failmodes", "dark": "failmodes_dark"}


def add_text(parts: Sequence[Any], words: ChartText, layout: ChartSize) -> alt.VConcatChart:
    """Put the finding and subtitle above a picture and its source below, broken to the layout's width.

    The unbroken words also travel as `usermeta`, from which the report sets them in HTML.

    Args:
        parts: what stands one above the other, such as a key and a picture; the last has no title of its own.
        words: finding, subtitle and source.
        layout: page or paper.
    """
    # set in place: every copy of a nested chart costs Altair most of a second
    parts[-1].title = alt.Title(
        _broken(words.source, layout.width_px, 10), orient="bottom", anchor="start", offset=12, fontSize=10,
        fontWeight="normal", style="source",
    )  # fmt: skip
    head = alt.Title(
        _broken(words.finding, layout.width_px, layout.title_px * 1.08),
        subtitle=_broken(words.subtitle, layout.width_px, layout.text_px),
        anchor="start", fontSize=layout.title_px, subtitleFontSize=layout.text_px, subtitlePadding=6, offset=14,
    )  # fmt: skip
    return alt.vconcat(*parts, spacing=10, title=head, usermeta=words._asdict())


def _broken(text: str, width_px: float, font_px: float) -> list[str]:
    letters = max(20, int(width_px / (font_px * TEXT_LETTER_SHARE)))
    return textwrap.wrap(text, letters, break_long_words=False, break_on_hyphens=False) or [""]
