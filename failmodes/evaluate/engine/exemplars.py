"""Exemplars: a few images per corruption, from clean to the last severity, stored in the results.

Chosen among the paired images of an evaluation, two for each reason, no image twice:

- first_to_fail: correct when clean, incorrect at the mildest severity, with the highest confidence
- confidently_incorrect: incorrect at the last severity, with the highest confidence
- recovered: incorrect at some severity and correct at the last, with the highest confidence
- still_correct: correct at every severity, with the highest confidence at the last
"""

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from failmodes.evaluate.cam.cam_method import CamUnavailable
from failmodes.evaluate.engine.clean_baseline import CleanBaseline, load_clean_baseline
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.study.study_schema import Study
from failmodes.ingest.datasets.thumbnails import encode_png
from failmodes.runtime.errors import DamagedShardError
from failmodes.runtime.storage.files import StorePath, exists
from failmodes.warehouse.metrics.transitions import onsets
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

PER_REASON = 2


def record_missing_exemplars(study: Study, evaluation: Evaluation) -> None:
    """Store exemplars of each corruption that lacks them for the study's severities.

    Studies without thumbnails and unpaired images have no exemplars.
    """
    if not evaluation.data.paired or not study.evaluation.thumbnails:
        return
    output = study.results_folder
    severities = {name: study.severities_of(name) for name in study.corruptions.names}
    names = [name for name in severities if not _are_done(output, evaluation, name, severities[name])]
    baseline = load_clean_baseline(output, evaluation) if names and evaluation.has_attention else None
    for name in names:
        _record_exemplars(output, evaluation, baseline, name, severities[name])


def _are_done(output: StorePath, evaluation: Evaluation, corruption: str, severities: list[Decimal]) -> bool:
    """Whether exemplars are published for exactly these severities."""
    path = dimension_path(output, EXEMPLARS, _key(evaluation, corruption))
    if not exists(path):
        return False
    stored = set(read_rows(path, EXEMPLARS)["severity"].to_pylist())
    return not stored or stored == {CLEAN_CELL.severity, *severities}


def _record_exemplars(
    output: StorePath,
    evaluation: Evaluation,
    baseline: CleanBaseline | None,
    corruption: str,
    severities: list[Decimal],
) -> None:
    """Choose exemplars from the published predictions, reproduce their images and maps, and publish them.

    Args:
        output: folder of the results.
        evaluation: the evaluation, with paired images.
        baseline: its clean maps; None without attention.
        corruption: name of the corruption.
        severities: in ascending order, without clean.
    """
    cells = (CLEAN_CELL, *(Cell(corruption, severity) for severity in severities))
    stored = [_predictions(output, evaluation, cell) for cell in cells]
    ranks, confidence = (
        np.stack([rows[name].fill_null(0).to_numpy() for rows in stored]) for name in ("label_rank", "confidence")
    )
    chosen = choose_exemplars(ranks == 1, confidence)
    rows: list[dict[str, Any]] = []
    for cell, of_cell in zip(cells, stored, strict=True) if chosen else ():
        rows += _exemplar_rows(evaluation, baseline, corruption, cell.severity, chosen, of_cell)
    write_dimension(output, EXEMPLARS, _key(evaluation, corruption), rows)


def choose_exemplars(correct: np.ndarray, confidence: np.ndarray) -> list[tuple[str, int, int]]:
    """Choose images by failure pattern.

    Args:
        correct: (S, N) boolean, clean first, in ascending order of severity.
        confidence: (S, N) in 0–1.

    Returns:
        (reason, rank from 1, position) of each chosen image.
    """
    last = len(correct) - 1
    onset = onsets(correct)
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


def _predictions(output: StorePath, evaluation: Evaluation, cell: Cell) -> pa.Table:
    """The published predictions of a cell, in the order of the subset."""
    path = shard_path(output, PREDICTION_FACTS, ShardKey(evaluation.evaluation_id, cell))
    rows = read_rows(path, PREDICTION_FACTS)
    count = len(evaluation.data.subset.clean_ids)
    if rows.num_rows != count:
        raise DamagedShardError(f"{path} is damaged: it has {rows.num_rows:,} images, the evaluation {count:,}")
    return rows


def _exemplar_rows(
    evaluation: Evaluation,
    baseline: CleanBaseline | None,
    corruption: str,
    severity: Decimal,
    chosen: list[tuple[str, int, int]],
    predictions: pa.Table,
) -> list[dict[str, Any]]:
    """Rows at one severity, one per chosen image, with the map for the class predicted on the clean image."""
    positions = np.array([position for _, _, position in chosen])
    shown = predictions.select(["image_id", "label", "predicted", "confidence"])
    ids = evaluation.data.subset.clean_ids[positions]
    images = np.asarray(evaluation.data.dataset.images[ids])
    if severity:
        images = evaluation.data.source.corrupted(images, corruption, severity, ids)
    rows = [
        {
            "evaluation_id": evaluation.evaluation_id, "corruption": corruption, "severity": severity,
            "reason": reason, "reason_rank": rank, "png": encode_png(image), **prediction,
        }
        for (reason, rank, _), image, prediction in zip(
            chosen, images, shown.take(positions).to_pylist(), strict=True
        )
    ]  # fmt: skip
    cam_method = evaluation.attention
    if baseline is not None and not isinstance(cam_method, CamUnavailable):
        targets = baseline.predicted[positions][:, None]
        maps = cam_method(evaluation.model.inputs(images), lambda _logits: targets).maps[:, 0].cpu().numpy()
        for row, heat in zip(rows, maps, strict=True):
            row |= {"map_f16": heat.astype("<f2").tobytes(), "map_height": heat.shape[0], "map_width": heat.shape[1]}
    return rows
