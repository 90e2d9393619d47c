"""Whether confidence keeps up with accuracy: overconfidence cell by cell, and calibration error beside its noise."""

from typing import Literal, NamedTuple

import duckdb

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.bootstrap import Estimate
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
    def verdict(self) -> Literal["supported", "contradicted", "inconclusive"]:
        """Supported where it is overconfident, contradicted where it is underconfident."""
        if self.overconfidence.above_zero:
            return "supported"
        return "contradicted" if self.overconfidence.below_zero else "inconclusive"


class CleanCalibration(NamedTuple):
    """ECE on clean images, and what chance gives a calibrated model of the same confidences in 95 % of samples."""

    ece: float
    noise_floor: float
    image_count: int

    @property
    def is_more_than_chance(self) -> bool:
        """Whether the error is larger; where few images are unsure the two may tie but for rounding."""
        return self.ece > self.noise_floor + ROUNDING


@read_once
def overconfidence_by_corruption(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> list[CellConfidence]:
    """Overconfidence on clean images and at the last severity of each corruption, the most overconfident first."""
    rows = con.execute(
        "select corruption, severity::double, any_value(n), "
        "max(value) filter (where metric = 'mean_confidence') as confidence, "
        "max(value) filter (where metric = 'overconfidence') as overconfidence from cell_metrics "
        "where evaluation_id = $1 and corruption = any($2) and metric in ('mean_confidence', 'overconfidence') "
        "group by corruption, severity qualify severity = max(severity) over (partition by corruption) "
        "order by overconfidence desc, corruption",
        [evaluation.evaluation_id, [CLEAN, *selection.corruptions]],
    ).fetchall()
    return [
        CellConfidence(
            corruption, severity, count, mean, overconfidence(mean, round((mean - gap) * count), count, len(rows))
        )
        for corruption, severity, count, mean, gap in rows
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
    rows = con.execute(
        "select metric, value, n from cell_metrics "
        "where evaluation_id = ? and corruption = ? and metric in ('ece', 'ece_noise_floor')",
        [evaluation.evaluation_id, CLEAN],
    ).fetchall()
    found = {metric: value for metric, value, _ in rows}
    return CleanCalibration(found["ece"], found["ece_noise_floor"], rows[0][2]) if len(found) == 2 else None
