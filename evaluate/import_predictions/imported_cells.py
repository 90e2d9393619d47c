"""One cell of imported predictions: its rows as the engine makes them, with distortion from the study's own images."""

from pathlib import Path

import numpy as np
import torch

from failmodes.evaluate.engine.fact_rows import prediction_buffer, prediction_columns
from failmodes.evaluate.engine.prediction_statistics import compute_prediction_statistics
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.import_predictions.predictions_file import OutputKind
from failmodes.ingest.distortion import rmse, ssim
from failmodes.warehouse.provenance import library_versions
from failmodes.warehouse.schema import PREDICTIONS
from failmodes.warehouse.shards.format import Cell, ShardKey, write_shard
from failmodes.warehouse.storage.files import StorePath

BLOCK_PIXEL_VALUES = 1 << 24  # corrupted at a time

DEVICE = "elsewhere"


def write_cell(
    output: StorePath,
    evaluation: Evaluation,
    cell: Cell,
    values: np.ndarray,
    kind: OutputKind,
    origin: str,
    scratch: Path,
) -> None:
    """Publish the predictions of a cell.

    Args:
        output: the output folder.
        evaluation: what they belong to.
        cell: the cell.
        values: (N, C) float32 logits, in the order of the subset; of log p, what depends on the lost constant is null.
        kind: what the file held.
        origin: name of the file.
        scratch: folder where many rows wait.
    """
    subset, dataset = evaluation.subset, evaluation.dataset
    ids = subset.clean_ids if cell.is_clean else subset.corrupted_ids
    labels = dataset.labels[ids] if cell.is_clean else subset.corrupted_labels
    assert values.shape == (len(ids), len(dataset.class_names)), values.shape
    rows = prediction_buffer(scratch)
    step = max(1, BLOCK_PIXEL_VALUES // int(np.prod(dataset.images.shape[1:])))
    for start in range(0, len(ids), step):
        part = slice(start, start + step)
        outcome = compute_prediction_statistics(torch.from_numpy(np.ascontiguousarray(values[part])), labels[part])
        columns = prediction_columns(ids[part], outcome, *_distortion(evaluation, cell, ids[part]))
        if kind == "probabilities":
            columns |= {"log_sum_exp": None, "max_logit": None}
        rows.add(columns)
    facts = {"device": DEVICE, "imported_from": origin, "versions": library_versions()}
    write_shard(output, PREDICTIONS, ShardKey(evaluation.evaluation_id, cell), rows.table(), facts)


def _distortion(
    evaluation: Evaluation, cell: Cell, ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    """RMSE and SSIM (N,) against the clean images; None where corrupted images do not pair with them."""
    if cell.is_clean:
        return np.zeros(len(ids), np.float32), np.ones(len(ids), np.float32)
    if not evaluation.pairing.paired:
        return None, None
    clean = evaluation.dataset.images[ids]
    images = evaluation.source.corrupted(clean, cell.corruption, cell.severity, ids)
    return rmse(clean, images), ssim(clean, images)
