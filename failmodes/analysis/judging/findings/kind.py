"""A kind of finding: one file declares its claim, its place in a report and how its statements are judged."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import duckdb

from failmodes.analysis.render.formatting import format_count, format_severity, lower_label, round_up
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.statistics.estimate import Word
from failmodes.analysis.statistics.sufficiency import FEWEST_IMAGES
from failmodes.sql import sql_literal
from failmodes.warehouse.schema import CLEAN

Section = Literal["accuracy", "predictions", "confidence", "failure-prediction", "attention"]  # of a report
FIRST_OF_OTHERS = 10  # kinds of a lower order are conditions for all others
MORE_IMAGES = "more images may decide"
BOTH: tuple[Word, ...] = ("supported", "contradicted")
EVERY = "*"  # in `Kind.suppresses`


class Finding(NamedTuple):
    """One claim about one model (and one corruption, or another model), judged by the data.

    Attributes:
        kind: name of its `Kind`, such as 'largest_drop'.
        claim: of a kind with several, which: the shape, the score that predicts; else the kind.
        verdict: 'supported', 'contradicted', 'inconclusive' where the data cannot tell, or 'not_measurable'; of what a
            report prints corrected for how many statements it makes (see `correction`).
        evaluation_id: the evaluation that it is about.
        model_label: its name on charts.
        corruption: the corruption, 'none' for clean images; None where it is about all.
        value: the number behind it; None where there is none.
        low: lower end of its interval; None where it has none.
        high: upper end of its interval.
        unit: of the three: 'accuracy' and other shares are 0-1, differences of shares -1 to 1.
        n: images that the number is of.
        sentence: at most 30 words.
        query: SQL that gives the figures; `failmodes query` runs it.
        other_evaluation_id: of a comparison the second evaluation.
        severity: that the number is of; None where it is of several.
        p_value: of the verdict that a report would print, alone; None of what is not tested.
        verdict_alone: the verdict without that correction, at 95 %, or at the rate of its kind (`correction`).
    """

    kind: str
    claim: str
    verdict: Word
    evaluation_id: str
    model_label: str
    corruption: str | None
    value: float | None
    low: float | None
    high: float | None
    unit: str
    n: int
    sentence: str
    query: str
    other_evaluation_id: str | None = None
    severity: float | None = None
    p_value: float | None = None
    verdict_alone: Word = "inconclusive"

    def uncorrected(self) -> "Finding":
        """As it was judged alone."""
        if self.verdict == self.verdict_alone:
            return self
        return self._replace(verdict=self.verdict_alone, sentence=self.sentence.partition(": ")[2])


class Limitation(NamedTuple):
    """What must not be claimed: its topic in a word, the sentence, and what stands behind it."""

    topic: str
    sentence: str
    detail: str


class Judged(NamedTuple):
    """What a kind's function says of one statement; its `Kind` makes a `Finding` of it.

    Attributes:
        verdict: see `Finding`.
        sentence: without a full stop at its end the number of images is added.
        n: images.
        estimate: the number and both ends of its interval, each None where there is none.
        corruption: see `Finding`.
        severity: see `Finding`.
        claim: see `Finding`; by default the name of the kind.
        query: SQL of the figures; by default the evaluation's rows of the kind's relation, under the corruption.
        pair: of a kind about pairs the two evaluations, the better one first.
        p_value: see `Finding`.
    """

    verdict: Word
    sentence: str
    n: int
    estimate: tuple[float | None, float | None, float | None] = (None, None, None)
    corruption: str | None = None
    severity: float | None = None
    claim: str = ""
    query: str = ""
    pair: tuple[EvaluationInfo, EvaluationInfo] | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class Kind:
    """One kind of statement.

    Attributes:
        name: as the table `findings` has it.
        judge: gives every statement of one evaluation (con, selection, evaluation), or of all pairs (con, selection);
            of those with the same verdict the strongest first, which is the one that is printed.
        order: its place in a report among all kinds; below FIRST_OF_OTHERS it is a condition for others.
        section: of a report, in which it stands.
        topic: what it is about, in a word or two.
        claims: what is claimed.
        unit: of its number.
        relation: table or view that has its figures.
        is_of_pairs: whether it compares models.
        is_proposed: whether it is a finding; else it is judged where a study claims it.
        printed: verdicts that are printed one by one.
        nothing: its number where nothing is to be told, such as .5 of an AUROC.
        tells_each_claim: whether one is printed for each claim.
        inconclusive: how those are summed up: what is inconclusive, and of how many what; None: they are not.
        decides: what would decide those.
        without_figures: what would, where none of them has a number.
        suppresses: kinds that say nothing valid of an evaluation of which a finding of this one is supported; `EVERY`
            stands for all kinds that are no conditions (see `conditions`).
    """

    name: str
    judge: Callable[..., Iterable[Judged]]
    order: float
    section: Section
    topic: str
    claims: str
    unit: str
    relation: str
    is_of_pairs: bool = False
    is_proposed: bool = True
    printed: tuple[Word, ...] = ("supported",)
    nothing: float = 0.0
    tells_each_claim: bool = False
    inconclusive: tuple[str, str] | None = None
    decides: str = MORE_IMAGES
    without_figures: str = ""
    suppresses: tuple[str, ...] = ()

    @property
    def is_condition(self) -> bool:
        """Whether it comes first in a report, before anything is concluded."""
        return self.order < FIRST_OF_OTHERS

    def of_evaluation(
        self, con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
    ) -> list[Finding]:
        """Every statement about one evaluation, judged; needs shapes."""
        return [self._finding(judged, evaluation) for judged in self.judge(con, selection, evaluation)]

    def of_all_pairs(self, con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
        """Every statement about two models of a selection, judged."""
        return [self._finding(judged, *judged.pair) for judged in self.judge(con, selection) if judged.pair]

    def _finding(self, judged: Judged, evaluation: EvaluationInfo, other: EvaluationInfo | None = None) -> Finding:
        """Below `FEWEST_IMAGES` images nothing is measurable, whatever the figures say."""
        verdict, sentence, n, estimate, corruption, severity, claim, query, _, p_value = judged
        if not sentence.endswith("."):
            sentence = f"{sentence} ({format_count(n, 'image')})."
        if n < FEWEST_IMAGES and not self.is_condition:
            verdict, sentence, p_value = "not_measurable", too_few(n), None
        return Finding(
            self.name, claim or self.name, verdict, evaluation.evaluation_id, evaluation.label, corruption, *estimate,
            self.unit, n, sentence, query or rows_of(self.relation, evaluation, corruption),
            other.evaluation_id if other else None, severity, p_value, verdict,
        )  # fmt: skip


KINDS: dict[str, Kind] = {}  # those whose file was imported; `registry.all_kinds` imports every file


def kind(name: str, **declared: Any) -> Callable[[Callable[..., Iterable[Judged]]], Kind]:
    """Make a `Kind` of the function that judges its statements, and register it."""

    def register(judge: Callable[..., Iterable[Judged]]) -> Kind:
        assert name not in KINDS, f"{name} is declared twice"
        KINDS[name] = Kind(name, judge, **declared)
        return KINDS[name]

    return register


def too_few(count: int) -> str:
    """Why nothing is claimed of so few images."""
    verb = "is" if count == 1 else "are"
    return f"{format_count(count, 'image')} {verb} too few for findings; at least {FEWEST_IMAGES} are needed."


def images_that_decide(count: int | None) -> str:
    """What would decide what is inconclusive, to be added to a sentence; '' where no number of images would."""
    if count is None:
        return ""
    return f"; about {round_up(count):,} images would show a difference of this size"


def rows_of(relation: str, evaluation: EvaluationInfo, corruption: str | None = None) -> str:
    """SQL that selects an evaluation's rows of a table or view, of one corruption or all; of clean images of all."""
    of_corruption = f" and corruption = {sql_literal(corruption)}" if corruption not in (None, CLEAN) else ""
    return f"from {relation} where evaluation_id = {sql_literal(evaluation.evaluation_id)}{of_corruption}"


def where(con: duckdb.DuckDBPyConnection, corruption: str, severity: float | None = None) -> str:
    """The condition as the beginning of a sentence: When clean; Under fog; Under fog at severity 5."""
    if corruption == CLEAN:
        return "When clean"
    at = "" if severity is None else f" at severity {format_severity(severity)}"
    return f"Under {lower_label(corruption_labels(con)[corruption])}{at}"
