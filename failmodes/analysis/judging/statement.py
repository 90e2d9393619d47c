"""What each form of statement measures, what it requires of the value, and its English text.

The forms are those of `ingest.statements`. A new relation is one there, and its sum, limit and words here.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from failmodes.analysis.judging.cells import StatementCells
from failmodes.analysis.render.formatting import join_names
from failmodes.analysis.statistics.difference import Term, mean_of
from failmodes.analysis.statistics.filters import filter_phrase
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, CellKey
from failmodes.ingest.statements import (
    EARLY_WARNING,
    NAMES_OF_MANY,
    CellDifference,
    Drop,
    Gap,
    InCells,
    KindOfFinding,
    LargestDrop,
    MetricStatement,
    ModelDifference,
    OfCorruptions,
    RestDifference,
    Shape,
    Statement,
    UnderShift,
    WithLimit,
    stored_form,
)
from failmodes.warehouse.curve_shapes import SHAPES
from failmodes.warehouse.metrics.metric import Metric, all_metrics
from failmodes.warehouse.schema import CLEAN, SHARE

# Forms whose value is a difference of two
DIFFERENCES = (CellDifference, Drop, Gap, LargestDrop, ModelDifference, RestDifference)
UNSIGNED = (Drop, Gap)  # those whose value has a direction of its own
_ATTENTION_WORDS = {  # kind: as stated, and negated
    "attention_on_object": ("is on the object", "is not on the object"),
    "attention_off_object": ("leaves the object", "does not leave the object"),
    "attention_drift": ("stays near its clean location", "loses its clean location"),
}


class Requirement(NamedTuple):
    """A limit, and on which side of it a value must be."""

    limit: float
    is_least: bool
    is_strict: bool = False

    def slack(self, bound: float) -> float:
        """How far a bound is within the limit; negative beyond it."""
        return bound - self.limit if self.is_least else self.limit - bound

    def is_met(self, bound: float) -> bool:
        """Whether a bound is within the limit."""
        return self.slack(bound) > 0 if self.is_strict else self.slack(bound) >= 0


class Sum(NamedTuple):
    """The cells that a statement is about, and the weighted sum over cells that is measured for it."""

    cells: tuple[CellKey, ...]
    terms: tuple[Term, ...]


def requirement_of(statement: MetricStatement, metric: Metric) -> Requirement:
    """What a statement requires of its value."""
    limit = statement.limit if isinstance(statement, WithLimit) else 0.0
    is_higher_better = bool(metric.higher_is_better)
    if statement.relation == "worse_by_at_most":
        return Requirement(-limit if is_higher_better else limit, is_higher_better)
    if statement.relation == "better_by_at_most":
        return Requirement(limit if is_higher_better else -limit, not is_higher_better)
    if statement.relation == "better_by_at_least":
        return Requirement(limit if is_higher_better else -limit, is_higher_better, is_strict=not limit)
    if isinstance(statement, RestDifference):
        return Requirement(-limit if is_higher_better else limit, not is_higher_better, is_strict=True)
    is_least = statement.relation in ("at_least", "more_than", "drop_at_least", "gap_at_least", "largest_drop")
    return Requirement(limit, is_least, statement.relation in ("more_than", "less_than", "largest_drop"))


def sums_of(statement: MetricStatement, metric: Metric, cells: StatementCells) -> list[Sum]:
    """One sum for the mean, or one for each cell."""
    stated = {name: group for name, group in cells.stated.items() if group}
    sign = 1.0 if metric.higher_is_better else -1.0
    if isinstance(statement, LargestDrop):  # accuracy drops, and more than under each other corruption
        ((_, of_own),) = stated.items()
        leads = [(tuple(group), [*mean_of(group, sign), *mean_of(of_own, -sign)]) for group in cells.other.values()]
        return [
            Sum(of, tuple(terms))
            for of, terms in [(tuple(of_own), [Term(CLEAN_CELL, sign), *mean_of(of_own, -sign)]), *leads]
        ]
    return [
        Sum(of, tuple(_compared_terms(statement, terms, sign))) for of, terms in _groups(statement, stated, cells.other)
    ]


def _groups(
    statement: MetricStatement, stated: Mapping[str, Sequence[CellKey]], other: Mapping[str, Sequence[CellKey]]
) -> list[tuple[tuple[CellKey, ...], list[Term]]]:
    """The cells of each sum with their terms, minus those of other cells."""
    subtracted = statement.other if isinstance(statement, CellDifference) else None
    if not statement.is_over_each:
        terms = _mean(stated) + (_mean(other, -1.0) if subtracted else [])
        return [(tuple(cell for group in stated.values() for cell in group), terms)]
    groups: list[tuple[tuple[CellKey, ...], list[Term]]] = []
    for name, cells in stated.items():
        beside = {name: other[name]} if subtracted and subtracted.corruptions is None else other
        for cell in cells:
            terms = _mean(_at(beside, cell[1]), -1.0) if subtracted else []
            groups.append(((cell,), [Term(cell, 1.0), *terms]))
    return groups


def _compared_terms(statement: MetricStatement, terms: list[Term], sign: float) -> list[Term]:
    """The terms, subtracted from clean ones for a drop or gap, or with those of the baseline."""
    if isinstance(statement, Drop):
        return [Term(CLEAN_CELL, sign), *(term._replace(weight=-sign * term.weight) for term in terms)]
    if isinstance(statement, Gap):  # the clean images are the candidate, those of the shift the baseline
        terms = [term._replace(weight=sign * term.weight) for term in terms]
    if isinstance(statement, ModelDifference | Gap | RestDifference):
        return [*terms, *(term._replace(weight=-term.weight, of_baseline=True) for term in terms)]
    return terms


def _mean(groups: Mapping[str, Sequence[CellKey]], weight: float = 1.0) -> list[Term]:
    """The mean over corruptions of the mean over their cells."""
    return [term for cells in groups.values() for term in mean_of(cells, weight / len(groups))]


def _at(groups: Mapping[str, Sequence[CellKey]], severity: float) -> dict[str, list[CellKey]]:
    """The cells of a severity; all cells of corruptions without it, such as clean."""
    return {name: [cell for cell in cells if cell[1] == severity] or list(cells) for name, cells in groups.items()}


def title_of(statement: Statement) -> str:
    """Its name in reports, else its English text."""
    return statement.name or statement_text(statement)


def stored_rows(claims: Iterable[Statement]) -> list[tuple[str, str]]:
    """Claims as a load stores them: what each is called, and its JSON."""
    return [(title_of(claim), stored_form(claim)) for claim in claims]


def statement_text(statement: Statement, metric: Metric | None = None) -> str:
    """A statement in English, such as "accuracy under fog at severity 5 is at least 30%"; nothing reads it back.

    Args:
        statement: the statement.
        metric: its metric, for title and unit; default: the built-in one, else the name is the title and accuracies are
            shares.
    """
    of = f' of "{statement.model}"' if statement.model else ""
    where = _where(statement)
    match statement:
        case Shape():
            return f"the accuracy curve{of} {where} {SHAPES[statement.shape].claim}"
        case KindOfFinding() if statement.kind in _ATTENTION_WORDS:
            return f"attention{of} {where} {_ATTENTION_WORDS[statement.kind][statement.negate]}"
        case KindOfFinding() if statement.kind == EARLY_WARNING:
            predicts = "does not predict" if statement.negate else "predicts"
            return f"{_spaced(statement.score or 'confidence')} {predicts} which images{of} fail at the next severity"
        case KindOfFinding():
            return f"{'no ' * statement.negate}{_spaced(statement.kind)}{of} {where}"
    assert isinstance(statement, MetricStatement)
    score = f" by {_spaced(statement.score)}" if statement.score else ""
    metric = metric or all_metrics().get(statement.metric)
    title = metric.title if metric else _spaced(statement.metric)
    if statement.threshold is not None:
        title = title.replace("at a threshold", f"at {statement.threshold:.9g}")
    images = f" ({filter_phrase(statement.filter)})" if statement.filter else ""
    subject = f"{title}{score}{of}{images}"
    is_share = metric.unit == SHARE if metric else statement.is_of_accuracy
    return _of_metric(statement, subject, where, is_share=is_share)


def _of_metric(statement: MetricStatement, subject: str, where: str, *, is_share: bool) -> str:
    words = _spaced(statement.relation)
    if not isinstance(statement, WithLimit):
        return f"{subject} drops most {where}"
    margin = _amount(statement.limit, is_share=is_share, is_difference=True)
    extent = "at most" if statement.relation.endswith("at_most") else "at least"
    match statement:
        case CellDifference():
            return _compared(statement, subject, margin)
        case Drop():
            verb = "drops" if statement.is_of_accuracy else "worsens from clean images"
            return f"{subject} {verb} by {extent} {margin} {where}"
        case Gap():
            return f"{subject} is {extent} {margin} worse {where} than on clean images"
        case RestDifference():
            more = f"more than {margin} " if statement.limit else ""
            return f"{subject} {where} is {more}worse than on all other images"
        case ModelDifference():
            named = "the baseline" if statement.baseline is None else f'"{statement.baseline}"'
            side = "worse" if statement.relation == "worse_by_at_most" else "better"
            if statement.limit == 0:
                extent, margin = "no" if extent == "at most" else "", ""
            return f"{subject} {where} is {' '.join(filter(None, (extent, margin, side)))} than that of {named}"
    return f"{subject} {where} is {words} {_amount(statement.limit, is_share=is_share)}"


def _compared(statement: CellDifference, subject: str, margin: str) -> str:
    """A statement that compares cells with others; severities that are those of both are said once."""
    corruptions = statement.other.corruptions or statement.corruptions
    severities = None if corruptions == [CLEAN] else statement.other.severities or statement.severities
    other = statement.model_copy(update={"corruptions": corruptions, "severities": severities})
    at = ""
    is_clean = CLEAN in (statement.corruptions or ())[:1] or corruptions == [CLEAN]
    if not is_clean and statement.severities == severities:
        places = _under(statement), _under(other)
        at = f" {_severities(statement)}".rstrip()
    else:
        places = _where(statement), _where(other)
    if statement.limit == 0:
        word = "higher" if statement.relation == "more_than" else "lower"
        return f"{subject} is {word} {places[0]} than {places[1]}{at}"
    return f"{subject} {places[0]} minus that {places[1]} is {_spaced(statement.relation)} {margin}{at}"


def _where(statement: Statement) -> str:
    return f"{_under(statement)} {_severities(statement)}".rstrip()


def _under(statement: Statement) -> str:
    if isinstance(statement, UnderShift):
        return f"under the shift {statement.shift}"
    corruptions = statement.corruptions if isinstance(statement, OfCorruptions) else None
    if corruptions == [CLEAN]:
        return "on clean images"
    over = _over(statement)
    is_many = corruptions is None or len(corruptions) > 1 or corruptions[0] in NAMES_OF_MANY
    names = "corruptions" if corruptions is None else _listed(corruptions)
    if is_many and over == "mean":
        return f"on average over {names}"
    if corruptions is None:
        return "under each corruption" if over else "under corruption"
    return f"under {'each of ' if is_many and over else ''}{names}"


def _severities(statement: Statement) -> str:
    corruptions = statement.corruptions if isinstance(statement, OfCorruptions) else None
    severities = statement.severities if isinstance(statement, InCells) else None
    if isinstance(statement, UnderShift):
        return ""
    if severities == "last":
        return "at the last severity"
    if isinstance(severities, list):
        levels = [f"{float(level):g}" for level in severities]
        return f"at severit{'y' if len(levels) == 1 else 'ies'} {join_names(levels)}"
    if _over(statement) == "each":
        return "at each severity"
    is_one = corruptions is not None and len(corruptions) == 1 and corruptions[0] not in (CLEAN, *NAMES_OF_MANY)
    return "on average over severities" if _over(statement) and is_one else ""


def _over(statement: Statement) -> str | None:
    """How a metric is taken over cells; None for a shape or kind of finding."""
    if isinstance(statement, MetricStatement):
        return "each" if statement.is_over_each else "mean"
    return None


def _listed(corruptions: Sequence[str]) -> str:
    names = {CLEAN: "clean images", "headline": "the headline corruptions", "all": "all corruptions"}
    return join_names(
        names.get(name) or _spaced(name).replace("jpeg", "JPEG").replace("gaussian", "Gaussian") for name in corruptions
    )


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _amount(value: float, *, is_share: bool, is_difference: bool = False) -> str:
    if not is_share:
        return f"{value:.10g}"
    amount = f"{100 * value:.10g}"
    if not is_difference:
        return f"{amount}%"
    return f"{amount} point" if amount == "1" else f"{amount} points"
