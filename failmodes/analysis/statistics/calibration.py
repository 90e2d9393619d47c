"""Whether confidence keeps up with accuracy: overconfidence cell by cell, and calibration error beside its noise."""

from typing import Literal, NamedTuple

import duckdb
import numpy as np
from numpy.typing import ArrayLike

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, Selection, rows_at_last
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.paired_difference import exact_interval
from failmodes.warehouse.schema import CLEAN

ECE_DRAWS = 2_000
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
        "select corruption, any_value(severity)::double, count(*), avg(confidence), count_if(correct) "
        f"{rows_at_last('outcomes')} and finite "
        "group by corruption order by avg(confidence - correct::int) desc, corruption",
        [evaluation.evaluation_id, [CLEAN, *selection.corruptions]],
    ).fetchall()
    return [
        CellConfidence(corruption, severity, count, confidence, overconfidence(confidence, correct, count, len(rows)))
        for corruption, severity, count, confidence, correct in rows
    ]


def overconfidence(mean_confidence: float, correct: int, count: int, cells: int = 1) -> Estimate:
    """Mean confidence minus accuracy with its interval.

    Answers that are each right with a chance of their own vary less, in number, than those of one chance (Hoeffding
    1956, Annals of Mathematical Statistics 27, 713-721), so that the exact interval of accuracy holds for them too.

    Args:
        mean_confidence: 0-1.
        correct: right answers.
        count: images, at least one.
        cells: intervals of so many cells hold together (Bonferroni).
    """
    low, high = exact_interval(correct, count, comparisons=cells)
    return Estimate(mean_confidence - correct / count, mean_confidence - float(high), mean_confidence - float(low))


@read_once
def clean_calibration(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> CleanCalibration | None:
    """Calibration error on clean images; None where no logits are finite, or the measure was never computed."""
    bins = con.execute(
        "select image_count, confidence_sum, correct_count from cell_confidence_bins "
        "where evaluation_id = ? and corruption = ? order by bin_index",
        [evaluation.evaluation_id, CLEAN],
    ).fetchall()
    if not bins or any(None in row for row in bins):
        return None
    counts, confidence, correct = np.array(bins, dtype=np.float64).T
    images = int(counts.sum())
    return CleanCalibration(
        float(np.abs(correct - confidence).sum() / images), ece_of_chance(counts, confidence), images
    )


def ece_of_chance(counts: ArrayLike, confidence_sums: ArrayLike, level: float = 0.95) -> float:
    """The ECE that a calibrated model stays within in `level` of samples (Bröcker & Smith 2007), drawn.

    Each image of a bin is right with the mean confidence of its bin, which lets right answers vary rather more than
    with its own. The measure `ece_noise_floor` is computed from three moments, and falls short where most confidences
    are nearly 1.

    Args:
        counts: (K,) images of each bin.
        confidence_sums: (K,) sums of their confidence.
        level: of the quantile.
    """
    images, expected = np.asarray(counts, dtype=np.int64), np.asarray(confidence_sums, dtype=np.float64)
    chances = np.clip(expected / images, 0, 1)
    correct = np.random.default_rng(0).binomial(images, chances, (ECE_DRAWS, len(images)))
    errors = np.abs(correct - expected).sum(axis=1) / images.sum()
    return float(np.quantile(errors, level, method="higher"))
