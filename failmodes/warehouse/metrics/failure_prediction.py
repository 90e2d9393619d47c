"""Failure prediction: how well a score separates failures (incorrect predictions) from correct ones."""

from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.metrics.cell_rows import OF_ATTENTION, SCORES, CellRows, Undefined
from failmodes.warehouse.metrics.duplicates import effective_counts, kept_groups
from failmodes.warehouse.metrics.intervals import Floats, exact_interval, quantile_interval
from failmodes.warehouse.metrics.metric import (
    CLOPPER_PEARSON,
    Counted,
    Formula,
    Interval,
    NewcombeAuroc,
    Unstored,
    Value,
    define,
)

NOT_STORED, NO_FAILURE, NO_CORRECT = "the score is not stored", "no failure", "no correct prediction"
COVERAGE_PERCENT = tuple(range(5, 101, 5))
FOUND = 0.95  # of the failures, for FPR95
FEWEST = 10  # failures, and correct predictions, of a statement about an AUROC
FEWEST_IN_TAIL = 20  # of one about the least certain 5% of failures, or about failures by group
_COLUMNS = ("label", "predicted")
_POSITIVE = "failures are positive, the least certain rank first"


class Ranking(NamedTuple):
    """Images with a score, from the most to the least certain, in groups of one value.

    Attributes:
        places: (M,) position of each in the cell.
        failed: (M,) bool.
        group: (M,) the group of each.
        starts: (G,) images of higher values than a group's.
        counts: (G,) images of a group.
        failures: (G,) failures of a group.
        failures_before: (G,) failures of higher values.
    """

    places: NDArray[np.intp]
    failed: NDArray[np.bool_]
    group: NDArray[np.intp]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    failures: NDArray[np.int64]
    failures_before: NDArray[np.int64]

    @property
    def failure_count(self) -> int:
        """Failures in all."""
        return int(np.count_nonzero(self.failed))

    def spread(self, values: Floats, count: int) -> Floats:
        """(count,) values (M,) of the ranked images at their places, NaN elsewhere."""
        found = np.full(count, np.nan)
        found[self.places] = values
        return found


def rank(certainty: NDArray[np.floating], failed: NDArray[np.bool_]) -> Ranking:
    """Rank those of N images that have a score.

    Args:
        certainty: (N,) larger is more certain; images with NaN take no part.
        failed: (N,) bool.
    """
    known = np.flatnonzero(~np.isnan(certainty))
    order = np.argsort(-certainty[known], kind="stable")
    places = known[order]
    ranked = certainty[places]
    is_first = np.append(True, ranked[1:] != ranked[:-1])[: len(ranked)]  # of images of one certainty
    group, starts = np.cumsum(is_first) - 1, np.flatnonzero(is_first)
    counts = np.diff(starts, append=len(places))
    failures = np.bincount(group, failed[places], len(counts)).astype(np.int64)
    before = np.cumsum(failures) - failures
    return Ranking(places, failed[places], group, starts, counts, failures, before)


def ranking_of(rows: CellRows, score: str) -> Ranking:
    """The images of a cell ranked by a score.

    Raises:
        Undefined: none has it.
    """
    found: Ranking = rows.once(("ranking", score), lambda: rank(rows.certainty(score), ~rows["correct"]))
    if not len(found.places):
        raise Undefined(NOT_STORED)
    return found


def _ranking_of_both(rows: CellRows, score: str) -> Ranking:
    """As `ranking_of`, with failures and correct predictions."""
    ranking = ranking_of(rows, score)
    if ranking.failure_count in (0, len(ranking.places)):
        raise Undefined(NO_CORRECT if ranking.failure_count else NO_FAILURE)
    return ranking


def _effective_counts(rows: CellRows, ranking: Ranking) -> tuple[float, float]:
    """Effective numbers of failures and of correct predictions among the ranked images (see `duplicates`)."""
    groups = kept_groups(rows.groups, ranking.places)
    correct, failures = effective_counts(groups, ranking.failed, 2).tolist()
    return failures, correct


def _events(rows: CellRows, score: str) -> list[Counted]:
    failures, correct = _effective_counts(rows, ranking_of(rows, score))
    return [Counted(failures, "failure"), Counted(correct, "correct prediction")]


@define(
    "AUROC for failures",
    source="Hendrycks & Gimpel 2017; interval: Newcombe 2006",
    columns=_COLUMNS,
    unit="score",
    scores=SCORES,
    interval=NewcombeAuroc(minimum=FEWEST, counted=_events),
)
def auroc(rows: CellRows, score: str) -> Floats:
    """Area under the ROC curve; failures are positive, the least certain rank first; .5 is chance.

    >>> rows = CellRows.of({"confidence": [0.9, 0.8, 0.6, 0.7], "finite": [True] * 4, "correct": [1, 1, 1, 0]})
    >>> round(float(auroc(rows, "confidence").mean()), 4)  # one of three correct predictions is less certain
    0.6667
    """
    return auroc_contributions(_ranking_of_both(rows, score), len(rows))


def auroc_contributions(ranking: Ranking, total: int) -> Floats:
    """(total,) what each image contributes to the AUROC: DeLong's components about the area (DeLong et al. 1988).

    Args:
        ranking: with failures and correct predictions.
        total: images of the cell, of which those ranked take part.
    """
    failures, count = ranking.failure_count, len(ranking.places)
    of_failures, of_correct = _placements(ranking)
    area = float(of_failures[ranking.failed].mean())
    found = area + np.where(
        ranking.failed,
        count / failures * (of_failures - area),
        count / (count - failures) * (of_correct - area),
    )
    return ranking.spread(found, total)


def _placements(ranking: Ranking) -> tuple[Floats, Floats]:
    """(M,) the share of correct predictions above each image, and of failures below it; ties count half.

    The area is the mean of the first over failures, and of the second over correct predictions (DeLong et al. 1988).
    """
    count, failures = len(ranking.places), ranking.failure_count
    correct_before, tied_correct = ranking.starts - ranking.failures_before, ranking.counts - ranking.failures
    above = (correct_before + tied_correct / 2) / max(count - failures, 1)
    below = (failures - ranking.failures_before - ranking.failures / 2) / max(failures, 1)
    return above[ranking.group], below[ranking.group]


@define(
    "AUGRC",
    source="Traub et al. 2024",
    columns=_COLUMNS,
    unit="score",
    scores=SCORES,
    higher_is_better=False,
    range=(0.0, 0.5),
    interval=Interval(image_range=(0.0, 1.0)),
)
def augrc(rows: CellRows, score: str) -> Floats:
    """Area under the generalized risk-coverage curve: mean over coverages of failures kept / N.

    Contributions to the mean over pairs (i, j) of f_j K(i, j): f is 1 of a failure, K is 1 where i is less certain than
    j and 1/2 where they tie. An image contributes as i and as j.

    >>> rows = CellRows.of({"confidence": [0.9, 0.8, 0.6, 0.7], "finite": [True] * 4, "correct": [1, 1, 1, 0]})
    >>> float(augrc(rows, "confidence").mean())
    0.09375
    """
    ranking = ranking_of(rows, score)
    count = len(ranking.places)
    below = (count - ranking.starts - ranking.counts / 2)[ranking.group]
    as_failure = ranking.failed * below / count
    as_other = ((ranking.failures_before + ranking.failures / 2) / count)[ranking.group]
    return ranking.spread(as_failure + as_other - float(as_failure.mean()), len(rows))


@define(
    "AURC",
    source="Geifman & El-Yaniv 2017; Geifman et al. 2019",
    columns=_COLUMNS,
    unit="score",
    scores=SCORES,
    higher_is_better=False,
)
def aurc(rows: CellRows, score: str) -> Floats:
    """Area under the risk-coverage curve: mean over coverages 1/N … N/N of the error rate of the images kept.

    The mean over random orders where images tie.

    The image of rank r is kept at coverages r/N … 1: it changes the error rate of each, and the error rate at its own
    rank is one of those that are averaged.

    >>> rows = CellRows.of({"confidence": [0.9, 0.8, 0.6, 0.7], "finite": [True] * 4, "correct": [1, 1, 1, 0]})
    >>> round(float(aurc(rows, "confidence").mean()), 4)  # (0 + 0 + 1/3 + 1/4) / 4
    0.1458
    """
    ranking = ranking_of(rows, score)
    count, group, starts = len(ranking.places), ranking.group, ranking.starts
    kept = np.arange(1.0, count + 1)
    late = np.cumsum((1 / kept)[::-1])[::-1]  # Σ over coverages from each rank on of 1 / images kept
    of_group = ranking.failures / ranking.counts
    risk = ((ranking.failures_before - starts * of_group)[group] + kept * of_group[group]) / kept
    lost = np.cumsum((risk / kept)[::-1])[::-1]
    shared, own = (np.add.reduceat(values, starts) / ranking.counts for values in (risk - lost, late))
    influence = shared[group] + ranking.failed * own[group]
    return ranking.spread(float(risk.mean()) + influence - float(influence.mean()), len(rows))


@define(
    "AUPR for failures",
    source="Hendrycks & Gimpel 2017",
    columns=_COLUMNS,
    unit="score",
    scores=SCORES,
    refusal="a sample's value is too large by an unknown amount: use auroc",
    interval=Unstored(),
)
def aupr(rows: CellRows, score: str) -> Value:
    """Average precision; failures are positive, the least certain rank first; the share of failures is chance.

    >>> rows = CellRows.of({"confidence": [0.9, 0.8, 0.6, 0.7], "finite": [True] * 4, "correct": [1, 1, 1, 0]})
    >>> aupr(rows, "confidence").value  # one failure among the two least certain
    0.5
    """
    ranking = ranking_of(rows, score)
    failures, count = ranking.failure_count, len(ranking.places)
    if not failures:
        raise Undefined(NO_FAILURE)
    precision = (failures - ranking.failures_before) / (count - ranking.starts)  # with the threshold at a group
    return Value(float((ranking.failures * precision).sum()) / failures, count)


def _interval_of_fpr95(rows: CellRows, score: str, value: float, level: float, comparisons: int) -> tuple[float, float]:
    """Combine the intervals of the threshold (an order statistic) and of the share of correct predictions beyond it."""
    ranking = ranking_of(rows, score)
    uncertain = -rows.certainty(score)[ranking.places]
    correct = uncertain[~ranking.failed]
    of_failures, of_correct = _effective_counts(rows, ranking)
    independent = of_failures / ranking.failure_count, of_correct / len(correct)
    thresholds = quantile_interval(
        uncertain[ranking.failed], 1 - FOUND, comparisons=2 * comparisons, level=level, independent=independent[0]
    )
    beyond = np.array([np.count_nonzero(correct >= threshold) for threshold in thresholds]) * independent[1]
    low, high = exact_interval(beyond[::-1], of_correct, comparisons=2 * comparisons, level=level)
    return float(low[0]), float(high[1])


@define(
    "FPR at 95% TPR",
    source="Hendrycks & Gimpel 2017",
    columns=_COLUMNS,
    scores=SCORES,
    higher_is_better=False,
    interval=Formula(
        formula=_interval_of_fpr95,
        named=f"order statistics and {CLOPPER_PEARSON}",
        minimum=FEWEST_IN_TAIL,
        counted=_events,
    ),
)
def fpr95(rows: CellRows, score: str) -> Value:
    """Share of correct predictions among those at or beyond the threshold that finds 95% of failures.

    >>> rows = CellRows.of({"confidence": [0.9, 0.8, 0.6, 0.7], "finite": [True] * 4, "correct": [1, 1, 1, 0]})
    >>> round(fpr95(rows, "confidence").value, 4)
    0.3333
    """
    ranking = _ranking_of_both(rows, score)
    failures, count = ranking.failure_count, len(ranking.places)
    missed = failures - ceil(FOUND * failures)
    with_failures = np.flatnonzero(ranking.failures)
    last = with_failures[np.searchsorted(ranking.failures_before[with_failures], missed, side="right") - 1]
    correct = count - failures
    return Value(float(correct - (ranking.starts[last] - ranking.failures_before[last])) / correct, count)


def _events_with_confidence(rows: CellRows) -> list[Counted]:
    return _events(rows, "confidence")


@define(
    "AUROC for failures among images of like confidence",
    source="Janes & Pepe 2009",
    columns=(*_COLUMNS, "confidence"),
    unit="score",
    scores=(*OF_ATTENTION, "empty_map"),
    interval=Interval(minimum=FEWEST_IN_TAIL, counted=_events_with_confidence),
    refusal="its error is unknown where a tenth holds few images: use auroc",
)
def auroc_within(rows: CellRows, score: str) -> Floats:
    """AUROC over pairs in one tenth of the images by confidence; .5: the score adds nothing to confidence.

    The covariate-adjusted AUROC over pairs of a failure and a correct prediction, each tenth weighted by its pairs.
    Tenths of fewer than two failures or two correct predictions take no part.

    >>> maps = {"predicted.has_map": [True] * 40, "predicted.spread": np.tile([0.2, 0.2, 0.4, 0.4], 10)}
    >>> rows = CellRows.of({"confidence": [0.9] * 40, "correct": np.tile([1, 1, 0, 0], 10), **maps})
    >>> float(auroc_within(rows, "attention_spread").mean())  # failures have the wider maps
    1.0
    """
    certainty, failed = _certainty(rows, score), ~rows["correct"]
    tenths = rows.once("tenths", lambda: _tenths(rows["confidence"]))
    tenths = np.where(np.isnan(certainty), -1, tenths)
    found = np.zeros(len(rows))
    area = pairs = 0.0
    for tenth in range(10):
        chosen = np.flatnonzero(tenths == tenth)
        failures = int(np.count_nonzero(failed[chosen]))
        if 1 < failures < len(chosen) - 1:
            of_tenth = auroc_contributions(rank(certainty[chosen], failed[chosen]), len(chosen))
            own = failures * (len(chosen) - failures)
            area, pairs = area + own * of_tenth.mean(), pairs + own
            found[chosen] = own * (of_tenth - of_tenth.mean()) / len(chosen)
    if not pairs:
        raise Undefined("no tenth by confidence holds two failures and two correct predictions")
    count = np.count_nonzero(tenths >= 0)
    return np.where(tenths >= 0, (area + count * found) / pairs, np.nan)


def _certainty(rows: CellRows, score: str) -> NDArray[np.floating]:
    """(N,) as `CellRows.certainty`; by `empty_map`, images whose map of the predicted class is empty are uncertain."""
    if score != "empty_map":
        certainty = rows.certainty(score)
        if np.isnan(certainty).all():
            raise Undefined(NOT_STORED)
        return certainty
    has_map, is_empty = rows["predicted.has_map"], rows["predicted.empty"]
    if not is_empty.any():
        raise Undefined("no map is empty")
    return np.where(has_map, -is_empty.astype(np.float64), np.nan)


def _tenths(confidence: NDArray[np.floating]) -> NDArray[np.int64]:
    """(N,) the tenth of the images that each is in by its confidence, from the least; those that tie are in one."""
    known = np.where(np.isfinite(confidence), confidence, -np.inf)  # images without confidence are the least certain
    _, group, counts = np.unique(known, return_inverse=True, return_counts=True)
    lower = np.cumsum(counts) - counts
    return ((20 * lower + 10 * counts) // (2 * len(known)))[group]


def selective_risks(ranking: Ranking) -> Floats:
    """(20,) error rate of the most certain images at each of COVERAGE_PERCENT; for ties the mean over orders."""
    kept = np.array(COVERAGE_PERCENT) * len(ranking.places) / 100
    group = np.searchsorted(ranking.starts, kept).clip(min=1) - 1
    of_group = ((kept - ranking.starts[group]) / ranking.counts[group]).clip(0, 1)
    found: Floats = (ranking.failures_before[group] + of_group * ranking.failures[group]) / kept
    return found
