"""Real images from clean to the last severity, with attention laid over them, its centroid, and the prediction."""

from typing import NamedTuple

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.image_rows import ImageRow, ShownImage, image_rows, overlay
from failmodes.analysis.charts.style.axes import evenly_spaced
from failmodes.analysis.charts.style.saving import image_url
from failmodes.analysis.charts.style.theme import PAGE, ChartSize, ChartText, add_text
from failmodes.analysis.images.attention import centroid
from failmodes.analysis.images.exemplars import ExemplarImage, exemplar_images, exemplar_rows
from failmodes.analysis.once import read_once
from failmodes.analysis.render.formatting import format_count, format_percent, lower_label
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.warehouse.errors import WarehouseError


class DrawnImage(NamedTuple):
    """An exemplar and the picture that is shown: attention laid over it, scaled by the largest value of the row."""

    image: ExemplarImage
    url: str

    @property
    def shown(self) -> ShownImage:
        """What is drawn of it."""
        height, width = self.image.pixels.shape[:2]
        center, one = centroid(self.image.attention), self.image
        return ShownImage(
            self.url, one.severity, one.predicted_name, one.is_correct, one.confidence, center, width / height
        )


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """One row of images for each corruption of one model.

    Args:
        con: the warehouse.
        selection: one evaluation; of several, the first is shown.
        size: page or paper; the paper leaves severities out.

    Raises:
        WarehouseError: there are no exemplars.
    """
    evaluation = selection.evaluations[0]
    rows = [_drawn_images(con, evaluation, corruption) for corruption in selection.corruptions]
    rows = [evenly_spaced(row, 6 if size.is_wide else 4) for row in rows if row]
    if not rows:
        raise WarehouseError(
            f"no exemplars of {evaluation.label} are on record: run `failmodes evaluate` again (a study with "
            "`thumbnails = false` keeps none)"
        )
    names = corruption_labels(con)
    return add_text(
        [image_rows([_image_row(row, names) for row in rows], size)], _chart_text(rows, selection, evaluation), size
    )


@read_once
def _drawn_images(con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo, corruption: str) -> list[DrawnImage]:
    """One image under a corruption, by severity: the first in rank of the most preferred reason, drawn."""
    rows = exemplar_rows(con, [evaluation.evaluation_id], [corruption], evaluation.facts["dataset_id"])
    images = exemplar_images(rows.filter(pl.col("image_id") == pl.col("image_id").first()))
    top = max((float(image.attention.max()) for image in images if image.attention is not None), default=0.0)
    return [DrawnImage(image, image_url(overlay(image.pixels, image.attention, top))) for image in images]


def _image_row(row: list[DrawnImage], names: dict[str, str]) -> ImageRow:
    first = row[0].image
    lines = f"true: {first.label_name}", first.reason_name, f"image {first.image_id}"
    return ImageRow(names[first.corruption], lines, [drawn.shown for drawn in row])


def incorrect_sentence(label: str, incorrect: int, shown: int, confident: int) -> str:
    """How many of the images shown are misread at the last severity, and how many of these confidently."""
    if shown == 1:
        suffix = f", with confidence {'above' if confident else 'up to'} {format_percent(0.5, 0)}" if incorrect else ""
        return (
            f"{label} {'misreads this image' if incorrect else 'reads this image right'} at the last severity{suffix}"
        )
    suffix = f", {confident or 'none'} of them with confidence above {format_percent(0.5, 0)}" if incorrect else ""
    return f"{label} misreads {incorrect} of these {shown} images at the last severity{suffix}"


def _chart_text(rows: list[list[DrawnImage]], selection: Selection, evaluation: EvaluationInfo) -> ChartText:
    lasts = [row[-1].image for row in rows]
    incorrect = [image for image in lasts if not image.is_correct]
    confident = sum(1 for image in incorrect if (image.confidence or 0) > 0.5)
    finding = incorrect_sentence(evaluation.label, len(incorrect), len(lasts), confident)
    attention = " No attention on record."
    if any(drawn.image.attention is not None for row in rows for drawn in row):
        attention = (
            " Orange: Grad-CAM for the class predicted on the clean image, scaled within a row; dot and line: its "
            "centroid and the way it came from clean."
        )
    reasons = sorted({lower_label(row[0].image.reason_name) for row in rows})
    return ChartText(
        finding,
        f"One image a corruption, chosen by rule ({', '.join(reasons)}), from clean to the last severity; "
        f"beneath: predicted class, right (tick) or wrong (cross), and confidence. "
        f"Illustration, not evidence: {format_count(len(rows), 'image')} of {selection.image_count:,}.{attention}",
        selection.source_line,
    )
