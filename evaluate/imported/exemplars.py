"""Exemplars of imported predictions: the same choice and pictures as of any evaluation, without maps."""

import io
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from PIL import Image

from evaluate.engine.exemplars import choose_exemplars, exemplars_are_done
from evaluate.evaluation import Evaluation
from evaluate.imported.scratch import CellKey
from warehouse.errors import DamagedShardError
from warehouse.place import Place
from warehouse.record import ZERO, clean_cell, read_stored, shard_path, write_dimension
from warehouse.schema import CLEAN, EXEMPLARS, PREDICTIONS


def record_imported_exemplars(output: Place, evaluation: Evaluation, cells: Sequence[CellKey]) -> None:
    """Choose and publish exemplars of each corruption, from predictions on record; none where images do not pair."""
    if not evaluation.pairing.paired:
        return
    for corruption in dict.fromkeys(cell.corruption for cell in cells if cell.corruption != CLEAN):
        severities = [cell.severity for cell in cells if cell.corruption == corruption]
        if not _are_done(output, evaluation, corruption, severities):
            rows = _exemplars(output, evaluation, corruption, severities)
            write_dimension(output, EXEMPLARS, f"{evaluation.evaluation_id}-{corruption}", rows)


def _are_done(output: Place, evaluation: Evaluation, corruption: str, severities: list[Decimal]) -> bool:
    try:
        return exemplars_are_done(output, evaluation, corruption, severities)
    except DamagedShardError:
        return False  # made again: what they are made from is at hand


def _exemplars(
    output: Place, evaluation: Evaluation, corruption: str, severities: list[Decimal]
) -> list[dict[str, Any]]:
    cells = [clean_cell(evaluation.evaluation_id), *(evaluation.cell(corruption, s) for s in severities)]
    stored = [read_stored(shard_path(output, PREDICTIONS, cell)).rows for cell in cells]
    predicted = np.stack([rows["predicted"].fill_null(-1).to_numpy() for rows in stored])
    labels = stored[0]["label"].to_numpy()
    confidence = np.stack([rows["confidence"].fill_null(0).to_numpy() for rows in stored])
    chosen = choose_exemplars(predicted == labels, confidence)
    if not chosen:
        return []
    places = np.array([place for _, _, place in chosen])
    return [
        row
        for severity, classes, shares in zip(
            (ZERO, *severities), predicted[:, places], confidence[:, places], strict=True
        )
        for row in _at(evaluation, corruption, severity, chosen, labels, classes, shares)
    ]


def _at(
    evaluation: Evaluation,
    corruption: str,
    severity: Decimal,
    chosen: list[tuple[str, int, int]],
    labels: np.ndarray,
    predicted: np.ndarray,
    confidence: np.ndarray,
) -> list[dict[str, Any]]:
    """Rows at one severity, one a chosen image: `labels` (N,) of all images, the others of the chosen ones."""
    places = [place for _, _, place in chosen]
    ids = evaluation.subset.clean_ids[places]
    images = np.asarray(evaluation.dataset.images[ids])
    if severity:
        images = evaluation.source.corrupted(images, corruption, severity, ids)
    rows = []
    for number, (reason, rank, place) in enumerate(chosen):
        known = predicted[number] >= 0
        rows.append({
            "evaluation_id": evaluation.evaluation_id, "corruption": corruption, "severity": severity,
            "image_id": int(ids[number]), "reason": reason, "reason_rank": rank, "label": int(labels[place]),
            "predicted": int(predicted[number]) if known else None,
            "confidence": float(confidence[number]) if known else None, "png": _png(images[number]),
        })  # fmt: skip
    return rows


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
