"""Tables of a cell or a curve that are not metrics: bins, confusion, predictions, clean predictions, onsets, risks."""

from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal

import numpy as np
import pyarrow as pa

from failmodes.warehouse.database_schema import IMAGE_ONSETS
from failmodes.warehouse.metrics.calibration import has_confidence
from failmodes.warehouse.metrics.cell_rows import (
    BINS,
    OTHER,
    SCORES,
    CellRows,
    Undefined,
    bins_of,
    hash_of_ids,
    pattern_of,
)
from failmodes.warehouse.metrics.failure_prediction import COVERAGE_PERCENT, ranking_of, selective_risks
from failmodes.warehouse.metrics.intervals import wilson_interval
from failmodes.warehouse.metrics.transitions import onsets

Columns = dict[str, pa.Array]


def confidence_bins(rows: CellRows) -> Columns:
    """Columns of cell_confidence_bins."""
    known = has_confidence(rows)
    confidence, correct = rows["confidence"][known].astype(np.float64), rows["correct"][known]
    index = bins_of(confidence)
    counts = np.bincount(index, minlength=BINS)
    filled = np.flatnonzero(counts)
    correct_counts = np.bincount(index, correct, BINS)[filled]
    low, high = wilson_interval(correct_counts / counts[filled], counts[filled])
    return {
        "bin_count": pa.array(np.full(len(filled), BINS)),
        "bin_index": pa.array(filled),
        "image_count": pa.array(counts[filled]),
        "correct_count": pa.array(correct_counts.astype(np.int64)),
        "confidence_sum": pa.array(np.bincount(index, confidence, BINS)[filled]),
        "accuracy_low": pa.array(low),
        "accuracy_high": pa.array(high),
    }


def confusion(rows: CellRows) -> Columns:
    """Columns of cell_confusion."""
    shifted = rows["predicted"].astype(np.int64) - OTHER  # no class is 0
    base = int(shifted.max(initial=0)) + 1
    keys, counts = np.unique((rows["label"].astype(np.int64) * base + shifted) * 2 + rows["finite"], return_counts=True)
    labels, predicted = keys // 2 // base, keys // 2 % base + OTHER
    return {
        "label": pa.array(labels),
        "predicted": pa.array(predicted, mask=predicted == OTHER),
        "finite": pa.array(keys % 2 == 1),
        "image_count": pa.array(counts),
    }


def predictions(rows: CellRows) -> Columns:
    """Columns of cell_predictions, one row."""
    ids = rows["image_id"]
    return {
        "row_count": pa.array([len(rows)]),
        "image_count": pa.array([len(np.unique(ids))]),
        "independent_share": pa.array([rows.independent_share()]),
        "image_ids_md5": pa.array([hash_of_ids(ids)]),
        "correct_images": pa.array([pattern_of(rows["correct"])]),
    }


def clean_predictions(rows: CellRows) -> Columns:
    """Columns of clean_predictions; no row of a corrupted cell."""
    kept = slice(None if rows.is_clean else 0)
    predicted = rows["predicted"][kept]
    return {
        "image_id": pa.array(rows["image_id"][kept]),
        "predicted": pa.array(predicted, mask=predicted == OTHER),
        "finite": pa.array(rows["finite"][kept]),
        "correct": pa.array(rows["correct"][kept]),
    }


def risks(rows: CellRows) -> Columns:
    """Columns of selective_risks."""
    found = {}
    for score in SCORES:
        with suppress(Undefined):
            found[score] = ranking_of(rows, score)
    count = len(COVERAGE_PERCENT)
    return {
        "score": pa.array([score for score in found for _ in range(count)], pa.string()),
        "coverage_percent": pa.array(np.tile(COVERAGE_PERCENT, len(found))),
        "selective_risk": pa.array(np.concatenate([np.empty(0), *map(selective_risks, found.values())])),
    }


def image_onsets(curve: Sequence[CellRows]) -> Columns:
    """Columns of image_onsets of one corruption, by image_id.

    Args:
        curve: the same images from clean to the last severity.
    """
    correct = np.stack([rows["correct"] for rows in curve], axis=1)
    count, points = correct.shape
    onset = onsets(correct.T)
    last_correct = np.where(correct.any(axis=1), points - 1 - correct[:, ::-1].argmax(axis=1), -1)
    severities = [Decimal(str(rows.severity)) for rows in curve]
    levels = pa.array([*severities, None], IMAGE_ONSETS.arrow().field("onset_severity").type)
    ends = np.arange(count + 1, dtype=np.int32) * np.int32(points)
    letters = np.ascontiguousarray(correct + np.uint8(ord("0")))
    return {
        "image_id": pa.array(curve[0]["image_id"]),
        "label": pa.array(curve[0]["label"]),
        "clean_correct": pa.array(curve[0]["correct"]),
        "onset_severity": levels.take(pa.array(onset)),  # `points` stands for never
        "correctness_pattern": pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(letters)),
        "incorrect_count": pa.array(points - correct.sum(axis=1)),
        "last_correct_severity": levels.take(pa.array(np.where(onset == 0, points, onset - 1))),
        "recovered": pa.array(last_correct > onset),
    }
