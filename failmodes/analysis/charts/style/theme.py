"""Colors, font sizes and Vega configuration of all charts, light and dark, and of the pages around them.

Each color has one meaning:

- a model: blue, vermillion, green, pink (Okabe and Ito), by its place in the study, with a dash each; the baseline that
  a study names is dark gray; of more than four others, only those with the highest and lowest mean accuracy have a
  color, and the rest are gray;
- a corruption group: noise gold, blur teal, weather dark red, digital slate; corruptions of a group differ by dash;
- a severity: red to dark violet, clean gray; a drop or a share: violet; darker is more, in the dark theme lighter;
- everything else is gray: shapes have symbols and labels, scores symbols and dashes, verdicts light and dark gray,
  predictions a tick (correct) or a cross (incorrect), metrics their axis.

Lines and points have a contrast of 3 with the page, text 4.5 (WCAG AA); where a color has less, text has its darker
shade. Colors of one kind are distinct for color-blind readers, and in grayscale by dash, symbol or lightness.

Charts contain no colors of one theme: marks use a style ("ink", "muted") or a color that DARK_COLORS replaces, so the
report can draw the same chart in either theme.
"""

from typing import Any, NamedTuple

from failmodes.runtime.errors import StudyError

FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"

# Okabe and Ito's palette, safe for color blindness
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
GRAY = "#8C8C8C"  # other models; not supported
BASELINE_GRAY = "#4a4f57"  # the model that a study names as its baseline
DARK_GRAY, MID_GRAY = "#2b2f36", "#6b7280"  # everything else

MODEL_COLORS = (BLUE, VERMILLION, GREEN, PURPLE)
MODEL_DASHES: dict[str, list[int]] = dict(zip((*MODEL_COLORS, BASELINE_GRAY),
                        ([1, 0], [5, 2], [2, 2], [7, 2, 2, 2], [12, 2, 2, 2, 2, 2]), strict=True))  # fmt: skip
GROUPS = ("noise", "blur", "weather", "digital")  # groups of corruptions, in order of publication
GROUP_COLORS: dict[str, str] = dict(zip(GROUPS, ("#8a6d00", "#0d8080", "#7d1128", "#33415c"), strict=True))
RAMP = ("#f94642", "#c92a6f", "#961a8c", "#5b1488", "#23084f")  # severities, first to last; clean is gray
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
# Font sizes in CSS pixels (96 per inch): 7.5 to 9 pt on paper
TITLE_PX, PANEL_TITLE_PX, LABEL_PX, SOURCE_PX = 12, 11, 11, 10
# Those of the report and the page around charts: variables of style sheets, such as var(--size-small)
PAGE_SIZES = {"title": "1.7rem", "section": "1.35rem", "heading": "1.08rem", "item": "0.92rem", "small": "0.84rem"}

# The dark theme replaces each color by another shade of its hue; no replacement is itself a key.
DARK_COLORS = {
    BLUE: "#4ba6e3", VERMILLION: "#f07f3c", GREEN: "#1fd3a0", PURPLE: "#e8a9cc",
    GRAY: "#a2a5ab", BASELINE_GRAY: "#e0e3e8", DARK_GRAY: "#e3e5ea", MID_GRAY: "#9ca3b0",
    "#b84f00": "#f07f3c", "#007a58": "#1fd3a0", "#a8487f": "#e8a9cc",
    "#8a6d00": "#e6cf6a", "#0d8080": "#2fa7b0", "#7d1128": "#e0566f", "#33415c": "#c4d4d4",
    "#f94642": "#773bf1", "#c92a6f": "#bb63f5", "#961a8c": "#ec8bf8", "#5b1488": "#fcb4f0", "#23084f": "#ffdff0",
}  # fmt: skip


class ThemeColors(NamedTuple):
    """The colors that differ between light and dark."""

    background: str
    ink: str
    muted: str
    grid: str
    band: str
    cells: tuple[str, ...]  # sequential, low to high
    on_low: str
    on_high: str
    rule: str
    wash: str
    accent: str


# Black and white are both legible on the middle color only: there the text color of a cell changes.
_CELLS = ("#f7f4fb", "#8562c8", "#2b1459")
_DARK_CELLS = ("#22252c", "#8562c8", "#e4d9fb")
LIGHT = ThemeColors(
    "#ffffff", "#1b1b1f", "#5c6068", "#e8e8ea", "#dcdce0", _CELLS, "#000000", "#ffffff", "#dfe1e5", "#f6f6f8", "#0067a3"
)
DARK = ThemeColors(
    "#16181d",
    "#ececef",
    "#a6abb5",
    "#2c3038",
    "#3a3f49",
    _DARK_CELLS,
    "#ffffff",
    "#000000",
    "#343943",
    "#1e2127",
    "#6bb7e8",
)
THEMES = {"light": LIGHT, "dark": DARK}


def named_theme(name: str) -> ThemeColors:
    """The theme of a name.

    Raises:
        StudyError: unknown theme.
    """
    if name not in THEMES:
        raise StudyError(f"no theme {name!r}: choose {' or '.join(THEMES)}")
    return THEMES[name]


def page_variables() -> str:
    """Font sizes and colors of pages, light and dark, as CSS."""
    sizes = "".join(f"--size-{name}: {size}; " for name, size in PAGE_SIZES.items())
    light, dark = (
        f":root {{ --paper: {theme.background}; --ink: {theme.ink}; --muted: {theme.muted}; --rule: {theme.rule}; "
        f"--wash: {theme.wash}; --accent: {theme.accent}; --heat: {VERMILLION}; }}"
        for theme in (LIGHT, DARK)
    )
    return f":root {{ {sizes}}}\n{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n"


def vega_config(colors: ThemeColors) -> Any:
    """The Vega-Lite configuration of a theme."""
    axis = {
        **dict.fromkeys(("labelColor", "titleColor", "domainColor", "tickColor"), colors.muted),
        "gridColor": colors.grid, "labelFontSize": LABEL_PX, "titleFontSize": LABEL_PX, "titleFontWeight": "normal",
        "titlePadding": 4, "tickSize": 4, "domainWidth": 0.75, "tickWidth": 0.75, "gridWidth": 0.75,
    }  # fmt: skip
    title = {
        "anchor": "start", "color": colors.ink, "subtitleColor": colors.muted, "fontWeight": "bold",
        "fontSize": PANEL_TITLE_PX, "subtitleFontSize": LABEL_PX, "subtitlePadding": 3, "offset": 8,
    }  # fmt: skip
    fills = {"ink": colors.ink, "muted": colors.muted, "band": colors.band, "on-low": colors.on_low,
             "on-high": colors.on_high}  # fmt: skip
    strokes = {"ink-line": colors.ink, "muted-line": colors.muted}
    return {
        "background": colors.background,
        "font": FONT,
        "padding": 5,
        "view": {"stroke": None},
        "axis": axis,
        "title": title,
        "legend": {"labelColor": colors.ink, "titleColor": colors.muted, "labelFontSize": LABEL_PX,
                   "titleFontSize": LABEL_PX, "titleFontWeight": "normal", "offset": 6, "rowPadding": 2},
        "header": {"labelColor": colors.ink, "titleColor": colors.muted},
        "text": {"fontSize": LABEL_PX, "color": colors.ink},
        "range": {"heatmap": list(colors.cells), "category": list(MODEL_COLORS)},
        "style": {
            **{name: {"color": color, "fill": color} for name, color in fills.items()},
            **{name: {"color": color, "stroke": color} for name, color in strokes.items()},
            "hollow": {"fill": colors.background},
            "source": {"fill": colors.muted, "fontSize": SOURCE_PX, "fontWeight": "normal"},
        },
    }  # fmt: skip
