"""Charts by name: what each is drawn from, and a title that states the finding."""

from typing import Protocol

import altair as alt
import duckdb

from analysis.charts import attention, calibration, contact_sheet, curves, distortion, drops, exemplars, onset, shapes
from analysis.charts.saving import save_chart
from analysis.pictures import Corrupting
from analysis.selection import Selection
from analysis.theme import Layout

__all__ = ["CHARTS", "IMAGE_CHARTS", "DrawCorrupted", "MakeChart", "save_chart"]


class MakeChart(Protocol):
    """A function that draws one kind of chart from a warehouse."""

    def __call__(
        self, con: duckdb.DuckDBPyConnection, selection: Selection, *, layout: Layout = ...
    ) -> alt.VConcatChart:
        """Draw the selection."""


class DrawCorrupted(Protocol):
    """A function that draws one kind of chart from images that it corrupts itself."""

    def __call__(self, corrupting: Corrupting, *, layout: Layout = ...) -> alt.VConcatChart:
        """Corrupt and draw."""


CHARTS: dict[str, MakeChart] = {
    "curves": curves.chart,
    "drops": drops.chart,
    "shapes": shapes.chart,
    "attention": attention.chart,
    "exemplars": exemplars.chart,
    "onset": onset.chart,
    "calibration": calibration.chart,
    "distortion": distortion.chart,
}
IMAGE_CHARTS: dict[str, DrawCorrupted] = {
    "contact-sheet": contact_sheet.chart,
    "distortion": distortion.chart_of_images,
}
