"""Whether confidence keeps up with accuracy: overconfidence by cell, calibration error beside its noise, reliability.

Bins of a reliability diagram are pooled over corruptions. Cells of one severity show the same images, whose predictions
agree: their bins hold more rows than independent images. The interval of a bin's accuracy is Wilson's of the effective
number of images, the rows divided by the design effect (Korn and Graubard 1998, Survey Methodology 24, 193-201, who use
the exact interval). Of a single cell it is Wilson's of its images.
"""

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, read_metrics
from failmodes.analysis.statistics.estimate import Estimate, Float64Array
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, CellKey, RunRows, read_run, share_of_independent
from failmodes.analysis.statistics.shares import p_by_inversion
from failmodes.warehouse.database.connection import read_once
from failmodes.warehouse.metrics.calibration import overconfidence_interval, p_of_error
from failmodes.warehouse.metrics.cell_rows import BINS, NotStored, bins_of
from failmodes.warehouse.metrics.duplicates import Groups, group_sums
from failmodes.warehouse.metrics.intervals import wilson_interval
from failmodes.warehouse.schema import CLEAN

_BIN_COLUMNS = {"label": pl.String, "severity": pl.Float64, "bin_index": pl.Int64, "count": pl.Int64,
                "mean_confidence": pl.Float64, "accuracy": pl.Float64, "accuracy_low": pl.Float64,
                "accuracy_high": pl.Float64}  # fmt: skip


class CellConfidence(NamedTuple):
    """Confidence of one cell, over its images with finite logits.

    Attributes:
        corruption: its name, or 'none' for the clean images.
        severity: of the cell.
        overconfidence: mean confidence minus accuracy of the same images, -1 to 1. Its interval is mean confidence
            minus the exact interval of accuracy, or that of the images' differences if it is wider. Interval and
            p value (two-sided, of 0) hold for all listed cells of the evaluation together; n: with finite logits.
    """

    corruption: str
    severity: float
    overconfidence: Estimate


class CleanCalibration(NamedTuple):
    """ECE on clean images with its 95% interval, and its 95th percentile for a calibrated model (noise floor).

    The calibrated model has the same confidences. The p value is the probability that its error is at least as large.
    """

    ece: float
    noise_floor: float
    image_count: int
    p_value: float
    low: float | None = None
    high: float | None = None


@read_once
def overconfidence_by_corruption(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> list[CellConfidence]:
    """Overconfidence on clean images and at the last severity of each corruption, the farthest from 0 first."""
    rows = read_metrics(con, [evaluation.evaluation_id], ["mean_confidence", "overconfidence"])
    at_last = pl.col("severity") == pl.col("severity").max().over("corruption")
    chosen = rows.filter(pl.col("corruption").is_in([CLEAN, *selection.corruptions]), at_last)
    if chosen.is_empty():
        return []
    cells = chosen.pivot("metric", index=["corruption", "severity", "n"], values="value")
    ordered = cells.sort(pl.col("overconfidence").abs(), "corruption", descending=[True, False])
    independent = share_of_independent(con, evaluation.evaluation_id)
    spreads = _spreads(con, evaluation)
    gaps = []
    for row in ordered.rows(named=True):
        corruption, severity, count, mean = (row[name] for name in ("corruption", "severity", "n", "mean_confidence"))
        correct = round((mean - row["overconfidence"]) * count)
        spread = spreads.get((corruption, severity), 0.0)  # a data check reports a cell without rows
        interval = partial(overconfidence, mean, correct, count, len(cells), independent, spread)
        gap = interval()._replace(n=count, p_value=_p_of_zero(interval))
        gaps.append(CellConfidence(corruption, severity, gap))
    return gaps


def _p_of_zero(interval: Callable[..., Estimate]) -> float:
    """Two-sided p value of 0, by inversion of an interval."""
    return p_by_inversion(lambda level: (end := interval(level=level)).above_zero or end.below_zero)


def _spreads(con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo) -> dict[tuple[str, float], float]:
    """Standard deviation of confidence minus correctness over the images of each cell with finite logits."""
    rows = con.execute(
        "select corruption, severity::double, stddev_pop(confidence - coalesce(predicted = label, false)::int) "
        "from prediction_facts where evaluation_id = ? and finite group by all",
        [evaluation.evaluation_id],
    ).fetchall()
    return {(corruption, severity): spread for corruption, severity, spread in rows}


def overconfidence(
    mean_confidence: float,
    correct: int,
    count: int,
    cells: int = 1,
    independent: float = 1.0,
    spread: float = 0.0,
    level: float = 0.95,
) -> Estimate:
    """Mean confidence minus accuracy, with an interval that holds for `cells` cells together.

    `independent` is the effective number of images as a share of them (see `warehouse.metrics.duplicates`), `spread`
    the standard deviation of confidence minus correctness over images.
    """
    counts = correct * independent, count * independent
    ends = overconfidence_interval(mean_confidence, *counts, spread, comparisons=cells, level=level)
    return Estimate(mean_confidence - correct / count, *ends)


@read_once
def clean_calibration(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> CleanCalibration | None:
    """Calibration error on clean images; None if no logits are finite."""
    rows = read_metrics(con, [evaluation.evaluation_id], ["ece", "ece_noise_floor"]).filter(corruption=CLEAN)
    metrics = {metric: row for metric, *row in rows.select("metric", "value", "low", "high", "n").rows()}
    if not metrics:
        return None
    bins = con.execute(
        "select image_count, confidence_sum from cell_confidence_bins "
        "where evaluation_id = ? and corruption = ? order by bin_index",
        [evaluation.evaluation_id, CLEAN],
    ).fetchnumpy()
    ece, low, high, count = metrics["ece"]
    counts = np.asarray(bins["image_count"], np.int64)
    sums = np.asarray(bins["confidence_sum"], np.float64)
    p_value = p_of_error(ece, counts, sums, share_of_independent(con, evaluation.evaluation_id))
    return CleanCalibration(ece, metrics["ece_noise_floor"][0], count, p_value, low, high)


@read_once
def pooled_reliability(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """Non-empty confidence bins, pooled over the averaged corruptions.

    Returns:
        A row per evaluation (`label`), severity from clean on and `bin_index` (of `BINS` equal bins, from 0): `count`
        (predictions with finite logits), `mean_confidence`, `accuracy` and the ends of its 95% interval, 0-1.
    """
    rows = []
    for evaluation in selection.evaluations:
        run = read_run(con, evaluation.evaluation_id)
        cells = [cell for cell in run.cells if cell == CLEAN_CELL or cell[0] in selection.averaged]
        for severity in sorted({severity for _, severity in cells}):
            bins = _bins_of_cells(run, [cell for cell in cells if cell[1] == severity])
            rows += [(evaluation.label, severity, *row) for row in bins]
    return pl.DataFrame(rows, _BIN_COLUMNS, orient="row")


def _bins_of_cells(run: RunRows, cells: list[CellKey]) -> list[tuple[int, int, float, float, float, float]]:
    """Bin, count, mean confidence, accuracy and its interval, pooled over cells; empty without finite confidences."""
    try:
        columns = [(rows["confidence"].astype(np.float64), rows["correct"]) for rows in map(run.rows, cells)]
    except NotStored:
        return []
    most = max(len(correct) for _, correct in columns)  # cells of a table may have different numbers of images
    confidence, correct = np.full((most, len(cells)), np.nan), np.zeros((most, len(cells)), np.bool_)
    for place, (of_cell, are_correct) in enumerate(columns):
        confidence[: len(of_cell), place] = of_cell
        correct[: len(are_correct), place] = are_correct
    is_known = np.isfinite(confidence)
    index = np.where(is_known, bins_of(np.where(is_known, confidence, 0)), BINS)
    bins = []
    for place in np.unique(index[is_known]).tolist():
        inside = index == place
        groups = run.groups if run.shares_images else None
        low, high = accuracy_interval(inside, correct, groups, shares_images=run.shares_images)
        bins.append(
            (place, int(inside.sum()), float(confidence[inside].mean()), float(correct[inside].mean()), low, high)
        )
    return bins


def accuracy_interval(
    inside: NDArray[np.bool_], correct: NDArray[np.bool_], groups: Groups | None = None, *, shares_images: bool = True
) -> tuple[float, float]:
    """The 95% interval of the accuracy of the predictions `inside`.

    Args:
        inside: (N, K) which predictions of N images under K corruptions, one at least.
        correct: (N, K) which are correct.
        groups: (N,) of duplicates among the images, which count as one; None if they are distinct.
        shares_images: whether a row is one image; else all predictions are of different images.
    """
    count = int(inside.sum())
    accuracy = float(correct[inside].mean())
    effective = float(count)
    if shares_images:
        totals = inside.sum(axis=1)
        hits = (correct & inside).sum(axis=1)
        if groups is not None:
            totals = group_sums(totals, groups)
            hits = group_sums(hits, groups)
        effective = min(count, _effective_count(totals, hits, accuracy))
    low, high = wilson_interval(accuracy, effective)
    return float(low), float(high)


def _effective_count(totals: NDArray[Any], correct: NDArray[Any], accuracy: float) -> float:
    """Number of independent images with the same error; if all or none are correct, the images of the bin.

    Args:
        totals: (N,) predictions of each image in the bin.
        correct: (N,) those of them that are correct.
        accuracy: of all of them.
    """
    count = totals.sum()
    images = int(np.count_nonzero(totals))
    gaps: Float64Array = correct - accuracy * totals
    variance = float(np.square(gaps).sum()) / count**2  # of a ratio of sums over images, linearized
    if not 0 < accuracy < 1:
        return float(images)
    return accuracy * (1 - accuracy) / variance if variance > 0 else inf
