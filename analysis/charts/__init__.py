"""Charts by name: each takes the warehouse and a selection, and its title states the finding."""

from typing import Protocol

import altair as alt
import duckdb

from analysis.charts import attention, calibration, curves, drops, exemplars, onset, shapes
from analysis.charts.saving import save_chart
from analysis.selection import Selection
from analysis.theme import Layout

__all__ = ["CHARTS", "MakeChart", "save_chart"]


class MakeChart(Protocol):
    """A function that draws one kind of chart."""

    def __call__(
        self, con: duckdb.DuckDBPyConnection, selection: Selection, *, layout: Layout = ...
    ) -> alt.VConcatChart:
        """Draw the selection."""


CHARTS: dict[str, MakeChart] = {
    "curves": curves.chart,
    "drops": drops.chart,
    "shapes": shapes.chart,
    "attention": attention.chart,
    "exemplars": exemplars.chart,
    "onset": onset.chart,
    "calibration": calibration.chart,
}
