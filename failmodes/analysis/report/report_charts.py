"""Charts in a report: in every layout that a page may take, without theme and texts, which the page sets."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import duckdb

from failmodes.analysis.chart_registry import draw_selection
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import FRAMES
from failmodes.analysis.render.blocks import Chart
from failmodes.analysis.selection import Selection
from failmodes.warehouse.errors import WarehouseError


def draw_charts(
    con: duckdb.DuckDBPyConnection, selection: Selection, names: Iterable[str]
) -> tuple[list[Chart], list[str]]:
    """The charts of these that can be drawn, and for the others why not."""
    charts, missing = [], []
    for name in names:
        try:
            charts.append(report_chart(name, partial(draw_selection, name, con, selection)))
        except WarehouseError as error:
            missing.append(f"{name}: {error}")
    return charts, missing


def report_chart(name: str, draw: Callable[..., Figure]) -> Chart:
    """A chart in every layout of the page: `draw(frame=…)` makes it."""
    figures = {layout: draw(frame=frame) for layout, frame in FRAMES.items()}
    specs = {
        layout: replace(figure, has_title=False, has_caption=False).to_dict(has_theme=False)
        for layout, figure in figures.items()
    }
    datasets = {key: rows for spec in specs.values() for key, rows in spec.pop("datasets", {}).items()}
    for spec in specs.values():
        del spec["usermeta"]
    page = figures["page"]
    return Chart(name, page.title, page.subtitle, datasets, specs, page.source)
