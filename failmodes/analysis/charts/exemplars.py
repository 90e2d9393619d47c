"""Example images from clean to the last severity, with Grad-CAM, its centroid, and the prediction."""

import duckdb
import polars as pl

from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame, evenly_spaced
from failmodes.analysis.charts.style.image_grid import Row, curve_row, image_grid
from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.images.collection import exemplar_images, exemplar_rows
from failmodes.analysis.render.formatting import format_count, format_severity, lower_label
from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse.schema import OF_TABLE

WIDE_COLUMNS, NARROW_COLUMNS = 6, 4


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """One image per corruption of the first model: the first in rank of the most preferred reason.

    Raises:
        WarehouseError: no exemplars are stored.
    """
    model = selection.evaluations[0]
    stored = exemplar_rows(con, [model.evaluation_id], selection.corruptions, model.facts["dataset_id"])
    if stored.is_empty() and model.facts["source_kind"] == OF_TABLE:
        raise WarehouseError(f"no exemplars of {model.label}: the pixels of an imported table are unknown")
    if stored.is_empty():
        raise WarehouseError(
            f"no exemplars of {model.label} are stored: run `failmodes evaluate` again (a study with `thumbnails = "
            "false` keeps none)"
        )
    levels = evenly_spaced(sorted(stored["severity"].unique()), WIDE_COLUMNS if frame.is_wide else NARROW_COLUMNS)
    first = stored.filter(
        pl.col("image_id") == pl.col("image_id").first().over("corruption"), pl.col("severity").is_in(levels)
    ).partition_by("corruption", as_dict=True)
    series = [first[name,] for name in selection.corruptions if (name,) in first]
    plot = image_grid(
        [_row(exemplar) for exemplar in series], [format_severity(float(level)) for level in levels], frame
    )
    incorrect = sum(not exemplar["correct"][-1] for exemplar in series)
    reasons = sorted({lower_label(exemplar["reason_name"][0]) for exemplar in series})
    attention = "No attention is stored."
    if any(exemplar["map_f16"].count() for exemplar in series):
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
        frame,
    )


def _row(rows: pl.DataFrame) -> Row:
    """One image by severity."""
    first = rows.row(0, named=True)
    lines = (f"true: {first['label_name']}", first["reason_name"], f"image {first['image_id']}")
    return curve_row(exemplar_images(rows), first["corruption_label"], lines)
