"""Abstention at a threshold: chosen on half of the clean images, measured on the other half of every cell.

A threshold for an error is chosen by fixed-sequence testing (Maurer et al. 1995; of thresholds Angelopoulos et al.
2025, Annals of Applied Statistics 19, 1641-1662): from the strictest threshold on, as long as Clopper and Pearson's
upper bound of the error among the accepted images meets the target. The sequence depends on scores alone. It begins
where enough images are accepted to meet the target at all, and at no less than a tenth, so that one error does not end
it; its steps are hundredths of the images. Images of one score are accepted together. Of duplicates the first counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, log, log1p
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.metrics.cell_rows import CERTAINTY, SCORES, CellRows, Undefined
from failmodes.warehouse.metrics.failure_prediction import NOT_STORED, rank
from failmodes.warehouse.metrics.intervals import Floats, exact_interval
from failmodes.warehouse.metrics.metric import ExactShare, Metric, define

SPLIT_SEED = 0
LEVEL = 0.95  # of the one-sided bound of the error
FIRST_SHARE, STEPS = 0.1, 100
NO_CLEAN = "there are no clean images to choose on"
NO_THRESHOLD = "no threshold of this score is stored"
NEEDS_THRESHOLD = "it is of one threshold: add threshold = X, a value of the score"
Target = Literal["error", "coverage"]


class Aim(NamedTuple):
    """What a threshold is chosen for.

    Attributes:
        score: the certainty of a prediction, one of SCORES.
        target: 'error': at most this share of the accepted images is incorrect; 'coverage': this share is accepted.
        target_value: above 0; an error is below 1, a coverage at most 1.
    """

    score: str = "confidence"
    target: Target = "error"
    target_value: float = 0.02


def checked_aim(score: str, target: str, target_value: float) -> Aim:
    """The aim with these fields.

    Raises:
        ValueError: the score or target is unknown, or the value is out of range; the message says what was expected.
    """
    if score not in SCORES:
        raise ValueError(f"unknown score {score!r}: expected one of {', '.join(SCORES)}")
    if target == "error" and 0 < target_value < 1:
        return Aim(score, "error", target_value)
    if target == "coverage" and 0 < target_value <= 1:
        return Aim(score, "coverage", target_value)
    expected = "error above 0 and below 1, such as 0.02, or a coverage above 0 and up to 1"
    raise ValueError(f"{target} {target_value:g}: expected an {expected}")


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A chosen threshold, a row of the table `thresholds` without its evaluation.

    Attributes:
        score: see `Aim`.
        target: see `Aim`.
        target_value: see `Aim`.
        threshold: in the unit of the score's column; None if no threshold meets the target.
        reason: why there is none.
        image_count: distinct images that it is chosen on.
        accepted_count: those that it accepts.
        error_count: those of them that are incorrect.
        error_high: upper bound of the error among accepted images, one-sided at LEVEL, 0-1.
        images_needed: accepted images that show an error of at most the target if none is incorrect; None without one.
    """

    score: str
    target: str
    target_value: float
    threshold: float | None = None
    reason: str | None = None
    image_count: int = 0
    accepted_count: int | None = None
    error_count: int | None = None
    error_high: float | None = None
    images_needed: int | None = None

    @property
    def by_score(self) -> Mapping[str, float]:
        """The threshold by its score; empty if there is none."""
        return {} if self.threshold is None else {self.score: self.threshold}


def choosing_half(rows: CellRows) -> NDArray[np.bool_]:
    """(N,) the half of images that thresholds and sets are chosen on: a hash of image_id; copies are with the first.

    The first bit of SplitMix64 (Steele et al. 2014) of image_id, with SPLIT_SEED.
    """
    return rows.once("choosing half", lambda: _first_bit(rows.originals))


def _first_bit(ids: NDArray[np.integer]) -> NDArray[np.bool_]:
    word = np.uint64
    with np.errstate(over="ignore"):
        mixed = (ids.astype(word) + word(SPLIT_SEED + 1)) * word(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> word(30))) * word(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> word(27))) * word(0x94D049BB133111EB)
    return np.asarray((mixed ^ (mixed >> word(31))) >> word(63) == 1)


def chosen_on(rows: CellRows) -> NDArray[np.bool_]:
    """(N,) the distinct images of the choosing half."""
    return np.asarray(choosing_half(rows) & (rows.originals == rows["image_id"]))


def least_accepted(error: float) -> int:
    """Images without an error whose upper bound at LEVEL is at most `error`, 0-1: 149 for 2%."""
    return ceil(log(1 - LEVEL) / log1p(-error))


def choose_threshold(clean: CellRows | None, aim: Aim) -> Threshold:
    """The threshold of a score that accepts most clean images at the target.

    Args:
        clean: the clean images; None without any.
        aim: score and target.
    """
    is_error = aim.target == "error"
    none = Threshold(**aim._asdict(), images_needed=least_accepted(aim.target_value) if is_error else None)
    if clean is None:
        return replace(none, reason=NO_CLEAN)
    kept = np.flatnonzero(chosen_on(clean))
    certainty, failed = clean.certainty(aim.score)[kept], ~clean["correct"][kept]
    ranking = rank(certainty, failed)
    none = replace(none, image_count=len(ranking.places))
    if not len(ranking.places):
        return replace(none, reason=NOT_STORED)
    accepted, errors = ranking.starts + ranking.counts, ranking.failures_before + ranking.failures
    values = certainty[ranking.places][ranking.starts]
    usable = int(np.count_nonzero(np.isfinite(values)))
    highs = exact_interval(errors, accepted, level=2 * LEVEL - 1)[1]
    place = _for_error(aim.target_value, accepted[:usable], highs) if is_error else int(
        np.searchsorted(accepted, aim.target_value * len(ranking.places) - 1e-9)
    )  # fmt: skip
    if not 0 <= place < usable:
        return replace(none, reason=_reason(none, errors, accepted, usable))
    return replace(
        none,
        threshold=float(CERTAINTY[aim.score][1] * values[place]),
        accepted_count=int(accepted[place]),
        error_count=int(errors[place]),
        error_high=float(highs[place]),
    )


def _for_error(error: float, accepted: NDArray[np.int64], highs: Floats) -> int:
    """The place of the last threshold of the sequence before the first whose bound exceeds the target; -1 for none."""
    if not len(accepted):
        return -1
    most = int(accepted[-1])
    counts = np.arange(max(least_accepted(error), FIRST_SHARE * most), most, max(1.0, most / STEPS))
    sequence = np.unique(np.searchsorted(accepted, [*counts, most]))
    sequence = sequence[accepted[sequence] >= least_accepted(error)]
    passed = int(np.argmin(np.append(highs[sequence] <= error, False)))
    return int(sequence[passed - 1]) if passed else -1


def _reason(none: Threshold, errors: NDArray[np.int64], accepted: NDArray[np.int64], usable: int) -> str:
    if none.images_needed is None:
        return f"{accepted[usable - 1] if usable else 0:,} of {none.image_count:,} images have a score"
    needed = f"it takes at least {none.images_needed:,} accepted images, if none of them is incorrect"
    if none.image_count < none.images_needed:
        return f"{none.image_count:,} images are too few: {needed}"
    place = min(int(np.searchsorted(accepted, max(none.images_needed, FIRST_SHARE * none.image_count))), usable - 1)
    return f"{errors[place]:,} of the {accepted[place]:,} most certain images are incorrect: {needed}"


def accepted_images(rows: CellRows, score: str, threshold: float | None) -> Floats:
    """(N,) 1 for images that a threshold accepts, 0 for others; NaN in the choosing half and without a score.

    Args:
        rows: of a cell.
        score: one of SCORES.
        threshold: in the unit of the score's column, compared in its precision, float32.

    Raises:
        Undefined: there is no threshold, or no image has the score.
    """
    if threshold is None:
        raise Undefined(NO_THRESHOLD)
    certainty = rows.certainty(score)
    if np.isnan(certainty).all():
        raise Undefined(NOT_STORED)
    accepted = certainty >= np.float32(CERTAINTY[score][1] * threshold)
    return np.where(choosing_half(rows) | np.isnan(certainty), np.nan, accepted)


@define(
    "share of images accepted at a threshold",
    source="El-Yaniv & Wiener 2010",
    columns=("image_id", "label", "predicted"),
    scores=SCORES,
    interval=ExactShare(of_all=False),
    refusal=NEEDS_THRESHOLD,
)
def accepted_share(rows: CellRows, score: str, threshold: float | None) -> Floats:
    """Mean over the images that the threshold was not chosen on of [the score is at least as certain as the threshold].

    >>> rows = CellRows.of({"image_id": [0, 1, 2], "confidence": [0.9, 0.9, 0.4], "finite": [True] * 3})
    >>> accepted_share(rows, "confidence", threshold=0.5).tolist()
    [nan, 1.0, 0.0]
    """
    return accepted_images(rows, score, threshold)


@define(
    "error among images accepted at a threshold",
    source="El-Yaniv & Wiener 2010",
    columns=("image_id", "label", "predicted"),
    scores=SCORES,
    higher_is_better=False,
    interval=ExactShare(of_all=False),
    refusal=NEEDS_THRESHOLD,
)
def error_accepted(rows: CellRows, score: str, threshold: float | None) -> Floats:
    """Share of incorrect predictions among the accepted images that the threshold was not chosen on.

    >>> rows = CellRows.of({"image_id": [0, 1, 2], "confidence": [0.9] * 3, "finite": [True] * 3, "correct": [1, 1, 0]})
    >>> error_accepted(rows, "confidence", threshold=0.5).tolist()
    [nan, 0.0, 1.0]
    """
    return np.where(accepted_images(rows, score, threshold) == 1, ~rows["correct"], np.nan)


OF_THRESHOLD = (accepted_share, error_accepted)


def at_threshold(metric: Metric, threshold: float) -> Metric:
    """A metric of OF_THRESHOLD at a stated threshold, on which its values and intervals are conditional."""
    assert metric in OF_THRESHOLD

    def conditional(rows: CellRows, score: str) -> Floats:
        found: Floats = metric.function(rows, score, threshold)
        return found

    name, title = f"{metric.name}:{threshold:.9g}", metric.title.replace("a threshold", f"{threshold:.9g}")
    return Metric(
        name, title, conditional, formula=metric.formula, columns=metric.columns, scores=metric.scores,
        interval=metric.interval, higher_is_better=metric.higher_is_better,
    )  # fmt: skip
