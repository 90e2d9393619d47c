"""The table of charts, and a chart drawn by its name.

A new chart is one file with a function as the comment above CHARTS or IMAGE_CHARTS says, and one row there.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt
import duckdb
from altair.utils.schemapi import debug_mode

from failmodes.analysis.charts.style.fitting import figure_width_mm, fitted
from failmodes.analysis.charts.style.theme import CHART_SIZES, ChartSize
from failmodes.analysis.render.formatting import join_names
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.published import published_curves
from failmodes.analysis.statistics.shape_tables import open_current
from failmodes.warehouse.errors import StudyError, WarehouseError
from failmodes.warehouse.storage.locations import default_location, find_warehouse


def _imported_later(module: str, name: str = "chart") -> Callable[..., alt.VConcatChart]:
    """A chart whose module, with the statistics that it needs, is imported when it is drawn: all take .3 s and more."""

    def draw(*given: Any, **options: Any) -> alt.VConcatChart:
        make: Callable[..., alt.VConcatChart] = getattr(import_module(f"failmodes.analysis.charts.{module}"), name)
        return make(*given, **options)

    return draw


# Each draws a selection: (con, selection, *, size) → chart
CHARTS: dict[str, Callable[..., alt.VConcatChart]] = {
    name: _imported_later(name.replace("-", "_"))
    for name in (
        "ranking", "curves", "drops", "shapes", "distortion-shapes", "differences", "predictions", "confusion",
        "attention", "object-attention", "exemplars", "onset", "calibration", "failure-prediction", "risk-coverage",
        "early-warning", "distortion",
    )
}  # fmt: skip

# Each corrupts images itself and draws them: (request, *, size) → chart
IMAGE_CHARTS: dict[str, Callable[..., alt.VConcatChart]] = {
    "contact-sheet": _imported_later("contact_sheet"),
    "distortion": _imported_later("distortion", "chart_of_images"),
}


# Those that draw published models behind yours, and take `published=False`
PUBLISHED_CHARTS = ("curves", "shapes")

# Those that have a panel per model, which of many models takes room and time
PANEL_PER_MODEL = (
    "drops", "predictions", "attention", "onset", "calibration", "failure-prediction", "risk-coverage", "early-warning",
)  # fmt: skip

# Those that show other figures where the models are named in another order, and take `named=`
ORDERED_CHARTS = ("differences",)


class WarehouseOptions(NamedTuple):
    """What to read of which warehouse; None and empty mean not given."""

    location: Path | None = None
    model: Sequence[str] | None = None
    evaluation: Sequence[str] | None = None
    published: bool | None = None


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
    size: str = "page",
    width: str | None = None,
    is_figure: bool = False,
) -> alt.VConcatChart:
    """Draw one chart.

    Args:
        name: one of CHARTS, which read a warehouse, or IMAGE_CHARTS, which corrupt images themselves; one that is both
            corrupts where an option about images is given.
        warehouse: where rows come from.
        images: what is corrupted, and how.
        corruptions: only these.
        size: 'page' or 'paper'.
        width: the width on paper, such as "85mm", which then chooses the layout too.
        is_figure: whether it is drawn for that width, or, without one, for that of `size`, and for a page's height.

    Raises:
        StudyError: an unknown chart, size or width, or options that mean nothing to this chart.
        WarehouseError, DataError: as the message says.
    """
    if name not in CHARTS and name not in IMAGE_CHARTS:
        raise StudyError(f"no chart {name!r}: choose among {', '.join(dict.fromkeys([*CHARTS, *IMAGE_CHARTS]))}")
    width_mm = figure_width_mm(size, width)
    if name in IMAGE_CHARTS and (name not in CHARTS or _given(images)):
        from failmodes.analysis.sample_images import CorruptionRequest

        _refuse(name, "corrupts images itself and reads no warehouse", _given(warehouse))
        request = CorruptionRequest(
            images.recipe or "cifar-c", images.seed or 0, images.severity or (), corruptions, images.image or ()
        )
        draw_images = partial(IMAGE_CHARTS[name], request)
        return _drawn(draw_images, CHART_SIZES[size], width_mm if is_figure or width else None)
    _refuse(name, "reads a warehouse and corrupts nothing itself", _given(images))
    try:
        path = find_warehouse(warehouse.location or default_location())
    except StudyError as error:
        if name not in IMAGE_CHARTS or warehouse.location:
            raise
        raise StudyError(f"{error}; or let the chart corrupt images itself with --recipe") from error
    return draw_from_warehouse(
        path, name, models=warehouse.model or (), evaluations=warehouse.evaluation or (), corruptions=corruptions,
        size=size, width=width, is_figure=is_figure, published=warehouse.published,
    )  # fmt: skip


def draw_from_warehouse(
    path: Path,
    name: str,
    *,
    models: Sequence[str] = (),
    evaluations: Sequence[str] = (),
    corruptions: Sequence[str] = (),
    size: str = "page",
    width: str | None = None,
    is_figure: bool = False,
    published: bool | None = None,
) -> alt.VConcatChart:
    """Draw one chart from a warehouse, with current shapes (see `open_current`).

    Args:
        path: the DuckDB file.
        name: one of CHARTS.
        models: only these models, by label; of `differences` the second minus the first.
        evaluations: only these evaluations, by identity or its first letters, after the models where order matters.
        corruptions: only these.
        size: 'page' or 'paper'.
        width: the width on paper, such as "85mm", which then chooses the layout too.
        is_figure: whether it is drawn for that width, or, without one, for that of `size`, and for a page's height.
        published: whether published models stand behind; None draws those that the warehouse holds.

    Raises:
        StudyError: an unknown chart, size or width, a filter names what the warehouse does not hold, or `published`
            means nothing to this chart.
        WarehouseError: the warehouse cannot be read, or lacks what the chart shows.
    """
    if not isinstance(name, str) or name not in CHARTS:
        raise StudyError(f"no chart {name!r} of a warehouse: choose among {', '.join(CHARTS)}")
    width_mm = figure_width_mm(size, width)
    with open_current(path) as con, debug_mode(False):
        selection = select_one(con, models=models, evaluations=evaluations, corruptions=corruptions)
        options: dict[str, Any] = _published_option(con, selection, name, published)
        if name in ORDERED_CHARTS:
            options["named"] = (*models, *evaluations)
        draw = partial(CHARTS[name], con, selection, **options)
        return _drawn(draw, CHART_SIZES[size], width_mm if is_figure or width else None)


def _published_option(
    con: duckdb.DuckDBPyConnection, selection: Selection, name: str, published: bool | None
) -> dict[str, bool]:
    """The option `published` of those charts that have it, where it was given."""
    if published is None:
        return {}
    if name not in PUBLISHED_CHARTS:
        raise StudyError(f"chart {name!r} shows no published models, {join_names(PUBLISHED_CHARTS)} do")
    if published and published_curves(con, selection).is_empty():
        raise WarehouseError(
            f"no published models on {selection.shared['dataset_label']} under these corruptions: load some with "
            "`failmodes load … --published FILE.csv`; --published-of says of which data set they are"
        )
    return {"published": published}


def _drawn(draw: Callable[..., alt.VConcatChart], size: ChartSize, width_mm: float | None) -> alt.VConcatChart:
    """The chart at a size, or fitted to a width on paper."""
    return draw(size=size) if width_mm is None else fitted(lambda fitting: draw(size=fitting), width_mm)


def _given(options: WarehouseOptions | ImageOptions) -> list[str]:
    """The options that were given, as a user writes them."""
    names = [name for name, value in options._asdict().items() if value not in (None, [], ())]
    return ["WHERE" if name == "location" else f"--{name}" for name in names]


def _refuse(name: str, because: str, given: list[str]) -> None:
    if given:
        raise StudyError(f"chart {name!r} {because}: leave out {join_names(given)}")
