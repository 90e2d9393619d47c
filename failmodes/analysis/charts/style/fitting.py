"""Figures of a stated width: the layout that suits it, and plots such that all of it is that wide and fits a page."""

import re
from collections.abc import Callable

import altair as alt

from failmodes.analysis.charts.style.saving import drawing, with_theme
from failmodes.analysis.charts.style.stacking import StackedHeight, height_around, stacked_height
from failmodes.analysis.charts.style.theme import CHART_SIZES, ChartSize
from failmodes.warehouse.errors import StudyError

MM = {"mm": 1.0, "cm": 10.0, "in": 25.4, "px": 25.4 / 96, "pt": 25.4 / 72}
LAYOUT_MM = {"page": 180.0, "paper": 85.0}
NARROWEST_MM, WIDEST_MM, TALLEST_MM = 60, 600, 240
PAGE_FROM_MM = 130  # from here on panels stand side by side as on a page
TEXT_PX, TITLE_PX = 11, 12  # 8 and 9 points
WIDER, NARROWER = 0.02, 0.04  # of the width: what is over or left is scaled, text with it
AIM = 0.985  # of the height: a heading of a narrower chart may have one more line
NEEDLESSLY_LOW = 0.94  # of the height: plots that were lowered to this could be higher
LOWEST_SHARE = 0.3
MOST_DRAWN, MOST_BUILT = 3, 3  # drawing takes five times as long as putting a chart together


def figure_width_mm(layout: str, width: str | None = None) -> float:
    """Width on paper in mm: as given, such as "85mm" (or cm, in, px of 1/96 inch, pt), else that of the layout.

    Raises:
        StudyError: an unknown layout, or not a width between 60 and 600 mm.
    """
    if layout not in CHART_SIZES:
        raise StudyError(f"no layout {layout!r}: choose {' or '.join(CHART_SIZES)}")
    if width is None:
        return LAYOUT_MM[layout]
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?(mm|cm|in|px|pt)", width.strip())
    if not found:
        raise StudyError(f"no width {width!r}: give a number and one of {', '.join(MM)}, such as 85mm")
    width_mm = float(found[1]) * MM[found[2]]
    if not NARROWEST_MM <= width_mm <= WIDEST_MM:
        raise StudyError(f"width {width!r} is not between {NARROWEST_MM}mm and {WIDEST_MM}mm: 85mm is a column")
    return width_mm


def fitted(draw: Callable[[ChartSize], alt.VConcatChart], width_mm: float) -> alt.VConcatChart:
    """The chart that `draw` makes of a size, drawn so that all of it is about `width_mm` wide.

    Plots get lower where the chart were else taller than 240 mm, up to what can still be read. How much stands around
    them is estimated, and known once a chart was drawn: the next one is then put together to fit, and drawn to see it.
    """
    target, tallest = (mm / MM["px"] for mm in (width_mm, TALLEST_MM))
    columns = CHART_SIZES["page" if width_mm >= PAGE_FROM_MM else "paper"].columns
    size = ChartSize(target, columns, TEXT_PX, TITLE_PX)
    chart = draw(size)
    stacked, around = stacked_height(chart), height_around(chart)
    if stacked.px + around > tallest:
        size, chart = _of_height(draw, size, stacked, AIM * tallest - around)
    tried: list[tuple[bool, float, bool, float, int, alt.VConcatChart]] = []
    while True:
        _, wide, high = drawing(with_theme(chart))
        over = wide - target
        is_close = -NARROWER * target <= over <= WIDER * target
        page = tallest * (wide / target if is_close else AIM)  # in pixels of this drawing, or of the next
        is_low = size.height_share < 1 and high < NEEDLESSLY_LOW * page
        fits = high <= page or size.height_share <= LOWEST_SHARE
        tried.append((not is_close, max(0.0, high - page), is_low, abs(over), len(tried), chart))
        if is_close and fits and not is_low or len(tried) == MOST_DRAWN:
            return min(tried)[-1]
        if not is_close:
            size = size._replace(width_px=max(size.width_px - over, target / 2))
        if fits and not is_low:
            chart = draw(size)
        else:
            stacked = stacked_height(chart)
            space = AIM * tallest * (wide / target if is_close else 1) - (high - stacked.px)
            size, chart = _of_height(draw, size, stacked, space)


def _of_height(
    draw: Callable[[ChartSize], alt.VConcatChart], size: ChartSize, stacked: StackedHeight, space: float
) -> tuple[ChartSize, alt.VConcatChart]:
    """The chart whose stacked height is about `space` pixels and no more, or as low as it gets; and its size.

    Args:
        draw: makes the chart of a size.
        size: of the chart before, but for its width.
        stacked: height of the chart before.
        space: how high the next may be.
    """
    slope = stacked.plots_px / size.height_share  # at first as if all plots got lower or higher; then as they did
    for _ in range(MOST_BUILT):
        share = min(1.0, size.height_share - (stacked.px - space) / slope) if slope > 0 else LOWEST_SHARE
        share = max(LOWEST_SHARE, share)
        chart = draw(size._replace(height_share=share))
        new = stacked_height(chart)
        if share != size.height_share:
            slope = (stacked.px - new.px) / (size.height_share - share)
        size, stacked = size._replace(height_share=share), new
        if stacked.px <= space + 1 or share == LOWEST_SHARE:
            break
    return size, chart
