"""Charts and pictures of the explorer as files, drawn as `failmodes chart` and `failmodes images` draw them."""

import tempfile
from functools import partial
from pathlib import Path

import altair as alt

from failmodes.analysis.charts.drawing import draw_from_warehouse
from failmodes.analysis.charts.style.fitting import LAYOUT_MM, fitted
from failmodes.analysis.charts.style.saving import save_chart
from failmodes.analysis.explorer import panels
from failmodes.analysis.explorer.cell_figures import CellFigures
from failmodes.analysis.explorer.model_cell import ModelCell
from failmodes.analysis.selection import Selection
from failmodes.analysis.shown_images import ImageSheet

SUFFIXES = ("png", "svg", "pdf")


def curve_figure(path: Path, selection: Selection, suffix: str) -> bytes:
    """The severity curves of a selection as a figure, with their shapes and chords.

    Args:
        path: the warehouse.
        selection: models and corruptions.
        suffix: "png", "svg" or "pdf".
    """
    chart = draw_from_warehouse(
        path, "curves", evaluations=selection.ids, corruptions=selection.corruptions, is_figure=True
    )
    return _saved(chart, suffix)


def cell_figure(figures: CellFigures, cell: ModelCell, source: str, suffix: str) -> bytes:
    """The charts of one cell as a figure as wide as a page.

    Args:
        figures: what is on record of the cell.
        cell: which one.
        source: where the data come from.
        suffix: "png", "svg" or "pdf".
    """
    draw = partial(panels.cell_figure, figures, cell, source)
    return _saved(fitted(lambda size: draw(size=size), LAYOUT_MM["page"]), suffix)


def picture_figure(sheet: ImageSheet, suffix: str) -> bytes:
    """A sheet of pictures as a figure.

    Args:
        sheet: the pictures.
        suffix: "png", "svg" or "pdf".
    """
    with tempfile.TemporaryDirectory() as folder:
        return sheet.save(Path(folder, f"figure.{suffix}")).read_bytes()


def _saved(chart: alt.VConcatChart, suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return save_chart(chart, Path(folder, f"figure.{suffix}")).read_bytes()
