"""The frame of a chart (width and panels), and shared axes, legends and labels."""

import json
import math
import re
import string
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import polars as pl
from numpy.typing import NDArray

from failmodes.analysis.charts.style.theme import GRAY, LABEL_PX, MID_GRAY, PANEL_TITLE_PX, RAMP, TITLE_PX
from failmodes.analysis.render.formatting import format_severity, valid_in_xml
from failmodes.runtime.errors import StudyError

MM = {"mm": 1.0, "cm": 10.0, "in": 25.4, "px": 25.4 / 96, "pt": 25.4 / 72}
MIN_WIDTH_MM, MAX_WIDTH_MM, MAX_HEIGHT_MM = 60, 600, 240
PAPER_HEIGHT_MM = 120  # of a figure of a paper
PAPER_TITLE_PT = 7  # the largest text of a paper's figure; the others are 6.4 and 5.8 points
WIDE_FROM_PX = 490  # from this width on (130 mm on a page), panels are arranged as on a page
PADDING_PX = 5  # around the whole chart
AXIS_PX, PLAIN_AXIS_PX = 51, 44  # width of a vertical axis with title, of panels and of a single plot
EXTENT_PX = 32  # width of its labels and ticks
HEAD_PX, NARROW_HEAD_PX, PAPER_HEAD_PX = 180, 330, 80  # height of texts and x axis; without title and caption
PANEL_HEAD_PX = 34  # height of a panel's title and of the gap to the next row
GAP_PX, SYMBOL_PX = 12, 34  # between plots; symbol of a legend entry
MIN_HEIGHT_PX, TALL_PX = 44, 75  # minimum height of a plot; height for five ticks
FADED = 0.15
POINTS: dict[str, Any] = {"symbolType": "circle", "symbolSize": 50, "symbolStrokeWidth": 0}  # legend of points
SYMBOLS: dict[str, Any] = {  # second legend, below the plot
    "orient": "bottom",
    "symbolType": alt.Undefined,
    "symbolSize": 50,
    "symbolStrokeWidth": 0,
    "symbolFillColor": MID_GRAY,
}
RUNNING_LETTER_SHARE = 0.47  # average character width in font sizes
WIDE_CHARACTERS, SLIM_CHARACTERS = frozenset("%@mw"), frozenset(" .,:;'|()[]ijltfr")
PERCENT = "format(100 * datum.value, '.3~g') + '%'"  # a share 0-1 on an axis
_LINE_SEPARATORS = str.maketrans("\u2028\u2029", "  ")
_ENDS_SCRIPT = re.compile("<(?=[/!])")
FEW_LEVELS, MANY = 11, 8  # of severities and panels


class Panels(NamedTuple):
    """A grid of equal plots.

    Attributes:
        columns: number of columns.
        rows: number of rows.
        width: of each plot, in pixels.
        right_px: free space right of each.
        space: total height of all rows, in pixels.
        part: of the frame.
        has_letters: of the frame.
    """

    columns: int
    rows: int
    width: float
    right_px: float = 0
    space: float = math.inf
    part: int = 0
    has_letters: bool = False

    def height(self, usual_px: float, around_px: float = PANEL_HEAD_PX) -> float:
        """Height of a plot, at most `usual_px`, so that all rows fit on a page of 240 mm.

        Args:
            usual_px: preferred height.
            around_px: space of each row above and below its plots.
        """
        return min(usual_px, max(MIN_HEIGHT_PX, self.space / self.rows - around_px))


class Frame(NamedTuple):
    """The width of a chart.

    Attributes:
        width_px: width in which it is laid out, in CSS pixels (96 per inch).
        part: number of the part of a split chart, whose views and selections need unique names.
        scale: what the whole chart, texts included, is scaled by in a file: below 1 for a paper.
        has_letters: begin the title of each panel with a letter: a, b, c.
    """

    width_px: float
    part: int = 0
    scale: float = 1.0
    has_letters: bool = False

    @property
    def is_wide(self) -> bool:
        """Whether several plots, or titles left of images, fit side by side."""
        return self.width_px >= WIDE_FROM_PX

    @property
    def is_paper(self) -> bool:
        """Whether it is a figure of a paper: small texts, and title and caption in the text of the paper."""
        return self.scale < 1

    @property
    def width_mm(self) -> float:
        """Width of a file in mm."""
        return self.width_px * self.scale * MM["px"]

    @property
    def height_px(self) -> float:
        """Space for the panels of a chart, in pixels of the layout."""
        if self.is_paper:
            return PAPER_HEIGHT_MM / MM["px"] / self.scale - PAPER_HEAD_PX
        return MAX_HEIGHT_MM / MM["px"] - (HEAD_PX if self.is_wide else NARROW_HEAD_PX)

    def panels(self, count: int, most: int, *, left_px: float = AXIS_PX, right_px: float = 4) -> Panels:
        """The most even grid of `count` panels.

        Args:
            count: number of panels.
            most: columns of a wide frame; a narrow one has half as many, or one more for many panels or on paper.
            left_px: width of the axis left of a row.
            right_px: space right of each panel.
        """
        if not self.is_wide:
            most = (most + 1) // 2 if self.is_paper else max(1, most // 2 + (count > MANY and most > 2))
        rows = -(-max(1, count) // most)
        columns = -(-max(1, count) // rows)
        space = self.width_px - 2 * PADDING_PX - left_px - columns * right_px - (columns - 1) * GAP_PX
        return Panels(columns, rows, space / columns, right_px, self.height_px, self.part, self.has_letters)


def _paper(width_mm: float) -> Frame:
    """A figure of a paper of this width."""
    scale = PAPER_TITLE_PT * MM["pt"] / (TITLE_PX * MM["px"])
    return Frame(width_mm / MM["px"] / scale, scale=scale)


PAGE, PAPER = Frame(180 / MM["px"]), _paper(85)
FRAMES = {"page": PAGE, "paper": PAPER}


def frame_of(layout: str, width: str | None = None, *, has_letters: bool = False) -> Frame:
    """The frame of a layout, or of a width such as "85mm" (or cm, in, pt, px of 1/96 inch).

    Raises:
        StudyError: an unknown layout, or a width outside 60 to 600 mm.
    """
    if layout not in FRAMES:
        raise StudyError(f"no layout {layout!r}: choose {' or '.join(FRAMES)}")
    if width is None:
        return FRAMES[layout]._replace(has_letters=has_letters)
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?(mm|cm|in|px|pt)", width.strip())
    if not match:
        raise StudyError(f"no width {width!r}: give a number and one of {', '.join(MM)}, such as 85mm")
    width_mm = float(match[1]) * MM[match[2]]
    if not MIN_WIDTH_MM <= width_mm <= MAX_WIDTH_MM:
        raise StudyError(f"width {width!r} is not between {MIN_WIDTH_MM}mm and {MAX_WIDTH_MM}mm: a column has 85mm")
    return _paper(width_mm)._replace(has_letters=has_letters)


def small_multiples(
    layers: Sequence[alt.Chart], data: pl.DataFrame, field: str, order: Sequence[str], panels: Panels, height: float,
    *, below_px: float = 0,
) -> alt.FacetChart:  # fmt: skip
    """One panel with the same layers per value of a column, titled by the value.

    Args:
        layers: charts without data.
        data: all rows.
        field: the column of panels.
        order: its values in the order of panels.
        panels: the grid.
        height: of a plot, in pixels.
        below_px: space below each plot, such as for an axis of its own.
    """
    named = [layer.properties(name=f"part_{panels.part}_layer_{place}_view") for place, layer in enumerate(layers)]
    width = panels.width + panels.right_px
    titles = ((drawable(name), lettered(drawable(name), place, panels)) for place, name in enumerate(order))
    lines = {name: wrapped(title, width, PANEL_TITLE_PX * 1.2) for name, title in titles}
    header = alt.Header(
        title=None, labelExpr=f"({json.dumps(lines)})[datum.value]", labelAnchor="start", labelLimit=width,
        labelPadding=4, labelFontWeight="bold", labelFontSize=PANEL_TITLE_PX,
    )  # fmt: skip
    layered = alt.layer(*named, data=data, width=panels.width, height=height)
    spacing = {"row": GAP_PX + 4 + below_px, "column": GAP_PX}
    facet = alt.Facet(f"{field}:N", title=None, sort=list(order), header=header)
    made: alt.FacetChart = layered.facet(facet, columns=panels.columns, spacing=spacing)
    return made


def lettered(title: str, place: int, of: Frame | Panels) -> str:
    """The title of a panel with its letter, if the frame has letters: a to z, then aa."""
    if not of.has_letters:
        return title
    return (
        f"{string.ascii_lowercase[place // 26 - 1] if place >= 26 else ''}{string.ascii_lowercase[place % 26]}  {title}"
    )


def drawable(text: str) -> str:
    """A text that every format of a chart can hold.

    The renderer of SVG, PNG and PDF aborts the process at a character that XML forbids: U+FFFD replaces it. Altair puts
    specifications into an HTML <script> unescaped, where a label `</script>` or `<!--` would end it: a zero-width space
    (U+200B) after such a `<` prevents this. Vega cannot parse line and paragraph separators: they become spaces.
    """
    return _ENDS_SCRIPT.sub("<\u200b", valid_in_xml(text).translate(_LINE_SEPARATORS))


def once() -> alt.Chart:
    """The base of a mark that is drawn once per panel."""
    return alt.Chart().transform_aggregate(row_count="count()")


def rule_at(value: float, channel: str = "y", **look: Any) -> alt.Chart:
    """A thin line across a panel at a value of the y (or x) axis."""
    made: alt.Chart = once().mark_rule(**{"style": "muted-line", "strokeDash": [4, 3]} | look)
    return made.encode(**{channel: alt.datum(value)})


def diagonal(low: float, high: float) -> alt.Chart:
    """A dashed line on which x and y are the same."""
    made: alt.Chart = once().mark_rule(style="muted-line", strokeDash=[4, 3])
    return made.encode(x=alt.datum(low), x2=alt.datum(high), y=alt.datum(low), y2=alt.datum(high))


def fixed_scale(low: float, high: float) -> alt.Scale:
    """A linear scale over exactly this domain."""
    return alt.Scale(domain=[low, high], nice=False, zero=False)


def domain_of(values: Sequence[float | None], room: float = 0.08) -> tuple[float, float]:
    """The ends of an axis: the range of values, extended by this share on both sides."""
    known = [value for value in values if value is not None]
    pad = room * (max(known) - min(known))
    return min(known) - pad, max(known) + pad


def share_floor(lowest: float) -> float:
    """Start of an axis of shares: 0, or the tenth below the lowest value if that is high."""
    return 0.0 if lowest < 0.4 else int(lowest * 10 - 0.25) / 10


def y_axis(height: float = TALL_PX, **options: Any) -> alt.Axis:
    """A vertical axis of fixed width, so that the width of a chart is known.

    Args:
        height: of the plot in pixels; a low plot has fewer ticks.
        options: of `alt.Axis`.
    """
    ticks = 5 if height >= TALL_PX else 3
    return alt.Axis(
        **{"minExtent": EXTENT_PX, "maxExtent": EXTENT_PX, "domain": False, "grid": True, "tickCount": ticks} | options
    )


def name_axis(width_px: float, **options: Any) -> alt.Axis:
    """A vertical axis of names, exactly this wide."""
    return alt.Axis(**{"domain": False, "ticks": False, "minExtent": width_px, "maxExtent": width_px} | options)


def percent_axis(height: float = TALL_PX, **options: Any) -> alt.Axis:
    """A vertical axis of shares 0-1 as percentages (see `y_axis`)."""
    return y_axis(height, labelExpr=PERCENT, **options)


def severity_axis(last: float, field: str = "severity", title: str | None = "severity", *, first: float = 0) -> alt.X:
    """The x channel of severity: from clean (or the first level) to the last, with ticks at whole severities."""
    whole = [float(level) for level in range(math.ceil(first), int(last) + 1)]
    ticks = evenly_spaced(whole, FEW_LEVELS) if last >= 1 else [0.0, last]
    axis = alt.Axis(values=ticks, grid=False, format="~g", labelFlush=False)
    return alt.X(f"{field}:Q", title=title, scale=fixed_scale(first if last > first else 0, last), axis=axis)


def severity_series(rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
    """Rows of clean and at most five severities with their `series`, and a color by series.

    Clean is gray; higher severities are darker. From a dense grid, severities are evenly spaced.
    """
    shown = evenly_spaced(sorted(set(rows["severity"]) - {0.0}), len(RAMP))
    shades = [RAMP[round(place / max(1, len(shown) - 1) * (len(RAMP) - 1))] for place in range(len(shown))]
    names = {severity: format_severity(severity) for severity in (0.0, *shown)}
    series = pl.col("severity").replace_strict(names, return_dtype=pl.String)
    kept = rows.filter(pl.col("severity").is_in(list(names))).with_columns(series=series)
    return kept, dict(zip(names.values(), (GRAY, *shades), strict=True))


def severity_phrase(rows: pl.DataFrame, colors: dict[str, str]) -> str:
    """Text such as "by severity (6 of 21 levels)"; `rows` has all levels, `colors` those drawn."""
    count = rows["severity"].n_unique()
    return "by severity" if len(colors) >= count else f"by severity ({len(colors)} of {count} levels)"


def severity_color(colors: dict[str, str], frame: Frame) -> alt.Color:
    """The color channel of `severity_series`, with its legend."""
    return series_color(colors, frame, title="severity", titleOrient="left")


def point_size(rows: pl.DataFrame) -> int:
    """Area of the points on a line over severity: small on a dense grid."""
    return 18 if rows["severity"].n_unique() <= FEW_LEVELS else 4


def series_color(colors: Mapping[str, str], frame: Frame, field: str = "series", **legend: Any) -> alt.Color:
    """The color channel of series, with a legend above unless there is a single series; `colors` are by name."""
    shown = top_legend(list(colors), frame, **legend) if len(colors) > 1 else None
    scale = alt.Scale(domain=list(colors), range=list(colors.values()))
    return alt.Color(f"{field}:N", title=None, scale=scale, legend=shown)


def top_legend(labels: Sequence[str], frame: Frame, **options: Any) -> alt.Legend:
    """A legend above the panels, in as many columns as fit."""
    width = frame.width_px - AXIS_PX - 2 * PADDING_PX
    longest = max((text_width(label) for label in labels), default=0) + SYMBOL_PX
    columns = max(1, min(len(labels), int(width / longest)))
    look: dict[str, Any] = {
        "orient": "top", "columns": columns, "labelLimit": width - SYMBOL_PX, "symbolType": "stroke", "symbolSize": 220,
        "symbolStrokeWidth": 2.5, "symbolOpacity": 1,
    }  # fmt: skip
    return alt.Legend(**look | options)


def focus_on(field: str, frame: Frame) -> alt.Parameter:
    """A selection of what is under the pointer, by a column; all else fades (see `faded`)."""
    return alt.selection_point(name=f"focus_{frame.part}", fields=[field], on="pointerover", clear="pointerout")


def faded(focus: alt.Parameter) -> Any:
    """The opacity of a layer that fades while something else is selected."""
    return alt.when(focus).then(alt.value(1)).otherwise(alt.value(FADED))


def interval_tips(column: str, form: str, title: str, low: str = "low", high: str = "high") -> list[alt.Tooltip]:
    """Tooltips of a value and the ends of its interval."""
    columns = {column: title, low: "from", high: "to"}
    return [alt.Tooltip(f"{name}:Q", format=form, title=text) for name, text in columns.items()]


def text_width(text: str, font_px: float = LABEL_PX) -> float:
    """Approximate width of a text, in pixels."""
    wide, slim = (sum(map(letters.__contains__, text)) for letters in (WIDE_CHARACTERS, SLIM_CHARACTERS))
    wide += sum(map(str.isupper, text))
    return font_px * (0.72 * wide + 0.28 * slim + 0.55 * (len(text) - wide - slim))


def end_of(text: str, width_px: float, font_px: float) -> str:
    """The end of a text that fits `width_px`: a file name differs from its neighbors there."""
    start = next(start for start in range(len(text) + 1) if text_width(text[start:], font_px) <= width_px - font_px)
    return f"\N{HORIZONTAL ELLIPSIS}{text[start:]}" if start else text


def wrapped(text: str, width_px: float, font_px: float) -> list[str]:
    """The lines of a text wrapped at `width_px`."""
    letters = max(8, int(width_px / (font_px * RUNNING_LETTER_SHARE)))
    return textwrap.wrap(text, letters, break_long_words=False, break_on_hyphens=False) or [""]


def evenly_spaced(items: Sequence[Any], space: int) -> list[Any]:
    """At most `space` items: the first, the last, and evenly spaced ones between."""
    if len(items) <= space:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, space).round().astype(int)]


def spread_apart(values: Sequence[float], gap: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """Move values by the least sum of squares so that neighbors are at least `gap` apart, keeping their order.

    They are then moved between `low` and `high`.
    """
    from scipy.optimize import isotonic_regression  # here: it takes .3 s, and charts without such labels do without

    steps = gap * np.arange(len(values))
    order = np.argsort(values, kind="stable")
    separated = isotonic_regression(np.asarray(values)[order] - steps).x + steps
    spread = np.empty(len(values))
    spread[order] = np.clip(separated, low + steps, high - steps[::-1])
    return [float(value) for value in spread]


class PlotAxis(NamedTuple):
    """One axis of a plot: its column, domain, and length in pixels."""

    field: str
    low: float
    high: float
    length_px: float

    def pixels(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        """Positions of rows, from the low end."""
        places: NDArray[np.float64] = rows[self.field].cast(pl.Float64).to_numpy()
        return (places - self.low) / (self.high - self.low) * self.length_px


def without_overlap(points: pl.DataFrame, x: PlotAxis, y: PlotAxis) -> pl.DataFrame:
    """The points whose names, at the upper right, overlap no other name or point; the most important come first.

    Args:
        points: all points with their `name`, most important first; those with a null name are not named.
        x: the horizontal axis.
        y: the vertical axis.
    """
    left = x.pixels(points)
    up = y.pixels(points)
    right = left + 10 + np.array([text_width(name or "") for name in points["name"]])
    kept: list[int] = []
    for place, name in enumerate(points["name"]):
        beside = np.array([k for k in kept if abs(up[k] - up[place]) < LABEL_PX], np.int64)
        runs_in = (left[beside] < right[place]) & (right[beside] > left[place])
        above = up - up[place]
        is_hit = (left > left[place] + 1) & (left < right[place] + 4) & (above > -3) & (above < LABEL_PX + 5)
        if name is not None and not is_hit.any() and not runs_in.any() and right[place] < x.length_px:
            kept.append(place)
    return points[kept]
