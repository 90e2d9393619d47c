"""Real images from clean to the last severity, with attention laid over them, its centroid, and the prediction."""

from typing import Any, NamedTuple

import altair as alt
import duckdb
import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.charts.image_rows import ImageRow, ShownImage, image_rows, overlay
from failmodes.analysis.charts.style.axes import evenly_spaced
from failmodes.analysis.charts.style.saving import image_url
from failmodes.analysis.charts.style.theme import PAGE, ChartSize, ChartText, add_text
from failmodes.analysis.formatting import REASON_NAMES, format_count, format_percent, lower_label
from failmodes.analysis.images.attention import centroid, stored_map
from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.ingest.datasets.decoding import decode
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.schema import EXEMPLAR_REASONS


class ExemplarImage(NamedTuple):
    """One image at one severity: why it was chosen, what was predicted, and the attention."""

    corruption: str
    image_id: int
    reason: str
    severity: float
    label_name: str
    predicted_name: str
    is_right: bool
    confidence: float | None
    pixels: NDArray[np.uint8]  # (H, W, 3)
    attention: NDArray[np.float64] | None  # (h, w), not negative
    url: str = ""  # the picture that is shown, attention laid over it, scaled by the largest value of the row

    @property
    def reason_name(self) -> str:
        """The reason as a reader sees it."""
        return REASON_NAMES.get(self.reason, self.reason)

    @property
    def shown(self) -> ShownImage:
        """What is drawn of it."""
        centre, aspect = centroid(self.attention), self.pixels.shape[1] / self.pixels.shape[0]
        return ShownImage(self.url, self.severity, self.predicted_name, self.is_right, self.confidence, centre, aspect)


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """One row of images for each corruption of one network.

    Args:
        con: the warehouse.
        selection: one evaluation; of several, the first is shown.
        size: page or paper; the paper leaves severities out.

    Raises:
        WarehouseError: there are no exemplars.
    """
    evaluation = selection.evaluations[0]
    rows = [_exemplar_images(con, evaluation, corruption) for corruption in selection.corruptions]
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
def _exemplar_images(
    con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo, corruption: str
) -> list[ExemplarImage]:
    """One image under a corruption, by severity: the first in rank of the most preferred reason, drawn."""
    rows = con.sql(
        "select e.*, a.class_name as label_name, coalesce(b.class_name, "
        "if(e.confidence is null, 'no answer', 'another class')) as predicted_name "
        "from exemplars as e "
        "left join classes as a on a.dataset_id = $3 and a.class_index = e.label "
        "left join classes as b on b.dataset_id = $3 and b.class_index = e.predicted "
        "where e.evaluation_id = $1 and e.corruption = $2 "
        "order by list_position($4, e.reason), e.reason_rank, e.image_id, e.severity",
        params=[evaluation.evaluation_id, corruption, evaluation.facts["dataset_id"], list(EXEMPLAR_REASONS)],
    ).pl().rows(named=True)  # fmt: skip
    images = [_exemplar_image(row) for row in rows if row["image_id"] == rows[0]["image_id"]]
    top = max((float(image.attention.max()) for image in images if image.attention is not None), default=0.0)
    return [image._replace(url=image_url(overlay(image.pixels, image.attention, top))) for image in images]


def _exemplar_image(row: dict[str, Any]) -> ExemplarImage:
    content = row["map_f16"]
    attention = None if content is None else stored_map(content, row["map_height"], row["map_width"])
    pixels = np.asarray(decode(row["png"], f"the stored picture of image {row['image_id']}"))
    return ExemplarImage(
        row["corruption"], row["image_id"], row["reason"], float(row["severity"]),
        row["label_name"] or str(row["label"]), row["predicted_name"], row["predicted"] == row["label"],
        row["confidence"], pixels, attention,
    )  # fmt: skip


def _image_row(row: list[ExemplarImage], names: dict[str, str]) -> ImageRow:
    first = row[0]
    lines = f"true: {first.label_name}", first.reason_name, f"image {first.image_id}"
    return ImageRow(names[first.corruption], lines, [image.shown for image in row])


def misread_sentence(label: str, wrong: int, shown: int, confident: int) -> str:
    """How many of the images shown are misread at the last severity, and how many of these confidently."""
    if shown == 1:
        sure = f", with confidence {'above' if confident else 'up to'} {format_percent(0.5, 0)}" if wrong else ""
        return f"{label} {'misreads this image' if wrong else 'reads this image right'} at the last severity{sure}"
    sure = f", {confident or 'none'} of them with confidence above {format_percent(0.5, 0)}" if wrong else ""
    return f"{label} misreads {wrong} of these {shown} images at the last severity{sure}"


def _chart_text(rows: list[list[ExemplarImage]], selection: Selection, evaluation: EvaluationInfo) -> ChartText:
    lasts = [row[-1] for row in rows]
    wrong = [image for image in lasts if not image.is_right]
    confident = sum(1 for image in wrong if (image.confidence or 0) > 0.5)
    finding = misread_sentence(evaluation.label, len(wrong), len(lasts), confident)
    attention = " No attention on record."
    if any(image.attention is not None for row in rows for image in row):
        attention = (
            " Orange: Grad-CAM for the class predicted on the clean image, scaled within a row; dot and line: its "
            "centroid and the way it came from clean."
        )
    reasons = sorted({lower_label(row[0].reason_name) for row in rows})
    return ChartText(
        finding,
        f"One image a corruption, chosen by rule ({', '.join(reasons)}), from clean to the last severity; "
        f"beneath: predicted class, right (tick) or wrong (cross), and confidence. "
        f"Illustration, not evidence: {format_count(len(rows), 'image')} of {selection.image_count:,}.{attention}",
        selection.source_line,
    )
