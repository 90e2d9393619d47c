"""Exemplars of a synthetic record: coarse pictures, one for each reason, or noisy ones as many as a run writes."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from encoded_files import encoded
from PIL import Image

from failmodes.ingest.corruptions.apply import corrupt
from failmodes.warehouse import schema
from failmodes.warehouse.shards.format import write_dimension

MAP = 4  # rows and columns of a map
SIDE_PX = 32


class ImagePredictions(NamedTuple):
    """What a model answered under one corruption, clean first: predicted and confidence (S, N); labels (N,)."""

    predicted: np.ndarray
    confidence: np.ndarray
    labels: np.ndarray


def write_coarse_exemplars(
    output: Path,
    evaluation_id: str,
    rng: np.random.Generator,
    corruptions: tuple[str, ...],
    grid: list[float],
    classes: int,
) -> None:
    """One picture of 4 x 4 squares for each reason, whose answers are made up."""
    for corruption in corruptions:
        rows = []
        for rank, reason in enumerate(schema.EXEMPLAR_REASONS):
            image_id = rank * 7
            base = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            for level in grid:
                heat = np.exp(-((np.arange(MAP) - 1.5 - 0.2 * level) ** 2))
                rows.append({
                    "evaluation_id": evaluation_id, "corruption": corruption, "severity": Decimal(str(level)),
                    "image_id": image_id, "reason": reason, "reason_rank": 1, "label": image_id % classes,
                    "predicted": (image_id + (level > 3)) % classes, "confidence": 0.9 - 0.1 * level,
                    "png": encoded((base * (1 - 0.1 * level)).astype(np.uint8)), **_map_columns(np.outer(heat, heat)),
                })  # fmt: skip
        write_dimension(output, schema.EXEMPLARS, f"{evaluation_id}-{corruption}", rows)


def write_exemplars(
    output: Path,
    evaluation_id: str,
    corruption: str,
    grid: Sequence[float],
    predictions: ImagePredictions,
    per_reason: int,
) -> None:
    """As many pictures for each reason as there are, up to `per_reason`: noisy ones that the corruption really spoils.

    They are chosen by the answers on record, which they tell. An image looks the same to every model.
    """
    rows = []
    for reason, rank, image_id in _chosen(predictions, per_reason):
        clean = _picture(image_id)
        for row, level in enumerate(grid):
            pixels = corrupt(clean[None], corruption, level, image_ids=[image_id])[0]
            rows.append({
                "evaluation_id": evaluation_id, "corruption": corruption, "severity": Decimal(str(level)),
                "image_id": image_id, "reason": reason, "reason_rank": rank, "label": int(predictions.labels[image_id]),
                "predicted": int(predictions.predicted[row, image_id]),
                "confidence": float(predictions.confidence[row, image_id]), "png": encoded(pixels),
                **_map_columns(np.random.default_rng([image_id, row]).gamma(1, 1, (MAP, MAP))),
            })  # fmt: skip
    write_dimension(output, schema.EXEMPLARS, f"{evaluation_id}-{corruption}", rows)


def _chosen(predictions: ImagePredictions, per_reason: int) -> list[tuple[str, int, int]]:
    """(reason, rank, image) of those chosen, the most confident at the last severity first, no image twice."""
    correct = predictions.predicted == predictions.labels
    failing = correct[0] & ~correct.all(0)
    eligible = (failing & ~correct[-1], ~correct[-1], failing & correct[-1], correct.all(0))
    most_confident = np.argsort(-predictions.confidence[-1], kind="stable")
    chosen: list[tuple[str, int, int]] = []
    taken: set[int] = set()
    for reason, fits in zip(schema.EXEMPLAR_REASONS, eligible, strict=True):
        images = [int(image) for image in most_confident if fits[image] and int(image) not in taken][:per_reason]
        taken.update(images)
        chosen += [(reason, rank, image) for rank, image in enumerate(images, start=1)]
    return chosen


def _picture(image_id: int) -> np.ndarray:
    """(32, 32, 3) uint8: blots of color beneath grain, which compress as badly as a photograph."""
    rng = np.random.default_rng(image_id)
    blots = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize(
        (SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC
    )
    return np.clip(np.asarray(blots) + rng.normal(0, 8, (SIDE_PX, SIDE_PX, 3)), 0, 255).astype(np.uint8)


def _map_columns(heat: np.ndarray) -> dict[str, Any]:
    return {"map_f16": heat.astype("<f2").tobytes(), "map_height": heat.shape[0], "map_width": heat.shape[1]}
