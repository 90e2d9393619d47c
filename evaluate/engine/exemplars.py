"""Exemplars: a few real images a corruption, clean to the last severity, so that later stages need no images.

Chosen among the paired images of an evaluation, two for each reason, no image twice:

- first_to_fail: right when clean, wrong at the mildest severity, most confidently
- confidently_wrong: wrong at the last severity, most confidently
- recovered: wrong at some severity and right at the last, most confidently
- still_right: right everywhere, most confidently at the last severity
"""

import io
from decimal import Decimal
from typing import Any

import numpy as np
from PIL import Image

from evaluate.attention.reference import Reference
from evaluate.attention.ways import NoWay
from evaluate.engine.prediction import outcome_of
from evaluate.evaluation import Evaluation
from warehouse.place import Place, is_there
from warehouse.record import ZERO, clean_cell, dimension_path, read_stored, shard_path, write_dimension
from warehouse.schema import EXEMPLARS, PREDICTIONS

PER_REASON = 2
REASONS = ("first_to_fail", "confidently_wrong", "recovered", "still_right")


def exemplars_are_done(output: Place, evaluation: Evaluation, corruption: str, severities: list[Decimal]) -> bool:
    """Whether exemplars are published for just these severities."""
    path = dimension_path(output, EXEMPLARS, _key(evaluation, corruption))
    if not is_there(path):
        return False
    held = set(read_stored(path).rows["severity"].to_pylist())
    return not held or held == {ZERO, *severities}


def record_exemplars(
    output: Place, evaluation: Evaluation, reference: Reference | None, corruption: str, severities: list[Decimal]
) -> None:
    """Choose exemplars from the published predictions, make their pictures and maps again, and publish them."""
    chosen = choose_exemplars(*_correctness(output, evaluation, corruption, severities))
    rows: list[dict[str, Any]] = []
    for severity in (ZERO, *severities) if chosen else ():
        rows += _pictures(evaluation, reference, corruption, severity, chosen)
    write_dimension(output, EXEMPLARS, _key(evaluation, corruption), rows)


def choose_exemplars(correct: np.ndarray, confidence: np.ndarray) -> list[tuple[str, int, int]]:
    """Choose images by how they fail.

    Args:
        correct: (S, N) boolean, clean first, by rising severity.
        confidence: (S, N) in 0–1.

    Returns:
        (reason, rank from 1, position) of each chosen image.
    """
    last = len(correct) - 1
    onset = np.where(correct.all(0), len(correct), (~correct).argmax(0))
    mildest = -onset.astype(float) + confidence[np.minimum(onset, last), np.arange(correct.shape[1])]
    candidates = {
        "first_to_fail": (correct[0] & (onset <= last), mildest),
        "confidently_wrong": (~correct[last], confidence[last]),
        "recovered": (~correct[1:last].all(0) & correct[last] & correct[0], confidence[last]),
        "still_right": (correct.all(0), confidence[last]),
    }
    taken: set[int] = set()
    chosen = []
    for reason in REASONS:
        eligible, score = candidates[reason]
        ranked = [int(i) for i in np.argsort(-score, kind="stable") if eligible[i] and int(i) not in taken]
        for rank, position in enumerate(ranked[:PER_REASON], start=1):
            taken.add(position)
            chosen.append((reason, rank, position))
    return chosen


def _key(evaluation: Evaluation, corruption: str) -> str:
    return f"{evaluation.evaluation_id}-{corruption}"


def _correctness(
    output: Place, evaluation: Evaluation, corruption: str, severities: list[Decimal]
) -> tuple[np.ndarray, np.ndarray]:
    cells = [clean_cell(evaluation.evaluation_id), *(evaluation.cell(corruption, s) for s in severities)]
    correct, confidence = [], []
    for cell in cells:
        rows = read_stored(shard_path(output, PREDICTIONS, cell)).rows
        predicted = rows["predicted"].fill_null(-1).to_numpy()
        correct.append(predicted == rows["label"].to_numpy())
        confidence.append(rows["confidence"].fill_null(0).to_numpy())
    return np.stack(correct), np.stack(confidence)


def _pictures(
    evaluation: Evaluation,
    reference: Reference | None,
    corruption: str,
    severity: Decimal,
    chosen: list[tuple[str, int, int]],
) -> list[dict[str, Any]]:
    positions = np.array([position for _, _, position in chosen])
    ids = evaluation.subset.clean_ids[positions]
    images = np.asarray(evaluation.dataset.images[ids])
    if severity:
        images = evaluation.source.corrupted(images, corruption, severity, ids)
    labels = evaluation.dataset.labels[ids]
    way, heats = evaluation.way, None
    if reference is None or isinstance(way, NoWay):
        logits = evaluation.network.predict(images)
    else:
        clean = reference.predicted[positions][:, None]
        attended = way(evaluation.network.inputs(images), lambda _logits: clean)
        logits, heats = attended.logits, attended.maps[:, 0].cpu().numpy()
    outcome = outcome_of(logits, labels)
    rows: list[dict[str, Any]] = []
    for position, (reason, rank, _) in enumerate(chosen):
        finite = bool(outcome.finite[position])
        rows.append({
            "evaluation_id": evaluation.evaluation_id, "corruption": corruption, "severity": severity,
            "image_id": int(ids[position]), "reason": reason, "reason_rank": rank, "label": int(labels[position]),
            "predicted": int(outcome.predicted[position]) if finite else None,
            "confidence": float(outcome.confidence[position]) if finite else None, "png": _png(images[position]),
        })  # fmt: skip
    for row, heat in zip(rows, [] if heats is None else heats, strict=heats is not None):
        row |= {"map_f16": heat.astype("<f2").tobytes(), "map_height": heat.shape[0], "map_width": heat.shape[1]}
    return rows


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
