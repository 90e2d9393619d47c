"""How high a chart will be before it is drawn: what is stacked in it, and about how much stands around that."""

from typing import Any, NamedTuple

import altair as alt

LEADING_PX = 2  # between lines of text
PADDING_PX = 16  # of the whole chart, above and below
USUAL_SPACING_PX = 20.0  # Vega-Lite's
LOWEST_PLOT_PX = 40  # most legends and running texts are lower
NAME_PX, TEXT_PX, TICKS_PX, AXIS_NAME_PX = 12, 11, 18, 17  # a panel's name, a text above it, an axis beneath it


class StackedHeight(NamedTuple):
    """How high what stands upon each other in a chart is, in pixels."""

    plots_px: float  # which a page can make lower
    text_px: float  # titles of several lines, legends and running text

    @property
    def px(self) -> float:
        """Of all of it."""
        return self.plots_px + self.text_px


def stacked_height(chart: Any) -> StackedHeight:
    """How high what stands upon each other in a chart is: plots, and titles of several lines."""
    if isinstance(chart, alt.VConcatChart):
        parts = [stacked_height(part) for part in chart.vconcat]
    elif isinstance(chart, alt.ConcatChart):
        parts = [max(map(stacked_height, row), key=lambda part: part.px) for row in _rows(chart)]
    else:
        height = _number(chart.height)
        parts = [StackedHeight(height, 0) if height >= LOWEST_PLOT_PX else StackedHeight(0, height)]
    title = _lines_height(chart.title) if isinstance(chart.title, alt.Title) else 0
    return StackedHeight(sum(part.plots_px for part in parts), sum(part.text_px for part in parts) + title)


def height_around(chart: alt.VConcatChart) -> float:
    """About how many pixels of a drawn chart's height are not of its stacked height; within a tenth of its height."""
    return PADDING_PX + _between(chart) - stacked_height(chart).px


def _between(chart: Any) -> float:
    """The stacked height with what is between its parts."""
    if isinstance(chart, alt.VConcatChart):
        parts = [_between(part) for part in chart.vconcat]
    elif isinstance(chart, alt.ConcatChart):
        parts = [max(map(_between, row)) for row in _rows(chart)]
    else:
        parts = [_number(chart.height) + _above_and_beneath(chart)]
    height = sum(parts) + (len(parts) - 1) * _row_spacing(chart)
    if isinstance(chart.title, alt.Title):
        height += _lines_height(chart.title) or NAME_PX
        height += _number(chart.title.offset) + _number(chart.title.subtitlePadding)
    return height


def _above_and_beneath(plot: Any) -> float:
    """Texts that stand above a plot, and its horizontal axis."""
    above = beneath = 0.0
    for layer in plot.layer if isinstance(plot, alt.LayerChart) else [plot]:
        x, y = _channel(layer.encoding, "x"), _channel(layer.encoding, "y")
        if _number(y.get("value")) < 0:
            above = max(above, TEXT_PX - y["value"])
        axis = x.get("axis", {})
        if "field" in x and axis is not None and axis.get("labels") is not False:
            beneath = max(beneath, TICKS_PX + AXIS_NAME_PX * bool(x.get("title") or axis.get("title")))
    return above + beneath


def _channel(encoding: Any, name: str) -> dict[str, Any]:
    """A channel of a plot as it is given to Vega-Lite; empty where the plot has none."""
    channel = encoding._kwds.get(name) if isinstance(encoding, alt.SchemaBase) else None
    if isinstance(channel, alt.SchemaBase):
        channel = channel.to_dict(validate=False, context={})
    return channel if isinstance(channel, dict) else {}


def _rows(grid: Any) -> list[list[Any]]:
    return [grid.concat[left : left + grid.columns] for left in range(0, len(grid.concat), grid.columns)]


def _row_spacing(chart: Any) -> float:
    """Pixels between parts that stand upon each other."""
    spacing = getattr(chart, "spacing", 0)
    given = spacing.get("row") if isinstance(spacing, dict) else spacing
    return float(given) if isinstance(given, int | float) else USUAL_SPACING_PX


def _lines_height(title: Any) -> float:
    """How high the lines of a title are, and those beneath it, where they were wrapped to a width."""
    height = 0.0
    for lines, font_px in ((title.text, title.fontSize), (title.subtitle, title.subtitleFontSize)):
        if isinstance(lines, list) and isinstance(font_px, int | float):
            height += len(lines) * (font_px + LEADING_PX)
    return height


def _number(value: Any) -> float:
    """A number of a chart; nothing where it is left to Vega-Lite."""
    return float(value) if isinstance(value, int | float) else 0.0
