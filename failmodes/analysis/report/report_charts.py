"""Charts in a report: in every layout that a page may take, without theme and texts, which the page sets."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import altair as alt
import duckdb

from failmodes.analysis.charts.drawing import CHARTS, PANEL_PER_MODEL
from failmodes.analysis.charts.style.saving import specification_of
from failmodes.analysis.charts.style.theme import CHART_SIZES
from failmodes.analysis.render.blocks import Chart
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.model_accuracy import best_and_worst, shown_phrase
from failmodes.warehouse.errors import WarehouseError


def draw_charts(
    con: duckdb.DuckDBPyConnection, selection: Selection, names: Iterable[str]
) -> tuple[list[Chart], list[str]]:
    """The charts of these that can be drawn, and for the others why not.

    Those that have a panel per model show the best and the worst of many models (see `best_and_worst`).
    """
    charts, missing = [], []
    for name in names:
        drawn = best_and_worst(con, selection) if name in PANEL_PER_MODEL else selection
        try:
            chart = report_chart(name, partial(CHARTS[name], con, drawn))
            charts.append(chart._replace(subtitle=f"{chart.subtitle} {shown_phrase(drawn)}".rstrip()))
        except WarehouseError as error:
            missing.append(f"{name}: {error}")
    return charts, missing


def report_chart(name: str, draw: Callable[..., alt.VConcatChart]) -> Chart:
    """A chart in every layout of the page: `draw(size=…)` makes it."""
    specs = {layout: _without_texts(draw(size=size)) for layout, size in CHART_SIZES.items()}
    texts = [spec.pop("usermeta") for spec in specs.values()][0]
    datasets = {key: rows for spec in specs.values() for key, rows in spec.pop("datasets", {}).items()}
    return Chart(name, texts["finding"], texts["subtitle"], datasets, specs)


def _without_texts(chart: alt.VConcatChart) -> dict[str, Any]:
    """A chart's specification without theme and without the texts that the page sets in HTML."""
    spec = specification_of(chart)
    spec.pop("config", None)
    spec.pop("title", None)
    for part in spec["vconcat"]:
        part.pop("title", None)
    return spec
