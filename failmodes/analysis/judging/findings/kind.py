"""A kind of finding: one file declares its claim, its place in a report and how its statements are judged."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.judging.wording import images_needed_text
from failmodes.analysis.render.formatting import format_count, format_severity, lower_label
from failmodes.analysis.statistics.estimate import Estimate, Word, known_estimate
from failmodes.runtime.packages import import_modules
from failmodes.sql import sql_literal
from failmodes.warehouse.database_schema import FINDINGS
from failmodes.warehouse.metrics.metric import FEWEST_IMAGES, too_few
from failmodes.warehouse.schema import CLEAN

Section = Literal[
    "accuracy", "predictions", "confidence", "failure-prediction", "abstention", "attention"
]  # of a report
FIRST_OF_OTHERS = 10  # kinds of a lower order are conditions for all others
MORE_IMAGES = "more images would help"
MASKS_REQUIRED = "object masks are required"
BOTH: tuple[Word, ...] = ("supported", "contradicted")
EVERY = "*"  # in `Kind.suppresses`


class Finding(NamedTuple):
    """One statement about one model (and one corruption, or another model) with its verdict.

    Attributes:
        kind: name of its `Kind`, such as 'largest_drop'.
        claim: of a kind with several, which: the shape, the score that predicts; else the kind.
        verdict: 'supported', 'contradicted', 'inconclusive' or 'not_measurable', corrected for the number of statements
            in a report (see `correction`).
        evaluation_id: the evaluation that it is about.
        model_label: its name on charts.
        corruption: its name, 'none' for clean images; None for all corruptions.
        value: the metric, or None.
        low: lower end of its interval, or None.
        high: upper end of its interval, or None.
        unit: of the three: 'accuracy' and other shares are 0-1, differences of shares -1 to 1.
        n: number of images.
        sentence: at most 30 words.
        query: SQL that gives the figures; `failmodes query` runs it.
        other_evaluation_id: of a comparison the second evaluation.
        severity: of the value; None for several severities.
        p_value: uncorrected; None for statements that are not tested.
        verdict_alone: the uncorrected verdict, at 95%, or at the error rate of its kind (`correction`).
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

    @property
    def estimate(self) -> Estimate | None:
        """The value with its interval, or None."""
        return known_estimate(self.value, self.low, self.high, n=self.n, unit=self.unit, p_value=self.p_value)

    @property
    def statement(self) -> str:
        """The sentence without its number of images and full stop, as in the title of a chart."""
        return self.sentence.removesuffix(".").removesuffix(f" ({format_count(self.n, 'image')})")


class Limitation(NamedTuple):
    """A limitation of the data: its topic in a word, a sentence, and the details."""

    topic: str
    sentence: str
    detail: str


class Judged(NamedTuple):
    """One judged statement, from which a `Kind` makes a `Finding`.

    Attributes:
        verdict: see `Finding`.
        sentence: if it has no full stop, the number of images is appended.
        estimate: the value with its interval, number of images and p value (None for statements that are not tested).
        corruption: see `Finding`.
        severity: see `Finding`.
        claim: see `Finding`; by default the name of the kind.
        query: SQL of the figures; by default the evaluation's rows of the kind's relation, under the corruption.
        pair: of a kind about pairs the two evaluations, the better one first.
        n: images of a statement without an estimate.
        value: of a statement without an interval.
        p_value: likewise.
    """

    verdict: Word
    sentence: str
    estimate: Estimate | None = None
    corruption: str | None = None
    severity: float | None = None
    claim: str = ""
    query: str = ""
    pair: tuple[EvaluationInfo, EvaluationInfo] | None = None
    n: int = 0
    value: float | None = None
    p_value: float | None = None

    @property
    def image_count(self) -> int:
        """Images of the statement."""
        return self.estimate.n if self.estimate else self.n


@dataclass(frozen=True)
class Kind:
    """One kind of statement.

    Attributes:
        name: as the table `findings` has it.
        judge: yields every statement about one evaluation (con, selection, evaluation), or about all pairs (con,
            selection); among those of the same verdict, the first is the one that a report prints.
        order: position in a report among all kinds; below FIRST_OF_OTHERS it is a condition for others.
        section: of a report, in which it stands.
        topic: in a word or two.
        claims: the statement, without its model.
        unit: of its value.
        relation: table or view with the values.
        is_of_pairs: whether it compares models.
        is_proposed: whether it is a finding; else it is judged only for claims.
        printed: verdicts that are printed one by one.
        nothing: its value without an effect, such as 0.5 for an AUROC.
        tells_each_claim: whether one is printed for each claim.
        inconclusive: subject and counted noun of the summary of inconclusive statements; None for no summary.
        decides: what would make these conclusive.
        without_figures: the same, if none of them has a value.
        suppresses: kinds whose findings are invalid for an evaluation for which this kind is supported; `EVERY` stands
            for all kinds that are not conditions (see `conditions`).
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
        """Whether it comes first in a report, since it invalidates or limits other findings."""
        return self.order < FIRST_OF_OTHERS

    def of_evaluation(
        self, con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
    ) -> list[Finding]:
        """Every statement about one evaluation, judged; needs shapes."""
        return [self._finding(judged, evaluation) for judged in self.judge(con, selection, evaluation)]

    def of_selection(self, con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
        """Every statement about an evaluation, or about two models, of a selection, judged."""
        if self.is_of_pairs:
            return [self._finding(judged, *judged.pair) for judged in self.judge(con, selection) if judged.pair]
        return [
            finding
            for evaluation in selection.evaluations
            for finding in self.of_evaluation(con, selection, evaluation)
        ]

    def _finding(self, judged: Judged, evaluation: EvaluationInfo, other: EvaluationInfo | None = None) -> Finding:
        """The finding; not measurable with fewer than `FEWEST_IMAGES` images."""
        verdict = judged.verdict
        estimate, count = judged.estimate, judged.image_count
        p_value = estimate.p_value if estimate else judged.p_value
        sentence = judged.sentence
        if not sentence.endswith("."):
            sentence = f"{sentence} ({format_count(count, 'image')})."
        if count < FEWEST_IMAGES and not self.is_condition:
            verdict, sentence, p_value = "not_measurable", f"{evaluation.label}: {too_few(count)}.", None
        value, low, high = estimate[:3] if estimate else (judged.value, None, None)
        return Finding(
            kind=self.name,
            claim=judged.claim or self.name,
            verdict=verdict,
            evaluation_id=evaluation.evaluation_id,
            model_label=evaluation.label,
            corruption=judged.corruption,
            value=value,
            low=low,
            high=high,
            unit=self.unit,
            n=count,
            sentence=sentence,
            query=judged.query or rows_of(self.relation, evaluation, judged.corruption),
            other_evaluation_id=other.evaluation_id if other else None,
            severity=judged.severity,
            p_value=p_value,
            verdict_alone=verdict,
        )


KINDS: dict[str, Kind] = {}  # those whose file was imported; `all_kinds` imports every file


def kind(name: str, **declared: Any) -> Callable[[Callable[..., Iterable[Judged]]], Kind]:
    """Make a `Kind` of the function that judges its statements, and register it."""

    def register(judge: Callable[..., Iterable[Judged]]) -> Kind:
        assert name not in KINDS, f"{name} is declared twice"
        KINDS[name] = Kind(name, judge, **declared)
        return KINDS[name]

    return register


@cache
def all_kinds() -> Mapping[str, Kind]:
    """Every kind by name, in the order of a report; each file in this folder may declare more."""
    import_modules("failmodes.analysis.judging.findings")
    return dict(sorted(KINDS.items(), key=lambda item: item[1].order))


def proposed() -> list[Kind]:
    """Kinds that are findings, in the order of a report."""
    return [kind for kind in all_kinds().values() if kind.is_proposed]


def read_findings(
    con: duckdb.DuckDBPyConnection, evaluations: Collection[str], name: str | None = None
) -> list[Finding]:
    """The stored findings about evaluations, in the order of a report: all, or those of one kind."""
    rows = con.execute(
        f"select {', '.join(Finding._fields)} from {FINDINGS.name} where evaluation_id = any($1) "
        "and (other_evaluation_id is null or other_evaluation_id = any($1)) and coalesce(kind = $2, true) "
        "order by position",
        [list(evaluations), name],
    ).fetchall()
    return [Finding(*row) for row in rows]


def images_that_decide(count: int | None) -> str:
    """How many images would decide an inconclusive statement, as the end of its sentence; '' if no number would."""
    return "" if count is None else f"; {images_needed_text(count)}"


def rows_of(relation: str, evaluation: EvaluationInfo, corruption: str | None = None) -> str:
    """SQL that selects an evaluation's rows of a table or view, of one corruption or all; of clean images of all."""
    of_corruption = f" and corruption = {sql_literal(corruption)}" if corruption not in (None, CLEAN) else ""
    return f"from {relation} where evaluation_id = {sql_literal(evaluation.evaluation_id)}{of_corruption}"


def where(con: duckdb.DuckDBPyConnection, corruption: str, severity: float | None = None) -> str:
    """The beginning of a sentence: "On clean images," "Under fog," or "Under fog at severity 5,"."""
    if corruption == CLEAN:
        return "On clean images,"
    at = "" if severity is None else f" at severity {format_severity(severity)}"
    return f"Under {lower_label(corruption_labels(con)[corruption])}{at},"
