"""Exemplars as they lie in the warehouse: pictures by severity, their attention, and both laid over each other."""

import io
from typing import Any, NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from failmodes.analysis.selection import EvaluationInfo

REASONS = ("first_to_fail", "confidently_wrong", "recovered", "still_right")  # in the order of preference

SHOWN_PX = 128  # pixels of an embedded picture's longer side

HEAT = np.array([213, 94, 0], np.float64)  # Okabe-Ito vermillion

HEAT_OPACITY = 0.6


class ExemplarImage(NamedTuple):
    """One picture: where it stands, what was predicted, and its attention."""

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


def overlay(pixels: NDArray[np.uint8], attention: NDArray[np.float64] | None, top: float) -> bytes:
    """A PNG of the image with its attention over it, both scaled up: image by pixels, map bilinearly.

    Args:
        pixels: (H, W, 3) uint8.
        attention: (h, w) not negative, or None for the bare image.
        top: value of the map that is drawn at full strength.
    """
    height, width = pixels.shape[:2]
    scale = max(1, SHOWN_PX // max(height, width))
    size = (width * scale, height * scale)
    image = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST), np.float64)
    if attention is not None and top > 0:
        map_image = Image.fromarray((attention / top).astype(np.float32))
        strength = np.asarray(map_image.resize(size, Image.Resampling.BILINEAR), np.float64).clip(0, 1)
        opacity = (HEAT_OPACITY * strength)[..., None]
        image = image * (1 - opacity) + HEAT * opacity
    buffer = io.BytesIO()
    Image.fromarray(image.round().astype(np.uint8)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def centroid(attention: NDArray[np.float64] | None) -> tuple[float, float] | None:
    """Centre of mass (x, y) of a map (h, w), 0-1 from the top left, cell centres; None where it is empty."""
    if attention is None or attention.sum() <= 0:
        return None
    rows, columns = (np.arange(n) + 0.5 for n in attention.shape)
    total = attention.sum()
    x, y = (attention.sum(0) @ columns) / total, (attention.sum(1) @ rows) / total
    return float(x / attention.shape[1]), float(y / attention.shape[0])


def read_exemplar_images(
    con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo, corruption: str, reason: str | None
) -> list[ExemplarImage]:
    """Pictures of one image under a corruption, by severity: the first of the preferred reason."""
    rows = con.sql(
        "select e.*, a.class_name as label_name, coalesce(b.class_name, 'no answer') as predicted_name "
        "from exemplars as e "
        "left join classes as a on a.dataset_id = $3 and a.class_index = e.label "
        "left join classes as b on b.dataset_id = $3 and b.class_index = e.predicted "
        "where e.evaluation_id = $1 and e.corruption = $2 order by e.reason_rank, e.image_id, e.severity",
        params=[evaluation.evaluation_id, corruption, evaluation.facts["dataset_id"]],
    ).pl().rows(named=True)  # fmt: skip
    for wanted in [reason] if reason else REASONS:
        first = next((row["image_id"] for row in rows if row["reason"] == wanted), None)
        if first is not None:
            return [_frame(row) for row in rows if row["image_id"] == first]
    return []


def _frame(row: dict[str, Any]) -> ExemplarImage:
    attention = None
    if row["map_f16"] is not None:
        flat = np.frombuffer(row["map_f16"], "<f2").astype(np.float64)
        attention = flat.reshape(row["map_height"], row["map_width"])
    pixels = np.asarray(Image.open(io.BytesIO(row["png"])).convert("RGB"))
    return ExemplarImage(
        row["corruption"], row["image_id"], row["reason"], float(row["severity"]),
        row["label_name"] or str(row["label"]), row["predicted_name"], row["predicted"] == row["label"],
        row["confidence"], pixels, attention,
    )  # fmt: skip
