"""Charts and pictures of the explorer as files, drawn as `failmodes chart` and `failmodes images` draw them."""

import tempfile
from pathlib import Path

from failmodes.analysis.charts.drawing import draw_from_warehouse
from failmodes.analysis.charts.style.saving import save_chart
from failmodes.analysis.selection import Selection
from failmodes.analysis.shown_images import ImageSheet

SUFFIXES = ("png", "svg", "pdf")


def curve_figure(path: Path, selection: Selection, suffix: str) -> bytes:
    """The severity curves of a selection as a figure, with their shapes and chords.

    Args:
        path: the warehouse.
        selection: networks and corruptions.
        suffix: "png", "svg" or "pdf".
    """
    chart = draw_from_warehouse(
        path, "curves", evaluations=selection.ids, corruptions=selection.corruptions, is_figure=True
    )
    with tempfile.TemporaryDirectory() as folder:
        return save_chart(chart, Path(folder, f"figure.{suffix}")).read_bytes()


def picture_figure(sheet: ImageSheet, suffix: str) -> bytes:
    """A sheet of pictures as a figure.

    Args:
        sheet: the pictures.
        suffix: "png", "svg" or "pdf".
    """
    with tempfile.TemporaryDirectory() as folder:
        return sheet.save(Path(folder, f"figure.{suffix}")).read_bytes()
