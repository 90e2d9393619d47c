"""Verdicts: supported, contradicted, inconclusive or not measurable, of statements judged together.

A statement is supported if the bound at its level is within its limit; over "each" cell, if that is so in every cell.
It is true only if all cells are within the limit, so each is tested at the level itself: the intersection-union test
(Berger 1982, Technometrics 24, 295-300). A false statement is supported with a probability of at most 1 minus the
level, however many cells it has. It is contradicted if the other bound is beyond the limit in any cell. Any of many
cells may be beyond it by chance, so that bound is corrected (Bonferroni) for all decisions of its family, such as all
those of a gate.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Literal, NamedTuple

from failmodes.analysis.judging.cells import EvaluatedCells, MissingCell, Runs, find_cells, models_under
from failmodes.analysis.judging.statement import DIFFERENCES, Requirement, requirement_of, sums_of
from failmodes.analysis.statistics.difference import Measured, ModelMetrics
from failmodes.analysis.statistics.estimate import Estimate, Word
from failmodes.analysis.statistics.run_rows import CellKey
from failmodes.analysis.statistics.shares import holm
from failmodes.ingest.statements import (
    Drop,
    Gap,
    MetricStatement,
    ModelDifference,
    RestDifference,
    Statement,
    WithLimit,
    check_share_limit,
)
from failmodes.runtime.errors import StudyError, did_you_mean, translated
from failmodes.warehouse.metrics.abstention import OF_THRESHOLD, at_threshold
from failmodes.warehouse.metrics.accuracy import worst_slice
from failmodes.warehouse.metrics.metric import FEWEST_IMAGES, Metric, too_few
from failmodes.warehouse.schema import DIFFERENCE_OF_SHARES, SHARE

# The first of these that occurs is the verdict on several statements
WORDS: tuple[Word, ...] = ("contradicted", "not_measurable", "inconclusive", "supported")
DEFAULT_SCORE = "confidence"
NOT_EVALUATED = "not evaluated"
DIRECTED = (ModelDifference, Drop, Gap, RestDifference)  # forms about which direction is better

# What is corrected for the number of decisions: the bound that contradicts; both ends of the interval (Bonferroni);
# p values of no difference (Holm 1979, Scandinavian Journal of Statistics 6, 65-70); or p values and both ends, for the
# number of tests among which each statement was picked (Bonferroni)
Correction = Literal["contradictions", "intervals", "tests", "search"]


@dataclass(frozen=True)
class Decision:
    """The verdict on a statement in one cell, or on the mean over several.

    Attributes:
        verdict: on the statement.
        cells: that it is about; only the missing ones if any is missing; the corruption alone for a whole curve.
        estimate: the value with the bounds that decide; None if it is not measurable.
        images_needed: images that would decide it with a power of 80% if the truth is as measured; None if it is
            decided or not measurable, or if no number would.
        reason: why it is not measurable, or inconclusive whatever the bounds; the sentence of a shape or kind of
            finding; else ''.
    """

    verdict: Word
    cells: tuple[tuple[str, float | None] | MissingCell, ...] = ()
    estimate: Estimate | None = None
    images_needed: int | None = None
    reason: str = ""


class Value(NamedTuple):
    """The cells of one decision, and what measures their value, or gives the reason that it is undefined."""

    cells: tuple[CellKey, ...]
    measure: Callable[[], Measured | str]


@dataclass(frozen=True)
class Question:
    """A statement about a metric with its cells found: what `judge` decides.

    Attributes:
        statement: as written.
        metric: that is measured.
        values: one for the mean, or one for each cell.
        score: that predicts failures; None if the metric takes none.
        missing: cells that a model lacks.
        measured: all cells whose metric enters the values.
        note: images and classes of a shift; empty for corruptions.
        distinct_count: distinct images of a cell; default: the effective number of them.
        searched: tests among which a search picked it; 1 if it was stated.
    """

    statement: MetricStatement
    metric: Metric
    values: tuple[Value, ...]
    score: str | None = None
    missing: tuple[MissingCell, ...] = ()
    measured: frozenset[CellKey] = frozenset()
    note: str = ""
    distinct_count: int | None = None
    searched: int = 1

    @property
    def requirement(self) -> Requirement:
        """What is required of each value."""
        return requirement_of(self.statement, self.metric)

    @property
    def unit(self) -> str:
        """The unit of the values."""
        is_difference = isinstance(self.statement, DIFFERENCES) and self.metric.unit == SHARE
        return DIFFERENCE_OF_SHARES if is_difference else self.metric.unit

    @property
    def refusal(self) -> str:
        """Why no value of it can be decided; '' if one can."""
        if isinstance(self.statement, DIRECTED) and self.metric.higher_is_better is None:
            return f"{self.metric.name} has no better direction"
        return self.metric.refusal

    @property
    def decision_count(self) -> int:
        """How many decisions chance may contradict."""
        return max(1, len(self.values))


@dataclass(frozen=True)
class Verdict:
    """A statement with the decisions on it.

    Attributes:
        statement: as written.
        decisions: one for the mean, or one for each cell.
        question: None for a statement about a shape or a kind of finding.
    """

    statement: Statement
    decisions: tuple[Decision, ...]
    question: Question | None = None

    @property
    def verdict(self) -> Word:
        """Contradicted if any cell is; else not measurable or inconclusive if any is; else supported."""
        return worst_of([decision.verdict for decision in self.decisions])

    @property
    def deciding(self) -> list[Decision]:
        """The decisions that decide, those farthest beyond the limit, or closest to it, first."""
        return sorted((one for one in self.decisions if one.verdict == self.verdict), key=self._slack)

    @property
    def images_needed(self) -> int | None:
        """Images that would decide every inconclusive cell; None if none is, or if no number would."""
        needed = [decision.images_needed for decision in self.decisions if decision.verdict == "inconclusive"]
        known = [count for count in needed if count is not None]
        return max(known) if known and len(known) == len(needed) else None

    @property
    def decision_count(self) -> int:
        """How many decisions chance may contradict."""
        return 1 if self.question is None else self.question.decision_count

    def _slack(self, decision: Decision) -> float:
        if decision.estimate is None or self.question is None:
            return 0.0
        requirement = self.question.requirement
        return requirement.slack(decision.estimate.low if requirement.is_least else decision.estimate.high)


def above(estimate: Estimate, limit: float) -> Word:
    """Supported if the whole interval is above a limit, contradicted if it is below."""
    return "supported" if estimate.low > limit else "contradicted" if estimate.high < limit else "inconclusive"


def worst_of(words: Sequence[Word]) -> Word:
    """The verdict on several statements together: contradicted if any is; supported if all are."""
    return next(word for word in WORDS if word in words)


def judge(
    statements: Sequence[Question | Verdict],
    level: float = 0.95,
    *,
    is_two_sided: bool = False,
    correction: Correction = "contradictions",
) -> list[Verdict]:
    """Judge a family of statements, for whose number the verdicts are corrected.

    Args:
        statements: with what measures them; those about shapes and kinds of findings are judged already, and count.
        level: of every statement.
        is_two_sided: whether both bounds are those of a two-sided interval of the level.
        correction: what is corrected for the number of decisions of the family.
    """
    comparisons = sum(statement.decision_count for statement in statements)
    p_values = iter(_adjusted(statements, correction))

    def decided(question: Question, value: Value) -> Decision:
        measured = value.measure()
        if isinstance(measured, str):
            return Decision("not_measurable", value.cells, reason=measured)
        among = {"tests": 1, "search": question.searched}.get(correction, comparisons)
        return decide(
            measured, question.requirement, level, among, is_two_sided=is_two_sided,
            corrects_both=correction in ("intervals", "search"), adjusted_p=next(p_values, None),
            unit=question.unit, cells=value.cells, distinct_count=question.distinct_count, refusal=question.refusal,
        )  # fmt: skip

    return [
        statement
        if isinstance(statement, Verdict)
        else Verdict(
            statement.statement,
            (*(decided(statement, value) for value in statement.values), *_missing(statement)),
            statement,
        )
        for statement in statements
    ]


def _adjusted(statements: Sequence[Question | Verdict], correction: Correction) -> list[float]:
    """The p value of each measurable value, corrected; empty where intervals decide."""
    if correction not in ("tests", "search"):
        return []
    values = [
        (value.measure(), one.searched) for one in statements if isinstance(one, Question) for value in one.values
    ]
    known = [(value.p_value, searched) for value, searched in values if not isinstance(value, str)]
    if correction == "search":
        return [min(1.0, p_value * searched) for p_value, searched in known]
    return holm([p_value for p_value, _ in known])


def _missing(question: Question) -> list[Decision]:
    """What is not measurable since a model lacks it: the mean, or some of each cell."""
    if question.missing and not question.statement.is_over_each:
        return [Decision("not_measurable", question.missing, reason=NOT_EVALUATED)]
    return [Decision("not_measurable", (cell,), reason=NOT_EVALUATED) for cell in question.missing]


def decide(
    measured: Measured,
    requirement: Requirement,
    level: float = 0.95,
    comparisons: int = 1,
    *,
    is_two_sided: bool = False,
    corrects_both: bool = False,
    adjusted_p: float | None = None,
    unit: str = "",
    cells: tuple[CellKey, ...] = (),
    distinct_count: int | None = None,
    refusal: str = "",
) -> Decision:
    """Decide about one value; with fewer than FEWEST_IMAGES distinct images it is inconclusive.

    Args:
        measured: the value with its error.
        requirement: for the value.
        level: of the statement.
        comparisons: decisions of its family.
        is_two_sided: see `judge`.
        corrects_both: whether the bound that supports is corrected too.
        adjusted_p: corrected p value of a value at the limit, which then decides in place of the bounds.
        unit: of the value.
        cells: of the value.
        distinct_count: see `Question`.
        refusal: see `Question`; the value is then inconclusive.
    """
    supports, opposes = (comparisons if corrects_both else 1), comparisons
    of_low, of_high = (supports, opposes) if requirement.is_least else (opposes, supports)
    low = _bounds(measured, level, of_low, is_two_sided=is_two_sided)[0]
    high = _bounds(measured, level, of_high, is_two_sided=is_two_sided)[1]
    supporting, opposing = (low, high) if requirement.is_least else (high, low)
    freedom = measured.error.freedom
    seeds = round(freedom) + 1 if isfinite(freedom) else None
    estimate = Estimate(
        measured.value, low, high, level, measured.image_count, unit, adjusted_p, seeds, measured.method
    )
    if refusal:
        return Decision("inconclusive", cells, estimate, reason=refusal)
    slack = requirement.slack(measured.value)
    distinct = measured.image_count * measured.independent if distinct_count is None else distinct_count
    is_enough = distinct >= FEWEST_IMAGES
    if adjusted_p is not None:
        is_shown = adjusted_p < 1 - level
        is_supported, is_contradicted = is_shown and slack > 0, is_shown and slack < 0
    else:
        is_supported, is_contradicted = requirement.is_met(supporting), not requirement.is_met(opposing)
    if is_enough and (is_supported or is_contradicted):
        return Decision("supported" if is_supported else "contradicted", cells, estimate)
    one_sided = (1 + level) / 2 if is_two_sided else level
    among = supports if slack > 0 else opposes
    needed = measured.images_needed(requirement.limit, one_sided if among == 1 else 1 - (1 - one_sided) / among)
    if is_enough:
        return Decision("inconclusive", cells, estimate, needed)
    return Decision("inconclusive", cells, estimate, max(FEWEST_IMAGES, needed or 0), too_few(round(distinct)))


def _bounds(measured: Measured, level: float, comparisons: int, *, is_two_sided: bool) -> tuple[float, float]:
    if is_two_sided:
        return measured.interval(level, comparisons=comparisons)[1:3]
    return measured.low(level, comparisons=comparisons), measured.high(level, comparisons=comparisons)


def ask(
    statement: MetricStatement,
    models: ModelMetrics,
    place: str,
    *,
    candidate: Runs | None = None,
    baseline: Runs | None = None,
    extras: Collection[str] = (),
) -> tuple[Question, ModelMetrics]:
    """A statement about a metric, ready to be judged, and the models on its images, those of its shift if it has one.

    Args:
        statement: as it was read.
        models: of statements about corruptions.
        place: of the statement in its file, for errors.
        candidate: the model that it is about; only statements about shifts need it.
        baseline: the model that it is compared with, likewise.
        extras: corruptions that means exclude.

    Raises:
        StudyError: the metric, score, corruption or shift is unknown, the metric cannot be judged, the limit does not
            fit it, or a comparison has no baseline.
    """
    models, evaluated = models_under(statement, models, candidate, baseline, extras, place)
    return question_of(statement, evaluated, models, place), models


def question_of(statement: MetricStatement, evaluated: EvaluatedCells, models: ModelMetrics, place: str) -> Question:
    """A statement about a metric whose cells are known; see `ask`."""
    if (of_groups := worst_slice(statement.metric)) is not None:
        models.metrics = {**models.metrics, of_groups.name: of_groups}
    metric = _known_metric(statement, place, models.metrics)
    if statement.threshold is not None:
        if metric not in OF_THRESHOLD:
            takers = " and ".join(one.name for one in OF_THRESHOLD)
            raise StudyError(f"{place}.threshold: {metric.name} takes no threshold: remove it ({takers} take one)")
        metric = at_threshold(metric, statement.threshold)
        models.metrics = {**models.metrics, metric.name: metric}
    if metric.refusal:
        raise StudyError(f"{place}.metric: {metric.name} cannot be judged: {metric.refusal}")
    score = _known_score(statement, metric, place, models.metrics)
    if isinstance(statement, ModelDifference) and evaluated.baseline is None:
        raise StudyError(f"{place}: {statement.relation} requires a baseline: name one, or use at_least or at_most")
    if metric.higher_is_better is None and isinstance(statement, DIRECTED):
        raise StudyError(
            f"{place}: {metric.name} has no better direction: use at_least or at_most instead of {statement.relation}"
        )
    if metric.unit == SHARE and isinstance(statement, WithLimit):
        with translated(ValueError, lambda error: StudyError(f"{place}.{error}")):
            check_share_limit(statement)
    cells = find_cells(statement, evaluated, place)
    is_whole = not (cells.lacks_other or (cells.missing and not statement.is_over_each))
    sums = sums_of(statement, metric, cells) if is_whole else []
    return Question(
        statement,
        metric,
        tuple(Value(one.cells, partial(models.measure, metric.name, one.terms, score)) for one in sums),
        score,
        tuple(cells.missing),
        frozenset(term.cell for one in sums for term in one.terms),
        evaluated.note,
    )


def _known_metric(statement: MetricStatement, place: str, metrics: Mapping[str, Metric]) -> Metric:
    if statement.metric not in metrics:
        hint = did_you_mean(statement.metric, metrics)
        raise StudyError(f"{place}.metric: unknown metric {statement.metric[:100]!r}: {hint}")
    return metrics[statement.metric]


def _known_score(statement: MetricStatement, metric: Metric, place: str, metrics: Mapping[str, Metric]) -> str | None:
    if not metric.takes_score:
        if statement.score is not None:
            takers = ", ".join(name for name, other in metrics.items() if other.takes_score)
            raise StudyError(f"{place}.score: {metric.name} takes no score: remove it (metrics with a score: {takers})")
        return None
    score = statement.score or (DEFAULT_SCORE if DEFAULT_SCORE in metric.scores else metric.scores[0])
    if score not in metric.scores:
        hint = did_you_mean(score, metric.scores)
        raise StudyError(f"{place}.score: unknown score {score[:100]!r}: {hint}")
    return score
