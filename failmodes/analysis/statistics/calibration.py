"""Whether confidence keeps up with accuracy: overconfidence cell by cell, and calibration error beside its noise."""

from typing import NamedTuple

import duckdb
import polars as pl

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, Selection, read_metrics
from failmodes.analysis.statistics.bootstrap import Estimate, Word
from failmodes.warehouse.metrics.calibration import overconfidence_interval
from failmodes.warehouse.schema import CLEAN

ROUNDING = 1e-9


class CellConfidence(NamedTuple):
    """Confidence of one cell, over its images with finite logits.

    Attributes:
        corruption: its name, or 'none' for the clean images.
        severity: of the cell.
        image_count: images with finite logits.
        mean_confidence: 0-1.
        overconfidence: mean confidence minus accuracy of the same images, -1 to 1. Its interval is mean confidence
            minus the exact one of accuracy, and holds for all cells of the evaluation that are listed together. An
            interval of the images' differences is far too narrow where few answers are wrong.
    """

    corruption: str
    severity: float
    image_count: int
    mean_confidence: float
    overconfidence: Estimate

    @property
    def verdict(self) -> Word:
        """Supported where it is overconfident, contradicted where it is underconfident."""
        return self.overconfidence.is_above(0)


class CleanCalibration(NamedTuple):
    """ECE on clean images with its 95 % interval, and the most that chance gives a calibrated model in 95 % of samples.

    The calibrated model has the same confidences.
    """

    ece: float
    noise_floor: float
    image_count: int
    low: float | None = None
    high: float | None = None

    @property
    def is_more_than_chance(self) -> bool:
        """Whether the error is larger; where few images are unsure the two may tie but for rounding."""
        return self.ece > self.noise_floor + ROUNDING


@read_once
def overconfidence_by_corruption(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> list[CellConfidence]:
    """Overconfidence on clean images and at the last severity of each corruption, the most overconfident first."""
    rows = read_metrics(con, [evaluation.evaluation_id], ["mean_confidence", "overconfidence"])
    at_last = pl.col("severity") == pl.col("severity").max().over("corruption")
    chosen = rows.filter(pl.col("corruption").is_in([CLEAN, *selection.corruptions]), at_last)
    if chosen.is_empty():
        return []
    cells = chosen.pivot("metric", index=["corruption", "severity", "n"], values="value")
    ordered = cells.sort("overconfidence", "corruption", descending=[True, False])
    return [
        CellConfidence(
            corruption, severity, count, mean, overconfidence(mean, round((mean - gap) * count), count, len(cells))
        )
        for corruption, severity, count, mean, gap in ordered.select(
            "corruption", "severity", "n", "mean_confidence", "overconfidence"
        ).iter_rows()
    ]


def overconfidence(mean_confidence: float, correct: int, count: int, cells: int = 1) -> Estimate:
    """Mean confidence minus accuracy, with the interval that holds for so many cells together."""
    ends = overconfidence_interval(mean_confidence, correct, count, comparisons=cells)
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
    value, low, high, count = found["ece"]
    return CleanCalibration(value, found["ece_noise_floor"][0], count, low, high)
