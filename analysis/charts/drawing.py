"""A chart by its name: from a warehouse or from images that it corrupts itself, as the chart and the options say.

Charts by name: what each is drawn from, and a title that states the finding.
"""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import altair as alt
import duckdb

from failmodes.analysis.charts import (
    attention,
    calibration,
    contact_sheet,
    curves,
    distortion,
    drops,
    exemplars,
    onset,
    shapes,
)
from failmodes.analysis.charts.style.theme import CHART_SIZES, ChartSize
from failmodes.analysis.formatting import join_names
from failmodes.analysis.sample_images import CorruptionRequest
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.shape_tables import ensure_shapes
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.storage.locations import default_location, find_warehouse


class ChartFunction(Protocol):
    """A function that draws one kind of chart from a warehouse."""

    def __call__(
        self, con: duckdb.DuckDBPyConnection, selection: Selection, *, layout: ChartSize = ...
    ) -> alt.VConcatChart:
        """Draw the selection."""


CHARTS: dict[str, ChartFunction] = {
    "curves": curves.chart,
    "drops": drops.chart,
    "shapes": shapes.chart,
    "attention": attention.chart,
    "exemplars": exemplars.chart,
    "onset": onset.chart,
    "calibration": calibration.chart,
    "distortion": distortion.chart,
}


class ImageChartFunction(Protocol):
    """A function that draws one kind of chart from images that it corrupts itself."""

    def __call__(self, corrupting: CorruptionRequest, *, layout: ChartSize = ...) -> alt.VConcatChart:
        """Corrupt and draw."""


IMAGE_CHARTS: dict[str, ImageChartFunction] = {
    "contact-sheet": contact_sheet.chart,
    "distortion": distortion.chart_of_images,
}


class WarehouseOptions(NamedTuple):
    """What to read of which warehouse; None and empty mean not given."""

    where: Path | None = None
    model: Sequence[str] | None = None
    evaluation: Sequence[str] | None = None


class ImageOptions(NamedTuple):
    """What to corrupt and how; None and empty mean not given."""

    image: Sequence[Path] | None = None
    recipe: str | None = None
    seed: int | None = None
    severity: Sequence[float | Decimal] | None = None


def draw_chart(
    name: str,
    warehouse: WarehouseOptions,
    images: ImageOptions,
    *,
    corruptions: Sequence[str] = (),
    layout: str = "page",
) -> alt.VConcatChart:
    """Draw one chart.

    Args:
        name: one of CHARTS, which read a warehouse, or IMAGE_CHARTS, which corrupt images themselves; one that is both
            corrupts where something is said of images.
        warehouse: where rows come from.
        images: what is corrupted, and how.
        corruptions: only these.
        layout: 'page' or 'paper'.

    Raises:
        StudyError: an unknown chart or layout, or options that mean nothing to this chart.
        WarehouseError, DataError: as the message says.
    """
    if name not in CHARTS and name not in IMAGE_CHARTS:
        raise StudyError(f"no chart {name!r}: choose among {', '.join(dict.fromkeys([*CHARTS, *IMAGE_CHARTS]))}")
    if layout not in CHART_SIZES:
        raise StudyError(f"no layout {layout!r}: choose {' or '.join(CHART_SIZES)}")
    if name in IMAGE_CHARTS and (name not in CHARTS or _given(images)):
        _refuse(name, "corrupts images itself and reads no warehouse", _given(warehouse))
        return IMAGE_CHARTS[name](_corrupting(images, corruptions), layout=CHART_SIZES[layout])
    _refuse(name, "reads a warehouse and corrupts nothing itself", _given(images))
    return _from_warehouse(name, warehouse, corruptions, layout)


def _from_warehouse(name: str, asked: WarehouseOptions, corruptions: Sequence[str], layout: str) -> alt.VConcatChart:
    try:
        path = find_warehouse(asked.where or default_location())
    except StudyError as error:
        if name not in IMAGE_CHARTS or asked.where:
            raise
        raise StudyError(f"{error}; or let the chart corrupt images itself with --recipe") from error
    ensure_shapes(path)
    with open_warehouse(path) as con:
        selection = select_one(
            con, models=asked.model or (), evaluations=asked.evaluation or (), corruptions=corruptions
        )
        return CHARTS[name](con, selection, layout=CHART_SIZES[layout])


def _corrupting(images: ImageOptions, corruptions: Sequence[str]) -> CorruptionRequest:
    defaults = CorruptionRequest()
    return CorruptionRequest(
        recipe=images.recipe or defaults.recipe,
        seed=defaults.seed if images.seed is None else images.seed,
        severities=images.severity or (),
        corruptions=corruptions,
        files=images.image or (),
    )


def _given(options: Any) -> list[str]:
    """The options that were given, as a user writes them."""
    names = [name for name, value in options._asdict().items() if value not in (None, [], ())]
    return ["WHERE" if name == "where" else f"--{name}" for name in names]


def _refuse(name: str, because: str, given: list[str]) -> None:
    if given:
        raise StudyError(f"chart {name!r} {because}: leave out {join_names(given)}")
