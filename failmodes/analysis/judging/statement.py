"""A statement about a metric, planned and judged: supported, contradicted, inconclusive or not measurable.

A statement holds where the bound at its level lies on the good side of its limit; over "each" cell, where that is so in
every one. All cells must be on the good side for it to be true, so each is tested at the level itself: the
intersection-union test (Berger 1982, Technometrics 24, 295-300). A statement that is not true is said to hold with a
chance of 1 minus the level at most, however many cells it has. It is contradicted where the other bound lies on the bad
side, in any cell: here any one of many may be wrong, so that bound is corrected (Bonferroni) for all decisions of its
family, such as all those of a gate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from failmodes.analysis.judging.cells import MissingCell, OnRecord, StatedCells, find_cells
from failmodes.analysis.statistics.difference import Measured, ModelMetrics, Term, mean_of
from failmodes.analysis.statistics.estimate import Estimate, Word
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, CellKey
from failmodes.analysis.statistics.sufficiency import FEWEST_IMAGES
from failmodes.ingest.statements import Statement
from failmodes.warehouse.errors import StudyError, did_you_mean
from failmodes.warehouse.metrics.metric import Metric

# Of several verdicts the first counts
WORDS: tuple[Word, ...] = ("contradicted", "not_measurable", "inconclusive", "supported")
DEFAULT_SCORE = "confidence"
NOT_ON_RECORD = "not on record"


class Requirement(NamedTuple):
    """A limit, and on which side of it a value must lie."""

    limit: float
    is_least: bool
    is_strict: bool = False

    def spare(self, bound: float) -> float:
        """How far within the limit a bound is; below 0 beyond it."""
        return bound - self.limit if self.is_least else self.limit - bound

    def is_met(self, bound: float) -> bool:
        """Whether a bound lies on the good side."""
        return self.spare(bound) > 0 if self.is_strict else self.spare(bound) >= 0


class Family(NamedTuple):
    """How sure statements are, and how many are judged together.

    Attributes:
        level: of every statement.
        comparisons: decisions that may be contradicted by chance.
        is_two_sided: whether both bounds are those of a two-sided interval of the level.
    """

    level: float = 0.95
    comparisons: int = 1
    is_two_sided: bool = False


@dataclass(frozen=True)
class Verdict:
    """What is shown of a statement in one cell, or of the mean over several.

    Attributes:
        verdict: what is shown.
        cells: that it is about; the missing one where one is missing; of a whole curve its corruption alone.
        estimate: the value with the bounds that decide; None where it is not measurable.
        n: images of a cell; 0 where it is not measurable.
        images_needed: images that would decide it with a chance of 80 % if the truth is as measured; None where it is
            decided or not measurable, or where no number would do.
        reason: why it is not measurable, or inconclusive whatever the bounds are; of a shape or kind of finding what
            was found; else empty.
        is_over_seeds: whether bounds are over training runs too, which more images do not narrow.
    """

    verdict: Word
    cells: tuple[CellKey | MissingCell | tuple[str, None], ...]
    estimate: Estimate | None = None
    n: int = 0
    images_needed: int | None = None
    reason: str = ""
    is_over_seeds: bool = False


class Question(NamedTuple):
    """What is measured to judge a statement: the cells that it is about, and the weighted sum over cells."""

    cells: tuple[CellKey, ...]
    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Plan:
    """A statement with what its names stand for.

    Attributes:
        statement: as it is written.
        metric: what is measured.
        score: what failures are predicted by; None where the metric takes none.
        requirement: what the value is held to.
        questions: one of the mean, or one a cell.
        missing: cells that a model lacks.
    """

    statement: Statement
    metric: Metric
    score: str | None
    requirement: Requirement
    questions: tuple[Question, ...]
    missing: tuple[MissingCell, ...]

    @property
    def is_difference(self) -> bool:
        """Whether the value is a difference of two."""
        return any(term.weight < 0 for question in self.questions for term in question.terms) or (
            self.statement.is_relative or self.statement.is_drop or self.statement.other is not None
        )

    @property
    def decision_count(self) -> int:
        """How many chances it has to be contradicted."""
        return max(1, len(self.questions))


@dataclass(frozen=True)
class JudgedStatement:
    """A statement with what is shown of it.

    Attributes:
        statement: as it is written.
        verdicts: one of the mean, or one a cell.
        plan: what its names stand for; None of a statement about a shape or a kind of finding.
    """

    statement: Statement
    verdicts: tuple[Verdict, ...]
    plan: Plan | None = None

    @property
    def verdict(self) -> Word:
        """Contradicted where any cell is; else not measurable, else inconclusive, where any is; else supported."""
        return worst_of([one.verdict for one in self.verdicts])

    @property
    def deciding(self) -> list[Verdict]:
        """The verdicts that decide, those farthest beyond the limit, or nearest to it, first."""
        return sorted((one for one in self.verdicts if one.verdict == self.verdict), key=self._spare)

    @property
    def images_needed(self) -> int | None:
        """Images that would decide every inconclusive cell; None where none is, or where no number would do."""
        needed = [one.images_needed for one in self.verdicts if one.verdict == "inconclusive"]
        known = [count for count in needed if count is not None]
        return max(known) if known and len(known) == len(needed) else None

    def _spare(self, one: Verdict) -> float:
        if one.estimate is None or self.plan is None:
            return 0.0
        requirement = self.plan.requirement
        return requirement.spare(one.estimate.low if requirement.is_least else one.estimate.high)


def worst_of(words: Sequence[Word]) -> Word:
    """The verdict on all of several statements: contradicted where any is; supported where all are."""
    return next(word for word in WORDS if word in words)


def plan_statement(statement: Statement, record: OnRecord, metrics: Mapping[str, Metric], place: str) -> Plan:
    """A statement about a metric, ready to be judged.

    Args:
        statement: as it was read.
        record: cells of the models.
        metrics: those that may be named.
        place: of the statement in its file, for errors.

    Raises:
        StudyError: a metric, score or corruption is unknown, a limit does not go with the metric, or a statement
            compares and there is no baseline.
    """
    metric = _known_metric(statement, place, metrics)
    score = _known_score(statement, metric, place, metrics)
    if statement.is_relative and record.baseline is None:
        raise StudyError(
            f"{place}: {statement.relation} compares with a baseline: name one, or write at_least or at_most"
        )
    if metric.higher_is_better is None and (statement.is_relative or statement.is_drop):
        raise StudyError(
            f"{place}: neither direction of {metric.name} is better, so nothing is worse: write at_least or at_most"
        )
    if metric.unit == "share" and abs(statement.bound) > 1:
        raise StudyError(f"{place}.limit: {metric.name} is a share, from 0 to 1: write {statement.bound / 100:g}")
    cells = find_cells(statement, record, place)
    is_whole = not (cells.lacks_other or (cells.missing and statement.over == "mean"))
    questions = tuple(_questions(statement, metric, cells)) if is_whole else ()
    return Plan(statement, metric, score, _requirement(statement, metric), questions, tuple(cells.missing))


def _known_metric(statement: Statement, place: str, metrics: Mapping[str, Metric]) -> Metric:
    name = str(statement.metric)
    if name not in metrics:
        hint = did_you_mean(name.lower(), metrics, f"known are {', '.join(metrics)}")
        raise StudyError(f"{place}.metric: unknown metric {name[:100]!r}: {hint}")
    return metrics[name]


def _known_score(statement: Statement, metric: Metric, place: str, metrics: Mapping[str, Metric]) -> str | None:
    if not metric.takes_score:
        if statement.score is not None:
            takers = ", ".join(name for name, other in metrics.items() if other.takes_score)
            raise StudyError(f"{place}.score: {metric.name} takes no score: leave it out (it goes with {takers})")
        return None
    score = statement.score or (DEFAULT_SCORE if DEFAULT_SCORE in metric.scores else metric.scores[0])
    if score not in metric.scores:
        hint = did_you_mean(score.lower(), metric.scores, f"known are {', '.join(metric.scores)}")
        raise StudyError(f"{place}.score: unknown score {score[:100]!r}: {hint}")
    return score


def _requirement(statement: Statement, metric: Metric) -> Requirement:
    limit, is_higher_better = statement.bound, bool(metric.higher_is_better)
    if statement.relation == "worse_by_at_most":
        return Requirement(-limit if is_higher_better else limit, is_higher_better)
    if statement.relation == "better_by_at_least":
        return Requirement(limit if is_higher_better else -limit, is_higher_better, is_strict=not limit)
    is_least = statement.relation in ("at_least", "more_than", "drop_at_least", "largest_drop")
    return Requirement(limit, is_least, statement.relation in ("more_than", "less_than", "largest_drop"))


def _questions(statement: Statement, metric: Metric, cells: StatedCells) -> list[Question]:
    """What is measured: one sum for the mean, or one a cell."""
    own = {name: group for name, group in cells.own.items() if group}
    sign = 1.0 if metric.higher_is_better else -1.0
    if statement.relation == "largest_drop":  # each other corruption leaves more, and something is lost
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
        if statement.is_drop:
            terms = [Term(CLEAN_CELL, sign), *(term._replace(weight=-sign * term.weight) for term in terms)]
        if statement.is_relative:
            terms = [*terms, *(term._replace(weight=-term.weight, of_baseline=True) for term in terms)]
        found.append(Question(of, tuple(terms)))
    return found


def _mean(groups: Mapping[str, Sequence[CellKey]], weight: float = 1.0) -> list[Term]:
    """The mean over corruptions of the mean over their cells."""
    return [term for cells in groups.values() for term in mean_of(cells, weight / len(groups))]


def _at(groups: Mapping[str, Sequence[CellKey]], severity: float) -> dict[str, list[CellKey]]:
    """The cells of a severity; all of corruptions that have it not, such as the clean one."""
    return {name: [cell for cell in cells if cell[1] == severity] or list(cells) for name, cells in groups.items()}


def judge_plan(plan: Plan, models: ModelMetrics, family: Family) -> JudgedStatement:
    """What is shown of a statement about a metric.

    Args:
        plan: the statement.
        models: what it is about.
        family: the level, and the statements judged together.
    """
    missing = [Verdict("not_measurable", (cell,), reason=NOT_ON_RECORD) for cell in plan.missing]
    if missing and plan.statement.over == "mean":
        missing = [Verdict("not_measurable", plan.missing, reason=NOT_ON_RECORD)]
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
    """What is shown of one value; of fewer than FEWEST_IMAGES images, copies counted as one, nothing is.

    Args:
        measured: the value with its error.
        requirement: what it is held to.
        family: the level, and the statements judged together.
        cells: which it is of.
    """
    level, comparisons = family.level, family.comparisons
    if family.is_two_sided:
        low, high = measured.interval(level)[1:]
        corrected = measured.interval(level, comparisons=comparisons)
        level = (1 + level) / 2
    else:
        low, high = measured.low(level), measured.high(level)
        corrected = Estimate(
            measured.value, measured.low(level, comparisons=comparisons), measured.high(level, comparisons=comparisons)
        )
    if requirement.is_least:
        supporting, opposing = low, corrected.high
        estimate = Estimate(measured.value, supporting, opposing)
    else:
        supporting, opposing = high, corrected.low
        estimate = Estimate(measured.value, opposing, supporting)
    needed, reason = None, ""
    if measured.image_count * measured.independent < FEWEST_IMAGES:
        word: Word = "inconclusive"
        reason = f"it takes {FEWEST_IMAGES} images"
    elif requirement.is_met(supporting):
        word = "supported"
    elif not requirement.is_met(opposing):
        word = "contradicted"
    else:
        word = "inconclusive"
    if word == "inconclusive":
        is_good = requirement.spare(measured.value) > 0
        needed = measured.images_needed(requirement.limit, level if is_good else 1 - (1 - level) / comparisons)
        needed = max(FEWEST_IMAGES, needed or 0) if reason else needed
    return Verdict(word, cells, estimate, measured.image_count, needed, reason, measured.error.freedom < inf)
