"""A chart by its name: from a warehouse or from images that it corrupts itself, as the chart and the options say."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt

from analysis.charts import CHARTS, IMAGE_CHARTS
from analysis.degradation import ensure_shapes
from analysis.pictures import Corrupting
from analysis.selection import select_one
from analysis.theme import LAYOUTS
from analysis.words import listing
from warehouse.connect import open_warehouse
from warehouse.errors import StudyError
from warehouse.locate import default_where, find_warehouse


class FromWarehouse(NamedTuple):
    """What to read of which warehouse; None and empty mean not given."""

    where: Path | None = None
    model: Sequence[str] | None = None
    evaluation: Sequence[str] | None = None


class FromImages(NamedTuple):
    """What to corrupt and how; None and empty mean not given."""

    image: Sequence[Path] | None = None
    recipe: str | None = None
    seed: int | None = None
    severity: Sequence[float | Decimal] | None = None


def draw(
    name: str,
    warehouse: FromWarehouse,
    images: FromImages,
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
    if layout not in LAYOUTS:
        raise StudyError(f"no layout {layout!r}: choose {' or '.join(LAYOUTS)}")
    if name in IMAGE_CHARTS and (name not in CHARTS or _given(images)):
        _refuse(name, "corrupts images itself and reads no warehouse", _given(warehouse))
        return IMAGE_CHARTS[name](_corrupting(images, corruptions), layout=LAYOUTS[layout])
    _refuse(name, "reads a warehouse and corrupts nothing itself", _given(images))
    return _from_warehouse(name, warehouse, corruptions, layout)


def _from_warehouse(name: str, asked: FromWarehouse, corruptions: Sequence[str], layout: str) -> alt.VConcatChart:
    try:
        path = find_warehouse(asked.where or default_where())
    except StudyError as error:
        if name not in IMAGE_CHARTS or asked.where:
            raise
        raise StudyError(f"{error}; or let the chart corrupt images itself with --recipe") from error
    ensure_shapes(path)
    with open_warehouse(path) as con:
        selection = select_one(
            con, models=asked.model or (), evaluations=asked.evaluation or (), corruptions=corruptions
        )
        return CHARTS[name](con, selection, layout=LAYOUTS[layout])


def _corrupting(images: FromImages, corruptions: Sequence[str]) -> Corrupting:
    defaults = Corrupting()
    return Corrupting(
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
        raise StudyError(f"chart {name!r} {because}: leave out {listing(given)}")
