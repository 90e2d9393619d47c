"""Figures of a stated width: the layout that suits it, and plots such that all of it is that wide and fits a page."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import altair as alt

from failmodes.analysis.charts.style.saving import FORMATS, drawing, with_theme, write_themed
from failmodes.analysis.charts.style.theme import CHART_SIZES, ChartSize
from failmodes.warehouse.errors import StudyError

MM = {"mm": 1.0, "cm": 10.0, "in": 25.4, "px": 25.4 / 96, "pt": 25.4 / 72}
LAYOUT_MM = {"page": 180.0, "paper": 85.0}
NARROWEST_MM, WIDEST_MM, TALLEST_MM = 60, 600, 240
PAGE_FROM_MM = 130  # from here on panels stand side by side as on a page
TEXT_PX, TITLE_PX = 11, 12  # 8 and 9 points
CLOSE = 0.015  # of the width: what is left is scaled, text with it
LOWEST_SHARE = 0.3
STEPS = (1, 1, 0.6, 0.6, 0.6)  # what is over is taken off by this: less at last, where lines of text break anew


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

    Plots get lower where the chart were else taller than 240 mm, up to what can still be read.
    """
    target, tallest = (mm / MM["px"] for mm in (width_mm, TALLEST_MM))
    columns = CHART_SIZES["page" if width_mm >= PAGE_FROM_MM else "paper"].columns
    size = ChartSize(target, columns, TEXT_PX, TITLE_PX)
    tried: list[tuple[bool, float, int, alt.VConcatChart]] = []
    for step in STEPS:
        chart = draw(size)
        _, wide, high = drawing(with_theme(chart))
        over = wide - target
        is_too_high = high * target / wide > tallest and size.height_share > LOWEST_SHARE
        tried.append((is_too_high, abs(over), len(tried), chart))
        if abs(over) <= CLOSE * target and not is_too_high:
            break
        share = max(LOWEST_SHARE, size.height_share * (tallest / high) ** 1.5) if is_too_high else size.height_share
        size = size._replace(width_px=max(size.width_px - step * over, target / 2), height_share=share)
    return min(tried)[-1]


class FigureChart(alt.VConcatChart):
    """A chart whose files have a width on paper: `save("figure.pdf")` keeps to it."""

    _width_mm: float | None = None

    def copy(self, deep: Any = True, ignore: list[str] | None = None) -> Self:
        """A copy, which has the width too: each method of Altair that changes a chart gives one."""
        made = super().copy(deep, ignore)
        object.__setattr__(made, "_width_mm", self._width_mm)
        return made

    def save(self, fp: Any, format: Any = None, **options: Any) -> None:  # type: ignore[override] # noqa: A002
        """Write the figure; with any option of Altair's, or to an open file, as Altair does."""
        is_path = isinstance(fp, str | Path) and Path(fp).suffix.lower() in FORMATS
        if self._width_mm is None or format or options or not is_path:
            super().save(fp, format, **options)
        else:
            write_themed(alt.VConcatChart(**self._kwds), Path(fp), self._width_mm)


def as_figure(themed: alt.VConcatChart, width_mm: float) -> FigureChart:
    """The same chart, which knows its width on paper."""
    figure: FigureChart = object.__new__(FigureChart)
    for name, value in (("_args", ()), ("_kwds", dict(themed._kwds)), ("_width_mm", width_mm)):
        object.__setattr__(figure, name, value)
    return figure
