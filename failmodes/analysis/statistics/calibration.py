"""Whether confidence keeps up with accuracy: overconfidence cell by cell, and calibration error beside its noise."""

from typing import NamedTuple

import duckdb
import numpy as np
import polars as pl

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, Selection, read_metrics
from failmodes.analysis.statistics.bootstrap import Estimate, Word
from failmodes.analysis.statistics.duplicates import share_of_independent
from failmodes.analysis.statistics.shares import p_by_inversion
from failmodes.warehouse.metrics.calibration import overconfidence_interval, p_of_error
from failmodes.warehouse.schema import CLEAN


class CellConfidence(NamedTuple):
    """Confidence of one cell, over its images with finite logits.

    Attributes:
        corruption: its name, or 'none' for the clean images.
        severity: of the cell.
        image_count: images with finite logits.
        mean_confidence: 0-1.
        overconfidence: mean confidence minus accuracy of the same images, -1 to 1. Its interval is mean confidence
            minus the exact one of accuracy, or that of the images' differences where it is wider, and holds for all
            cells of the evaluation that are listed together.
        p_value: two-sided, of a model that is neither over- nor underconfident, for all these cells together.
    """

    corruption: str
    severity: float
    image_count: int
    mean_confidence: float
    overconfidence: Estimate
    p_value: float

    @property
    def verdict(self) -> Word:
        """Supported where it is overconfident, contradicted where it is underconfident."""
        return self.overconfidence.is_above(0)


class CleanCalibration(NamedTuple):
    """ECE on clean images with its 95 % interval, and the most that chance gives a calibrated model in 95 % of samples.

    The calibrated model has the same confidences. The p value is that its error is at least as large by chance.
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
    independent, spread = share_of_independent(con, evaluation.evaluation_id), _spreads(con, evaluation)
    return [
        _cell_confidence(
            corruption, severity, count, mean, round((mean - gap) * count), len(cells), independent,
            spread.get((corruption, severity), 0.0),  # a check reports a cell without rows
        )
        for corruption, severity, count, mean, gap in ordered.select(
            "corruption", "severity", "n", "mean_confidence", "overconfidence"
        ).iter_rows()
    ]  # fmt: skip


def _spreads(con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo) -> dict[tuple[str, float], float]:
    """Standard deviation of confidence minus correctness over the images of each cell with finite logits."""
    rows = con.execute(
        "select corruption, severity::double, stddev_pop(confidence - coalesce(predicted = label, false)::int) "
        "from prediction_facts where evaluation_id = ? and finite group by all",
        [evaluation.evaluation_id],
    ).fetchall()
    return {(corruption, severity): spread for corruption, severity, spread in rows}


def _cell_confidence(
    corruption: str, severity: float, count: int, mean: float, correct: int, cells: int, independent: float,
    spread: float,
) -> CellConfidence:  # fmt: skip
    counts = correct * independent, count * independent

    def is_shown(level: float) -> bool:
        low, high = overconfidence_interval(mean, *counts, spread, comparisons=cells, level=level)
        return low > 0 or high < 0

    found = overconfidence(mean, correct, count, cells, independent, spread)
    return CellConfidence(corruption, severity, count, mean, found, p_by_inversion(is_shown))


def overconfidence(
    mean_confidence: float, correct: int, count: int, cells: int = 1, independent: float = 1.0, spread: float = 0.0
) -> Estimate:
    """Mean confidence minus accuracy, with the interval that holds for so many cells together.

    `independent` is the effective number of images as a share of them (see `warehouse.metrics.duplicates`), `spread`
    the standard deviation of confidence minus correctness over images.
    """
    counts = correct * independent, count * independent
    ends = overconfidence_interval(mean_confidence, *counts, spread, comparisons=cells)
    return Estimate(mean_confidence - correct / count, *ends)


@read_once
def clean_calibration(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> CleanCalibration | None:
    """Calibration error on clean images; None where no logits are finite."""
    rows = read_metrics(con, [evaluation.evaluation_id], ["ece", "ece_noise_floor"]).filter(corruption=CLEAN)
    found = {metric: row for metric, *row in rows.select("metric", "value", "low", "high", "n").rows()}
    if not found:
        return None
    bins = con.execute(
        "select image_count, confidence_sum from cell_confidence_bins "
        "where evaluation_id = ? and corruption = ? order by bin_index",
        [evaluation.evaluation_id, CLEAN],
    ).fetchnumpy()
    ece, low, high, count = found["ece"]
    counts, sums = np.asarray(bins["image_count"], np.int64), np.asarray(bins["confidence_sum"], np.float64)
    p_value = p_of_error(ece, counts, sums, share_of_independent(con, evaluation.evaluation_id))
    return CleanCalibration(ece, found["ece_noise_floor"][0], count, p_value, low, high)
