"""Example images from clean to the last severity, with Grad-CAM, its centroid, and the prediction."""

from collections.abc import Sequence

import duckdb
import polars as pl

from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame, evenly_spaced
from failmodes.analysis.charts.style.image_grid import Cell, Row, image_grid, picture_urls
from failmodes.analysis.images.attention import centroid
from failmodes.analysis.images.exemplars import ExemplarImage, exemplar_images, exemplar_rows
from failmodes.analysis.render.formatting import format_confidence, format_count, format_severity, lower_label
from failmodes.analysis.selection import Selection, corruption_labels
from failmodes.warehouse.errors import WarehouseError

WIDE_COLUMNS, NARROW_COLUMNS = 6, 4


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """One image per corruption of the first model: the first in rank of the most preferred reason.

    Raises:
        WarehouseError: no exemplars are stored.
    """
    model = selection.evaluations[0]
    stored = exemplar_rows(con, [model.evaluation_id], selection.corruptions, model.facts["dataset_id"])
    if stored.is_empty():
        raise WarehouseError(
            f"no exemplars of {model.label} are stored: run `failmodes evaluate` again (a study with `thumbnails = "
            "false` keeps none)"
        )
    levels = evenly_spaced(sorted(stored["severity"].unique()), WIDE_COLUMNS if frame.is_wide else NARROW_COLUMNS)
    first = stored.filter(
        pl.col("image_id") == pl.col("image_id").first().over("corruption"), pl.col("severity").is_in(levels)
    ).partition_by("corruption", as_dict=True)
    series = [exemplar_images(first[name,]) for name in selection.corruptions if (name,) in first]
    names = corruption_labels(con)
    plot = image_grid([_row(one, names) for one in series], [format_severity(float(one)) for one in levels], frame)
    incorrect = sum(not one[-1].is_correct for one in series)
    reasons = sorted({lower_label(one[0].reason_name) for one in series})
    attention = "No attention is stored."
    if any(image.attention is not None for one in series for image in one):
        attention = (
            "Orange: Grad-CAM for the class predicted on the clean image, scaled within a row; dot and line: its "
            "centroid and the centroid's path from clean."
        )
    return Figure(
        plot,
        f"{model.label} misclassifies {incorrect} of {format_count(len(series), 'example image')} at the last severity",
        f"One image per corruption, chosen by rule ({', '.join(reasons)}), by severity; below: predicted class, "
        "correct (tick) or incorrect (cross), and confidence. Illustration, not evidence: "
        f"{format_count(len(series), 'image')} of {selection.image_count:,}. {attention}",
        selection.source_line,
        frame.width_px,
    )


def _row(images: Sequence[ExemplarImage], names: dict[str, str]) -> Row:
    """One image by severity."""
    urls = picture_urls([(one.pixels, one.attention, centroid(one.attention)) for one in images])
    title, first = names[images[0].corruption], images[0]
    cells: dict[str, Cell] = {}
    for one, url in zip(images, urls, strict=True):
        level, notes = format_severity(one.severity), [format_confidence(one.confidence)]
        cells[level] = Cell(url, f"{title}, severity {level}", notes, one.predicted_name, one.is_correct)
    return Row(cells, title, (f"true: {first.label_name}", first.reason_name, f"image {first.image_id}"))
