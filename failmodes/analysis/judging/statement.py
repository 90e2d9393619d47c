"""A statement about a metric, planned and judged: supported, contradicted, inconclusive or not measurable.

A statement is supported if the bound at its level is within its limit; over "each" cell, if that is so in every cell.
It is true only if all cells are within the limit, so each is tested at the level itself: the intersection-union test
(Berger 1982, Technometrics 24, 295-300). A false statement is supported with a probability of at most 1 minus the
level, however many cells it has. It is contradicted if the other bound is beyond the limit in any cell. Any of many
cells may be beyond it by chance, so that bound is corrected (Bonferroni) for all decisions of its family, such as all
those of a gate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from failmodes.analysis.judging.cells import MissingCell, OnRecord, StatedCells, find_cells
from failmodes.analysis.statistics.difference import Measured, ModelMetrics, Term, mean_of
from failmodes.analysis.statistics.estimate import Estimate, Word
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, CellKey
from failmodes.ingest.statements import Statement
from failmodes.runtime.errors import StudyError, did_you_mean
from failmodes.warehouse.metrics.metric import FEWEST_IMAGES, Metric, too_few

# The first of these that occurs is the verdict on several statements
WORDS: tuple[Word, ...] = ("contradicted", "not_measurable", "inconclusive", "supported")
DEFAULT_SCORE = "confidence"
NOT_EVALUATED = "not evaluated"


class Requirement(NamedTuple):
    """A limit, and on which side of it a value must be."""

    limit: float
    is_least: bool
    is_strict: bool = False

    def spare(self, bound: float) -> float:
        """How far a bound is within the limit; negative beyond it."""
        return bound - self.limit if self.is_least else self.limit - bound

    def is_met(self, bound: float) -> bool:
        """Whether a bound is within the limit."""
        return self.spare(bound) > 0 if self.is_strict else self.spare(bound) >= 0


class Family(NamedTuple):
    """The level of statements, and how many are judged together.

    Attributes:
        level: of every statement.
        comparisons: decisions that chance may contradict.
        is_two_sided: whether both bounds are those of a two-sided interval of the level.
    """

    level: float = 0.95
    comparisons: int = 1
    is_two_sided: bool = False


@dataclass(frozen=True)
class Verdict:
    """The verdict on a statement in one cell, or on the mean over several.

    Attributes:
        verdict: on the statement.
        cells: that it is about; only the missing ones if any is missing; the corruption alone for a whole curve.
        estimate: the value with the bounds that decide; None if it is not measurable.
        n: images of a cell; 0 if it is not measurable.
        images_needed: images that would decide it with a power of 80% if the truth is as measured; None if it is
            decided or not measurable, or if no number would.
        reason: why it is not measurable, or inconclusive whatever the bounds; the sentence of a shape or kind of
            finding; else ''.
        is_over_seeds: whether bounds cover training runs too, which more images do not narrow.
    """

    verdict: Word
    cells: tuple[tuple[str, float | None] | MissingCell, ...]
    estimate: Estimate | None = None
    n: int = 0
    images_needed: int | None = None
    reason: str = ""
    is_over_seeds: bool = False


class Question(NamedTuple):
    """The cells that a statement is about, and the weighted sum over cells that is measured for it."""

    cells: tuple[CellKey, ...]
    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Plan:
    """A statement with its metric, cells and limit resolved.

    Attributes:
        statement: as written.
        metric: that is measured.
        score: that predicts failures; None if the metric takes none.
        requirement: for the value.
        questions: one for the mean, or one for each cell.
        missing: cells that a model lacks.
        note: images and classes of a shift; empty for corruptions.
    """

    statement: Statement
    metric: Metric
    score: str | None
    requirement: Requirement
    questions: tuple[Question, ...]
    missing: tuple[MissingCell, ...]
    note: str = ""

    @property
    def is_difference(self) -> bool:
        """Whether the value is a difference of two."""
        return any(term.weight < 0 for question in self.questions for term in question.terms) or (
            self.statement.is_relative or self.statement.is_drop or self.statement.other is not None
        )

    @property
    def decision_count(self) -> int:
        """How many decisions chance may contradict."""
        return max(1, len(self.questions))


@dataclass(frozen=True)
class JudgedStatement:
    """A statement with its verdicts.

    Attributes:
        statement: as written.
        verdicts: one for the mean, or one for each cell.
        plan: None for a statement about a shape or a kind of finding.
    """

    statement: Statement
    verdicts: tuple[Verdict, ...]
    plan: Plan | None = None

    @property
    def verdict(self) -> Word:
        """Contradicted if any cell is; else not measurable or inconclusive if any is; else supported."""
        return worst_of([one.verdict for one in self.verdicts])

    @property
    def deciding(self) -> list[Verdict]:
        """The verdicts that decide, those farthest beyond the limit, or closest to it, first."""
        return sorted((one for one in self.verdicts if one.verdict == self.verdict), key=self._spare)

    @property
    def images_needed(self) -> int | None:
        """Images that would decide every inconclusive cell; None if none is, or if no number would."""
        needed = [one.images_needed for one in self.verdicts if one.verdict == "inconclusive"]
        known = [count for count in needed if count is not None]
        return max(known) if known and len(known) == len(needed) else None

    def _spare(self, one: Verdict) -> float:
        if one.estimate is None or self.plan is None:
            return 0.0
        requirement = self.plan.requirement
        return requirement.spare(one.estimate.low if requirement.is_least else one.estimate.high)


def worst_of(words: Sequence[Word]) -> Word:
    """The verdict on several statements together: contradicted if any is; supported if all are."""
    return next(word for word in WORDS if word in words)


def plan_statement(statement: Statement, record: OnRecord, metrics: Mapping[str, Metric], place: str) -> Plan:
    """A statement about a metric, ready to be judged.

    Args:
        statement: as it was read.
        record: cells of the models.
        metrics: that it may name.
        place: of the statement in its file, for errors.

    Raises:
        StudyError: the metric, score or corruption is unknown, the metric cannot be judged, the limit does not fit it,
            or a comparison has no baseline.
    """
    metric = _known_metric(statement, place, metrics)
    if metric.refusal:
        raise StudyError(f"{place}.metric: {metric.name} cannot be judged: {metric.refusal}")
    score = _known_score(statement, metric, place, metrics)
    if statement.is_relative and record.baseline is None:
        raise StudyError(f"{place}: {statement.relation} requires a baseline: name one, or use at_least or at_most")
    if metric.higher_is_better is None and (statement.is_relative or statement.is_drop or statement.is_gap):
        raise StudyError(
            f"{place}: {metric.name} has no better direction: use at_least or at_most instead of {statement.relation}"
        )
    if metric.unit == "share" and abs(statement.bound) > 1:
        raise StudyError(
            f"{place}.limit: {metric.name} is a share from 0 to 1: write {statement.bound / 100:g} "
            f"(given: {statement.bound:g})"
        )
    cells = find_cells(statement, record, place)
    is_whole = not (cells.lacks_other or (cells.missing and statement.over == "mean"))
    questions = tuple(_questions(statement, metric, cells)) if is_whole else ()
    return Plan(statement, metric, score, _requirement(statement, metric), questions, tuple(cells.missing), record.note)


def _known_metric(statement: Statement, place: str, metrics: Mapping[str, Metric]) -> Metric:
    name = str(statement.metric)
    if name not in metrics:
        hint = did_you_mean(name.lower(), metrics)
        raise StudyError(f"{place}.metric: unknown metric {name[:100]!r}: {hint}")
    return metrics[name]


def _known_score(statement: Statement, metric: Metric, place: str, metrics: Mapping[str, Metric]) -> str | None:
    if not metric.takes_score:
        if statement.score is not None:
            takers = ", ".join(name for name, other in metrics.items() if other.takes_score)
            raise StudyError(f"{place}.score: {metric.name} takes no score: remove it (metrics with a score: {takers})")
        return None
    score = statement.score or (DEFAULT_SCORE if DEFAULT_SCORE in metric.scores else metric.scores[0])
    if score not in metric.scores:
        hint = did_you_mean(score.lower(), metric.scores)
        raise StudyError(f"{place}.score: unknown score {score[:100]!r}: {hint}")
    return score


def _requirement(statement: Statement, metric: Metric) -> Requirement:
    limit, is_higher_better = statement.bound, bool(metric.higher_is_better)
    if statement.relation == "worse_by_at_most":
        return Requirement(-limit if is_higher_better else limit, is_higher_better)
    if statement.relation == "better_by_at_least":
        return Requirement(limit if is_higher_better else -limit, is_higher_better, is_strict=not limit)
    is_least = statement.relation in ("at_least", "more_than", "drop_at_least", "gap_at_least", "largest_drop")
    return Requirement(limit, is_least, statement.relation in ("more_than", "less_than", "largest_drop"))


def _questions(statement: Statement, metric: Metric, cells: StatedCells) -> list[Question]:
    """One sum for the mean, or one for each cell."""
    own = {name: group for name, group in cells.own.items() if group}
    sign = 1.0 if metric.higher_is_better else -1.0
    if statement.relation == "largest_drop":  # accuracy drops, and more than under each other corruption
        ((_, of_own),) = own.items()
        leads = [(tuple(group), [*mean_of(group, sign), *mean_of(of_own, -sign)]) for group in cells.other.values()]
        return [
            Question(of, tuple(terms))
            for of, terms in [(tuple(of_own), [Term(CLEAN_CELL, sign), *mean_of(of_own, -sign)]), *leads]
        ]
    if statement.over == "mean":
        terms = _mean(own)
        if statement.other is not None:
            terms += _mean(cells.other, -1.0)
        groups = [(tuple(cell for group in own.values() for cell in group), terms)]
    else:
        groups = [((cell,), [Term(cell, 1.0)]) for group in own.values() for cell in group]
        if statement.other is not None:
            of_itself = statement.other.corruptions is None
            groups = [
                (cell, terms + _mean(_at({name: cells.other[name]} if of_itself else cells.other, severity), -1.0))
                for cell, terms in groups
                for name, severity in cell
            ]
    found = []
    for of, terms in groups:
        found.append(Question(of, tuple(_contrasted(statement, terms, sign))))
    return found


def _contrasted(statement: Statement, terms: list[Term], sign: float) -> list[Term]:
    """The terms, subtracted from clean ones for a drop or gap, or with those of the baseline."""
    if statement.is_drop:
        return [Term(CLEAN_CELL, sign), *(term._replace(weight=-sign * term.weight) for term in terms)]
    if statement.is_gap:  # the clean images are the candidate, those of the shift the baseline
        terms = [term._replace(weight=sign * term.weight) for term in terms]
    if statement.is_relative or statement.is_gap:
        return [*terms, *(term._replace(weight=-term.weight, of_baseline=True) for term in terms)]
    return terms


def _mean(groups: Mapping[str, Sequence[CellKey]], weight: float = 1.0) -> list[Term]:
    """The mean over corruptions of the mean over their cells."""
    return [term for cells in groups.values() for term in mean_of(cells, weight / len(groups))]


def _at(groups: Mapping[str, Sequence[CellKey]], severity: float) -> dict[str, list[CellKey]]:
    """The cells of a severity; all cells of corruptions without it, such as clean."""
    return {name: [cell for cell in cells if cell[1] == severity] or list(cells) for name, cells in groups.items()}


def judge_plan(plan: Plan, models: ModelMetrics, family: Family) -> JudgedStatement:
    """Judge a statement about a metric.

    Args:
        plan: of the statement.
        models: that it is about.
        family: the level, and the statements judged together.
    """
    missing = [Verdict("not_measurable", (cell,), reason=NOT_EVALUATED) for cell in plan.missing]
    if missing and plan.statement.over == "mean":
        missing = [Verdict("not_measurable", plan.missing, reason=NOT_EVALUATED)]
    verdicts = [_judged(plan, question, models, family) for question in plan.questions]
    return JudgedStatement(plan.statement, (*verdicts, *missing), plan)


def _judged(plan: Plan, question: Question, models: ModelMetrics, family: Family) -> Verdict:
    found = models.measure(plan.metric.name, question.terms, plan.score)
    if isinstance(found, str):
        return Verdict("not_measurable", question.cells, reason=found)
    return judge(found, plan.requirement, family, question.cells)


def judge(
    measured: Measured, requirement: Requirement, family: Family, cells: tuple[CellKey | MissingCell, ...] = ()
) -> Verdict:
    """Judge one value; with fewer than FEWEST_IMAGES distinct images it is inconclusive.

    Args:
        measured: the value with its error.
        requirement: for the value.
        family: the level, and the statements judged together.
        cells: of the value.
    """

    def bounds(comparisons: int) -> tuple[float, float]:
        if family.is_two_sided:
            return measured.interval(family.level, comparisons=comparisons)[1:]
        return (
            measured.low(family.level, comparisons=comparisons),
            measured.high(family.level, comparisons=comparisons),
        )

    (low, high), (corrected_low, corrected_high) = bounds(1), bounds(family.comparisons)
    if requirement.is_least:
        supporting, opposing = low, corrected_high
        estimate = Estimate(measured.value, supporting, opposing)
    else:
        supporting, opposing = high, corrected_low
        estimate = Estimate(measured.value, opposing, supporting)
    needed, reason = None, ""
    distinct = measured.image_count * measured.independent
    if distinct < FEWEST_IMAGES:
        word: Word = "inconclusive"
        reason = too_few(round(distinct))
    elif requirement.is_met(supporting):
        word = "supported"
    elif not requirement.is_met(opposing):
        word = "contradicted"
    else:
        word = "inconclusive"
    if word == "inconclusive":
        level = (1 + family.level) / 2 if family.is_two_sided else family.level
        is_good = requirement.spare(measured.value) > 0
        needed = measured.images_needed(requirement.limit, level if is_good else 1 - (1 - level) / family.comparisons)
        needed = max(FEWEST_IMAGES, needed or 0) if reason else needed
    return Verdict(word, cells, estimate, measured.image_count, needed, reason, measured.error.freedom < inf)
