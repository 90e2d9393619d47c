"""Exemplars: a few real images a corruption, clean to the last severity, so that later stages need no images.

Chosen among the paired images of an evaluation, two for each reason, no image twice:

- first_to_fail: right when clean, wrong at the mildest severity, most confidently
- confidently_incorrect: wrong at the last severity, most confidently
- recovered: wrong at some severity and right at the last, most confidently
- still_correct: right everywhere, most confidently at the last severity
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from failmodes.evaluate.cam.cam_method import CamUnavailable
from failmodes.evaluate.engine.clean_baseline import CleanBaseline
from failmodes.evaluate.evaluation import Evaluation
from failmodes.ingest.datasets.thumbnails import encode_png
from failmodes.warehouse.errors import DamagedShardError
from failmodes.warehouse.schema import EXEMPLAR_REASONS, EXEMPLARS, PREDICTION_FACTS
from failmodes.warehouse.shards.format import (
    CLEAN_CELL,
    Cell,
    ShardKey,
    dimension_path,
    shard_path,
    write_dimension,
)
from failmodes.warehouse.shards.inventory import read_rows
from failmodes.warehouse.storage.files import StorePath, exists

PER_REASON = 2


def exemplars_are_done(output: StorePath, evaluation: Evaluation, corruption: str, severities: list[Decimal]) -> bool:
    """Whether exemplars are published for just these severities."""
    path = dimension_path(output, EXEMPLARS, _key(evaluation, corruption))
    if not exists(path):
        return False
    stored = set(read_rows(path, EXEMPLARS)["severity"].to_pylist())
    return not stored or stored == {CLEAN_CELL.severity, *severities}


def record_exemplars(
    output: StorePath,
    evaluation: Evaluation,
    baseline: CleanBaseline | None,
    corruption: str,
    severities: list[Decimal],
) -> None:
    """Choose exemplars from the published predictions, make their images and maps again, and publish them.

    Args:
        output: the folder of the record.
        evaluation: whose predictions they are; its images pair with the clean ones.
        baseline: its clean maps; None where there is no attention, then there are no maps.
        corruption: its name.
        severities: rising, without the clean one.
    """
    stored = _stored(output, evaluation, corruption, severities)
    chosen = choose_exemplars(stored.predicted == stored.labels, stored.confidence)
    rows: list[dict[str, Any]] = []
    for number, severity in enumerate((CLEAN_CELL.severity, *severities)) if chosen else ():
        rows += _pictures(evaluation, baseline, corruption, severity, chosen, stored.at(number))
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
        "confidently_incorrect": (~correct[last], confidence[last]),
        "recovered": (~correct[1:last].all(0) & correct[last] & correct[0], confidence[last]),
        "still_correct": (correct.all(0), confidence[last]),
    }
    taken: set[int] = set()
    chosen = []
    for reason in EXEMPLAR_REASONS:
        eligible, score = candidates[reason]
        ranked = [int(i) for i in np.argsort(-score, kind="stable") if eligible[i] and int(i) not in taken]
        for rank, position in enumerate(ranked[:PER_REASON], start=1):
            taken.add(position)
            chosen.append((reason, rank, position))
    return chosen


def _key(evaluation: Evaluation, corruption: str) -> str:
    return f"{evaluation.evaluation_id}-{corruption}"


class _Stored(NamedTuple):
    """Published predictions, clean first: predicted (−1: no class), confidence, finite (S, N); labels (N,)."""

    predicted: np.ndarray
    confidence: np.ndarray
    finite: np.ndarray
    labels: np.ndarray

    def at(self, number: int) -> "_Stored":
        return _Stored(self.predicted[number], self.confidence[number], self.finite[number], self.labels)


def _stored(output: StorePath, evaluation: Evaluation, corruption: str, severities: list[Decimal]) -> _Stored:
    cells = (CLEAN_CELL, *(Cell(corruption, severity) for severity in severities))
    keys = [ShardKey(evaluation.evaluation_id, cell) for cell in cells]
    rows = [
        _predictions(shard_path(output, PREDICTION_FACTS, key), len(evaluation.data.subset.clean_ids)) for key in keys
    ]
    return _Stored(
        np.stack([r["predicted"].fill_null(-1).to_numpy() for r in rows]),
        np.stack([r["confidence"].fill_null(0).to_numpy() for r in rows]),
        np.stack([r["finite"].to_numpy() for r in rows]),
        rows[0]["label"].to_numpy(),
    )


def _predictions(path: StorePath, count: int) -> pa.Table:
    rows = read_rows(path, PREDICTION_FACTS)
    if rows.num_rows != count:
        raise DamagedShardError(f"{path} is damaged: it holds {rows.num_rows:,} images, the evaluation {count:,}")
    return rows


def _pictures(
    evaluation: Evaluation,
    baseline: CleanBaseline | None,
    corruption: str,
    severity: Decimal,
    chosen: list[tuple[str, int, int]],
    stored: _Stored,
) -> list[dict[str, Any]]:
    """Rows at one severity, one a chosen image."""
    positions = np.array([position for _, _, position in chosen])
    ids = evaluation.data.subset.clean_ids[positions]
    images = np.asarray(evaluation.data.dataset.images[ids])
    if severity:
        images = evaluation.data.source.corrupted(images, corruption, severity, ids)
    rows: list[dict[str, Any]] = []
    for number, (reason, rank, position) in enumerate(chosen):
        known, predicted = bool(stored.finite[position]), int(stored.predicted[position])
        rows.append({
            "evaluation_id": evaluation.evaluation_id, "corruption": corruption, "severity": severity,
            "image_id": int(ids[number]), "reason": reason, "reason_rank": rank, "label": int(stored.labels[position]),
            "predicted": predicted if predicted >= 0 else None,
            "confidence": float(stored.confidence[position]) if known else None, "png": encode_png(images[number]),
        })  # fmt: skip
    for row, heat in zip(rows, _maps(evaluation, baseline, images, positions), strict=False):
        row |= {"map_f16": heat.astype("<f2").tobytes(), "map_height": heat.shape[0], "map_width": heat.shape[1]}
    return rows


def _maps(
    evaluation: Evaluation, baseline: CleanBaseline | None, images: np.ndarray, positions: np.ndarray
) -> Iterable[np.ndarray]:
    """The map (h, w) of each image for the class predicted on its clean image; none without attention."""
    cam_method = evaluation.attention
    if baseline is None or isinstance(cam_method, CamUnavailable):
        return ()
    clean = baseline.predicted[positions][:, None]
    return cam_method(evaluation.model.inputs(images), lambda _logits: clean).maps[:, 0].cpu().numpy()
