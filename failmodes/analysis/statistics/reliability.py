"""Accuracy by confidence, pooled over corruptions, with intervals that count an image under several corruptions once.

Cells of one severity show the same images, whose predictions agree: their bins hold more rows than independent images.
The interval is Wilson's of the effective number of images, the rows divided by the design effect (Korn and Graubard
1998, Survey Methodology 24, 193-201, who use the exact interval). Of a single cell it is Wilson's of its images.
"""

from math import inf
from typing import Any

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.bootstrap import Float64Array
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, CellKey, RunRows, read_run
from failmodes.warehouse.metrics.cell_rows import BINS, NotOnRecord, bins_of
from failmodes.warehouse.metrics.duplicates import Groups, group_sums
from failmodes.warehouse.metrics.intervals import wilson_interval

_COLUMNS = {"label": pl.String, "severity": pl.Float64, "bin_index": pl.Int64, "count": pl.Int64,
            "mean_confidence": pl.Float64, "accuracy": pl.Float64, "accuracy_low": pl.Float64,
            "accuracy_high": pl.Float64}  # fmt: skip


@read_once
def pooled_reliability(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """Bins of confidence that occurred, pooled over the averaged corruptions.

    Returns:
        A row an evaluation (`label`), severity from clean on and `bin_index` (of `BINS` equal bins, from 0): `count`
        (predictions with finite logits), `mean_confidence`, `accuracy` and the ends of its 95 % interval, 0-1.
    """
    found = []
    for evaluation in selection.evaluations:
        run = read_run(con, evaluation.evaluation_id)
        cells = [cell for cell in run.cells if cell == CLEAN_CELL or cell[0] in selection.averaged]
        for severity in sorted({severity for _, severity in cells}):
            bins = _bins_of_cells(run, [cell for cell in cells if cell[1] == severity])
            found += [(evaluation.label, severity, *row) for row in bins]
    return pl.DataFrame(found, _COLUMNS, orient="row")


def _bins_of_cells(run: RunRows, cells: list[CellKey]) -> list[tuple[int, int, float, float, float, float]]:
    """Bin, count, mean confidence, accuracy and its interval, of cells together; none without finite confidences."""
    try:
        columns = [(rows["confidence"].astype(np.float64), rows["correct"]) for rows in map(run.rows, cells)]
    except NotOnRecord:
        return []
    confidence, correct = (np.stack(values, axis=1) for values in zip(*columns, strict=True))
    is_known = np.isfinite(confidence)
    index = np.where(is_known, bins_of(np.where(is_known, confidence, 0)), BINS)
    found = []
    for place in np.unique(index[is_known]).tolist():
        inside = index == place
        groups = run.correctness.groups if run.shares_images else None
        low, high = accuracy_interval(inside, correct, groups, shares_images=run.shares_images)
        found.append(
            (place, int(inside.sum()), float(confidence[inside].mean()), float(correct[inside].mean()), low, high)
        )
    return found


def accuracy_interval(
    inside: NDArray[np.bool_], correct: NDArray[np.bool_], groups: Groups | None = None, *, shares_images: bool = True
) -> tuple[float, float]:
    """The 95 % interval of the accuracy of the predictions that are `inside`.

    Args:
        inside: (N, K) which predictions of N images under K corruptions, one at least.
        correct: (N, K) which are correct.
        groups: (N,) of duplicates among the images, which count as one; None where they are distinct.
        shares_images: whether a row is one image; else all predictions are of different images.
    """
    count = int(inside.sum())
    accuracy = float(correct[inside].mean())
    effective = float(count)
    if shares_images:
        totals, hits = inside.sum(axis=1), (correct & inside).sum(axis=1)
        if groups is not None:
            totals, hits = group_sums(totals, groups), group_sums(hits, groups)
        effective = min(count, _effective_count(totals, hits, accuracy))
    low, high = wilson_interval(accuracy, effective)
    return float(low), float(high)


def _effective_count(totals: NDArray[Any], correct: NDArray[Any], accuracy: float) -> float:
    """Independent images that know the share as well; where all or none are correct, the images of the bin.

    Args:
        totals: (N,) predictions of each image in the bin.
        correct: (N,) those of them that are correct.
        accuracy: of all of them.
    """
    count, images = totals.sum(), int(np.count_nonzero(totals))
    gaps: Float64Array = correct - accuracy * totals
    variance = float(np.square(gaps).sum()) / count**2  # of a ratio of sums over images, linearized
    if not 0 < accuracy < 1:
        return float(images)
    return accuracy * (1 - accuracy) / variance if variance > 0 else inf
