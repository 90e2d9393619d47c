"""Claims of a study, or given on request: each judged for every model that it is about.

A claim is judged by both ends of its two-sided interval, without correction for the number of claims, since a study
states them before it sees its data.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, particulars, read_for_selection, select
from failmodes.analysis.evaluations.trained_models import TrainedModel, UnknownModelError, named_model, trained_models
from failmodes.analysis.judging.cells import EvaluatedCells, Runs, named_corruptions
from failmodes.analysis.judging.findings.early_warning import PREDICTOR_NAMES
from failmodes.analysis.judging.findings.kind import Finding, Kind, all_kinds, rows_of
from failmodes.analysis.judging.judge import WORDS, Decision, Verdict, ask, judge
from failmodes.analysis.judging.seal import SealCheck, seal_blocks
from failmodes.analysis.judging.statement import title_of
from failmodes.analysis.judging.wording import (
    CASE_OUTCOMES,
    MARKS,
    english,
    estimate_text,
    json_decision,
    json_head,
    not_evaluated_text,
    tally_verdicts,
    where_text,
)
from failmodes.analysis.render.blocks import EMPTY, Case, Document, Sentence, Table, TableCell
from failmodes.analysis.render.documents import Rendered
from failmodes.analysis.render.formatting import (
    format_count,
    format_estimate,
    format_percent,
    join_names,
)
from failmodes.analysis.statistics.attention import missing_drift_reason
from failmodes.analysis.statistics.curve_shape import stored_settings
from failmodes.analysis.statistics.difference import ModelMetrics
from failmodes.analysis.statistics.estimate import Estimate, Word, estimate_of, known_estimate
from failmodes.analysis.statistics.filters import among_images
from failmodes.analysis.statistics.model_accuracy import rows_of as model_rows
from failmodes.analysis.statistics.run_rows import CellKey, RunRows
from failmodes.analysis.statistics.sufficiency import NON_FINITE, non_finite_cells
from failmodes.ingest.statements import (
    EARLY_WARNING,
    AnyStatement,
    KindOfFinding,
    MetricStatement,
    ModelDifference,
    Shape,
    from_stored,
)
from failmodes.runtime.errors import StudyError, did_you_mean, printable, shown
from failmodes.sql import sql_literal
from failmodes.warehouse.curve_shapes import FALLING, SHAPE_LABELS, SHAPE_NAMES
from failmodes.warehouse.metrics.metric import Metric, known_metrics
from failmodes.warehouse.schema import CLEAN

if TYPE_CHECKING:
    import polars as pl

MIN_STABILITY = 0.99  # a claimed shape is supported from this share of resamples on
BY_CURVATURE = ("near_linear", "late", "early")
NARROW = tuple(name for name in FALLING if name not in ("late", "early"))  # drops that noise makes to others
NEGATED: dict[Word, Word] = {"supported": "contradicted", "contradicted": "supported"}
MAX_LETTERS = 200  # of an invalid claim
PLACE = "claims"  # for errors, which name the claim
TEXTS = ("Claim", "Model", "Value")  # columns of words


class ClaimRow(NamedTuple):
    """One claim about one model, or one pair of models.

    Attributes:
        claim_number: position of the claim in the study, from 1.
        claim: in English.
        kind: its relation, shape or kind of finding; 'unknown' for an invalid stored claim.
        verdict: 'supported', 'contradicted', 'inconclusive' or 'not_measurable'.
        evaluation_id: the evaluation, the first of several training runs; None if there is none.
        model_label: the model's name on charts, or both names.
        other_evaluation_id: the baseline of a comparison.
        value: the value that decides.
        low: lower end of its interval.
        high: upper end of its interval.
        unit: of the three; shares are 0-1, 'difference of shares' -1 to 1.
        n: number of images; None if nothing was evaluated.
        images_needed: images that would decide an inconclusive claim; None if no number would, or if it is unknown.
        reason: why it is not measurable, or inconclusive for another reason than its interval.
        sentence: the result.
        query: SQL of the values; `failmodes query` runs it.
    """

    claim_number: int
    claim: str
    kind: str
    verdict: Word
    evaluation_id: str | None = None
    model_label: str | None = None
    other_evaluation_id: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    n: int | None = None
    images_needed: int | None = None
    reason: str | None = None
    sentence: str = ""
    query: str = ""

    @property
    def estimate(self) -> Estimate | None:
        """The value with its interval, or None."""
        return known_estimate(self.value, self.low, self.high, n=self.n or 0, unit=self.unit)


def judge_claims(
    con: duckdb.DuckDBPyConnection, claims: Sequence[AnyStatement], metrics: Sequence[Metric] = ()
) -> list[ClaimRow]:
    """Judge the given claims.

    Args:
        con: the warehouse, with shapes.
        claims: in their order.
        metrics: that claims may name, beside those of this package.

    Raises:
        StudyError: one names an unknown metric, corruption, kind or model.
    """
    selections = select(con)
    known = known_metrics(metrics)
    return [row for number, claim in enumerate(claims, 1) for row in _judged(con, selections, number, claim, known)]


def judge_stored(
    con: duckdb.DuckDBPyConnection, claims: Sequence[str], metrics: Sequence[Metric] = ()
) -> list[ClaimRow]:
    """Judge the claims of a warehouse, as `stored_form` wrote them; the reason is given for an invalid one.

    Args:
        con: the warehouse, with shapes.
        claims: in their order.
        metrics: that claims may name, beside those of this package.
    """
    rows: list[ClaimRow] = []
    selections = select(con)
    known = known_metrics(metrics)
    for number, text in enumerate(claims, start=1):
        named = printable(text, MAX_LETTERS)
        try:
            claim = from_stored(text)
            named = title_of(claim)
            rows += _judged(con, selections, number, claim, known)
        except StudyError as error:
            reason = printable(str(error))
            sentence = f"Not measurable: {reason}."
            rows.append(
                ClaimRow(
                    number,
                    named,
                    "unknown",
                    "not_measurable",
                    reason=reason,
                    sentence=sentence,
                    query="from stated_claims",
                )
            )
    return rows


def _judged(
    con: duckdb.DuckDBPyConnection,
    selections: Sequence[Selection],
    number: int,
    claim: AnyStatement,
    metrics: Mapping[str, Metric],
) -> list[ClaimRow]:
    """A claim for every selection; selections without its cells are listed only if no selection has them.

    Raises:
        StudyError: it names something that no selection has.
    """
    by_selection = []
    refused = list[StudyError]()
    for selection in selections:
        try:
            rows = list(_rows(con, selection, number, claim, metrics))
        except StudyError as error:
            refused.append(error)
        else:
            by_selection.append((selection, rows))
    if not by_selection:
        refused.sort(key=lambda error: isinstance(error, UnknownModelError))  # other errors are more informative
        raise StudyError(f"claim {shown(title_of(claim))}: {refused[0]}")
    labels = Counter(label for _, rows in by_selection for label in {row.model_label for row in rows})
    named = [
        [
            row._replace(model_label=f"{row.model_label} ({particulars(selection)})")
            if labels[row.model_label] > 1
            else row
            for row in rows
        ]
        for selection, rows in by_selection
    ]
    having = [rows for rows in named if any(row.n for row in rows)]
    return [row for rows in having or named[:1] for row in rows]


def _rows(
    con: duckdb.DuckDBPyConnection,
    selection: Selection,
    number: int,
    claim: AnyStatement,
    metrics: Mapping[str, Metric],
) -> Iterator[ClaimRow]:
    """One row per model, or per pair of models, of a selection."""
    claim = _with_labels(selection, claim)
    stated = ClaimRow(
        number,
        title_of(claim),
        claim.relation
        if isinstance(claim, MetricStatement)
        else claim.shape
        if isinstance(claim, Shape)
        else claim.kind,
        "inconclusive",
    )
    if not isinstance(claim, MetricStatement):
        for run in _runs(selection, claim.model):
            yield _of_kind(stated, run, *_deciding_findings(con, selection, run, claim, PLACE))
        return
    candidates = [TrainedModel(run.label, (run,)) for run in _runs(selection, claim.model)]
    baseline = None
    if isinstance(claim, ModelDifference) and claim.baseline is not None:
        baseline = _model(selection, claim.baseline)
        candidates = [_model(selection, claim.model)] if claim.model else trained_models(selection.evaluations)
        if claim.model is None:
            candidates = [model for model in candidates if model != baseline]
        if not candidates:
            raise UnknownModelError(f"only {shown(claim.baseline)} was evaluated: there is no model to compare with it")
    level = stored_settings(con).interval_level
    for model in candidates:
        yield _of_metric(con, selection, stated, model, baseline, claim, metrics, level)


def _with_labels(selection: Selection, claim: AnyStatement) -> AnyStatement:
    """A claim that names its models as charts do."""
    named = {"model": claim.model, "baseline": claim.baseline if isinstance(claim, ModelDifference) else None}
    return claim.model_copy(update={key: _model(selection, name).label for key, name in named.items() if name})


def _of_metric(
    con: duckdb.DuckDBPyConnection,
    selection: Selection,
    stated: ClaimRow,
    model: TrainedModel,
    baseline: TrainedModel | None,
    claim: MetricStatement,
    metrics: Mapping[str, Metric],
    level: float,
) -> ClaimRow:
    rows = [model_rows(con, side) for side in (model, baseline) if side is not None]
    models = ModelMetrics(*rows, metrics=metrics)
    label = model.label if baseline is None else f"{model.label} and {baseline.label}"
    sides = [None if side is None else Runs(con, side.runs) for side in (model, baseline)]
    question, models = ask(claim, models, PLACE, candidate=sides[0], baseline=sides[1], extras=selection.extras)
    (judged,) = judge([question], level, is_two_sided=True)
    deciding = judged.deciding[0]
    names = {corruption for corruption, _ in question.measured} - {CLEAN}
    runs = [run for side in (model, baseline) if side is not None for run in side.runs]
    measured = [run for side in (models.candidate, models.baseline) if side is not None for run in side.runs]
    reason = _non_finite(con, measured, question.measured, claim.filter) or deciding.reason or None
    verdict = "inconclusive" if reason and judged.verdict != "not_measurable" else judged.verdict
    row = stated._replace(
        verdict=verdict, evaluation_id=runs[0].evaluation_id, model_label=label,
        other_evaluation_id=baseline.runs[0].evaluation_id if baseline else None,
        unit=question.unit, query=_query(measured, question.metric, names, claim.filter),
    )  # fmt: skip
    if deciding.estimate is None:
        reason = not_evaluated_text(judged.deciding)
        return row._replace(reason=reason, sentence=f"{label}: {english(judged)}: not measurable, {reason}.")
    of = model.label if baseline is None else f"{model.label} minus {baseline.label}"
    over = (
        "" if baseline is None else ", over training seeds" if models.is_about_training else ", these checkpoints only"
    )
    where = "" if len(judged.decisions) == 1 else f"{where_text(deciding)}: "
    value, low, high, _, n, *_ = deciding.estimate
    return row._replace(
        value=value, low=low, high=high, n=n, images_needed=judged.images_needed, reason=reason,
        sentence=f"{of}: {english(judged)}: {where}{estimate_text(question, deciding.estimate)}{over} "
        f"({question.note or format_count(n, 'image')}).",
    )  # fmt: skip


def judge_kind(
    con: duckdb.DuckDBPyConnection, selection: Selection, statement: Shape | KindOfFinding, place: str
) -> Verdict:
    """A statement about a shape, or a kind of finding, for every evaluation of a selection: all must support it.

    Args:
        con: the warehouse, with shapes.
        selection: the evaluations.
        statement: with a shape or a kind.
        place: of the statement in its file, for errors.

    Raises:
        StudyError: an unknown kind or corruption.
    """
    decisions: list[Decision] = []
    for run in selection.evaluations:
        findings, reason = _deciding_findings(con, selection, run, statement, place)
        for finding in findings:
            cell = [] if finding.corruption is None else [(finding.corruption, finding.severity)]
            decisions.append(Decision(finding.verdict, tuple(cell), finding.estimate, reason=finding.sentence))
        if not findings:
            decisions.append(Decision("not_measurable", reason=reason or ""))
    return Verdict(statement, tuple(decisions))


def _deciding_findings(
    con: duckdb.DuckDBPyConnection, selection: Selection, run: EvaluationInfo, claim: Shape | KindOfFinding, place: str
) -> tuple[list[Finding], str | None]:
    """The findings that decide a statement about a shape or kind, and why they are inconclusive or missing."""
    kind = all_kinds()["shape" if isinstance(claim, Shape) else _known_kind(claim.kind, place)]
    evaluated = EvaluatedCells([(name, 1.0) for name in selection.corruptions])
    corruptions = claim.corruptions and named_corruptions(claim.corruptions, evaluated, place)
    severities = claim.severities if isinstance(claim, KindOfFinding) else None
    findings = _findings_in_cells(con, selection, run, kind, corruptions, severities)
    if kind.name == EARLY_WARNING and isinstance(claim, KindOfFinding):
        findings = _of_score(findings, claim.score or "confidence", place)
    reason = None
    if isinstance(claim, Shape) and findings:
        finding, reason = _judged_shape(con, selection, claim.shape, findings[0])
        findings = [finding]
    if isinstance(claim, KindOfFinding) and claim.negate:
        findings = [finding._replace(verdict=NEGATED.get(finding.verdict, finding.verdict)) for finding in findings]
    lacking = [name for name in corruptions or () if name not in (CLEAN, *selection.corruptions)]
    if lacking and not any(finding.verdict == "contradicted" for finding in findings):
        return [], f"{join_names(lacking)} {'was' if len(lacking) == 1 else 'were'} not evaluated"
    if findings:
        return findings, reason
    if isinstance(claim, Shape):
        return [], "a shape needs three severities, clean included, of the same number of images"
    if kind.name == "attention_drift":
        return [], missing_drift_reason(con, selection.only(run), of_class=True)
    return [], kind.without_figures or "the warehouse has no values for it"


def _of_score(findings: Sequence[Finding], score: str, place: str) -> list[Finding]:
    """The finding about one score."""
    if score not in PREDICTOR_NAMES:
        raise StudyError(f"{place}.score: unknown score {shown(score)}: {did_you_mean(score, PREDICTOR_NAMES)}")
    return [finding for finding in findings if finding.claim == score]


def _findings_in_cells(
    con: duckdb.DuckDBPyConnection,
    selection: Selection,
    run: EvaluationInfo,
    kind: Kind,
    corruptions: Sequence[str] | None,
    severities: object,
) -> list[Finding]:
    """The findings of a kind about an evaluation under the stated corruptions and severities."""
    if corruptions and kind.section == "attention":  # its intervals hold for all given corruptions together
        stated = tuple(name for name in selection.corruptions if name in corruptions)
        selection = replace(selection, corruptions=stated or selection.corruptions[:1], extras=())
    return [
        finding
        for finding in kind.of_evaluation(con, selection, run)
        if (corruptions is None or finding.corruption in corruptions)
        and (not isinstance(severities, list) or finding.severity in [float(severity) for severity in severities])
    ]


def _known_kind(name: str, place: str) -> str:
    known = [kind.name for kind in all_kinds().values() if not kind.is_of_pairs]
    if name not in known:
        raise StudyError(f"{place}.kind: unknown kind {shown(name)}: {did_you_mean(name, known)}")
    return name


def _judged_shape(
    con: duckdb.DuckDBPyConnection, selection: Selection, shape: str, finding: Finding
) -> tuple[Finding, str | None]:
    """The finding about the shape of a curve, judged for the stated shape, and why it is inconclusive."""
    rows = read_for_selection(con, "shapes", selection)
    (row,) = rows.filter(evaluation_id=finding.evaluation_id, corruption=finding.corruption).rows(named=True)
    shares = {name: row[f"share_{name}"] for name in SHAPE_NAMES}
    if shares[shape] is None:
        return finding._replace(verdict="inconclusive"), row["reason"]
    verdict = verdict_of_shares(shape, shares)
    sentence = f"{finding.sentence[:-1]}; {SHAPE_LABELS[shape]} in {format_percent(shares[shape], 0)} of resamples."
    judged = finding._replace(verdict=verdict, sentence=sentence)
    if shape in BY_CURVATURE and row["curvature"] is not None:
        value, low, high = estimate_of(row, "curvature")[:3]
        judged = judged._replace(value=value, low=low, high=high, unit="curvature")
    if verdict != "inconclusive":
        return judged, None
    share, needed = format_percent(shares[shape]), format_percent(MIN_STABILITY, 0)
    return judged, row["reason"] or f"{SHAPE_LABELS[shape]} in {share} of resamples; {needed} are needed"


def verdict_of_shares(shape: str, shares: Mapping[str, float]) -> Word:
    """Supported if nearly all resamples have the shape; contradicted if nearly all have another one.

    A shape that does not drop is also contradicted if nearly all resamples drop, and a late or early drop if nearly all
    drop in other manners. Another shape that hardly any resample has is not contradicted by that alone: with few images
    resamples vary so much that hardly any of a flat curve is flat, or of a line near-linear.
    """
    if shares[shape] >= MIN_STABILITY:
        return "supported"
    others = {name: share for name, share in shares.items() if name != shape}
    in_other_manners = sum(others.get(name, 0.0) for name in FALLING) if shape not in NARROW else 0.0
    return "contradicted" if max(in_other_manners, *others.values()) >= MIN_STABILITY else "inconclusive"


def _of_kind(stated: ClaimRow, run: EvaluationInfo, findings: Sequence[Finding], reason: str | None) -> ClaimRow:
    row = stated._replace(evaluation_id=run.evaluation_id, model_label=run.label)
    if not findings:
        return row._replace(
            verdict="not_measurable",
            reason=reason,
            sentence=f"Not measurable: {reason}.",
            query=rows_of("evaluations", run),
        )
    first = min(findings, key=lambda finding: WORDS.index(finding.verdict))
    return row._replace(
        verdict=first.verdict, value=first.value, low=first.low, high=first.high, unit=first.unit, n=first.n,
        reason=reason, sentence=first.sentence, query=first.query, other_evaluation_id=first.other_evaluation_id,
    )  # fmt: skip


def _runs(selection: Selection, name: str | None) -> Sequence[EvaluationInfo]:
    """The evaluations that a claim is about: those of the named model, or all."""
    return selection.evaluations if name is None else _model(selection, name).runs


def _model(selection: Selection, name: str) -> TrainedModel:
    try:
        return named_model(trained_models(selection.evaluations), name)
    except UnknownModelError:
        for evaluation in selection.left_out:
            if evaluation.label == name:
                raise UnknownModelError(f"{shown(name)} is left out: {evaluation.reason}") from None
        raise


def _non_finite(
    con: duckdb.DuckDBPyConnection, runs: Sequence[RunRows], cells: Collection[CellKey], condition: str | None
) -> str | None:
    """That too many predictions in one of some cells are not finite; None if they are."""
    for run in runs:
        for corruption, severity in non_finite_cells(con, run.evaluation_id, run if condition else None):
            if (corruption, severity) in cells:
                where = "on clean images" if corruption == CLEAN else f"under {corruption} at severity {severity:g}"
                return f"{NON_FINITE} {where}"
    return None


def _query(runs: Sequence[RunRows], metric: Metric, names: set[str], condition: str | None) -> str:
    """SQL of the stored values; of the predictions themselves if a filter chooses their images."""
    ids = ", ".join(map(sql_literal, dict.fromkeys(run.evaluation_id for run in runs)))
    corruptions = ", ".join(sql_literal(name) for name in sorted({CLEAN, *names}))
    if condition or ":" in metric.name:  # of groups of images, or at a threshold: not stored
        kept = f" and {among_images(condition)}" if condition else ""
        return f"from predictions where evaluation_id in ({ids}) and corruption in ({corruptions}){kept}"
    return (
        f"from cell_metrics where metric = {sql_literal(metric.name)} and evaluation_id in ({ids}) "
        f"and corruption in ({corruptions})"
    )


def claim_groups(claims: Sequence[ClaimRow]) -> list[list[ClaimRow]]:
    """The rows of each claim, in the order of the claims."""
    groups: dict[int, list[ClaimRow]] = {}
    for row in claims:
        groups.setdefault(row.claim_number, []).append(row)
    return list(groups.values())


def number_text(row: ClaimRow) -> str:
    """The value that decides with its interval in its unit, such as 43.1 points [40.1, 45.0]; an en dash for none."""
    return EMPTY if row.estimate is None else format_estimate(row.estimate, row.unit)


def counts_sentence(claims: Sequence[ClaimRow]) -> str:
    """The number of claims, and how often each verdict occurs."""
    if not claims:
        return "No claims."
    groups = format_count(len({row.claim_number for row in claims}), "claim")
    return f"{groups}, judged {format_count(len(claims), 'time')}: {tally_verdicts([row.verdict for row in claims])}."


def claim_table(claims: Sequence[ClaimRow]) -> Table:
    """A row for each claim and model, verdict first; only the first has the claim, and a reason is below the value."""
    rows = [
        (
            TableCell(f"{MARKS[row.verdict]} {row.verdict.replace('_', ' ')}"),
            TableCell("" if place else row.claim),
            TableCell(row.model_label or EMPTY),
            TableCell(number_text(row), row.reason or ""),
            TableCell(EMPTY if row.n is None else f"{row.n:,}"),
        )
        for group in claim_groups(claims)
        for place, row in enumerate(group)
    ]
    note = (
        "Supported: the whole interval (of a shape, 99% of its resamples) agrees with the claim; contradicted: it "
        "disagrees; otherwise inconclusive. At 95% if nothing else is set, without correction for the number of claims."
    )
    return Table(
        "Claims", note, ("Verdict", "Claim", "Model", "Value", "Images"), tuple(rows), texts=TEXTS, is_stacked=True
    )


class ClaimsResult(Rendered, tuple[ClaimRow, ...]):
    """Judged claims: a tuple that prints as a table and converts to a data frame.

    `Warehouse.claims` returns it: a row for each claim and model, in the order of the claims.

    Examples:
        >>> found = w.claims([{"shape": "near_linear", "corruptions": ["contrast"]}])
        >>> print(found)                                         # a notebook shows a table
        >>> found[0].verdict, found[0].estimate, found[0].sentence
        >>> found.to_frame().filter(verdict="contradicted")

    Attributes:
        seals: of the claims, where they are those of a study; see `failmodes seal`.
    """

    seals: Sequence[SealCheck] = ()

    def with_seals(self, seals: Sequence[SealCheck]) -> "ClaimsResult":
        """The same claims with their seals."""
        found = ClaimsResult(self)
        found.seals = seals
        return found

    def to_frame(self) -> "pl.DataFrame":
        """One row for each claim and model, with the columns of the table `claims`."""
        import polars as pl

        numbers: dict[str, type] = dict.fromkeys(("claim_number", "n", "images_needed"), int)
        numbers |= dict.fromkeys(("value", "low", "high"), float)
        return pl.DataFrame(list(self), {name: numbers.get(name, str) for name in ClaimRow._fields}, orient="row")

    @property
    def document(self) -> Document:
        """The counts and a table; docs/gate.md lists the keys of its data; each row is a test case."""
        table = (claim_table(self),) if self else ()
        cases = tuple(
            Case(
                name=row.model_label or EMPTY,
                group=f"failmodes.claims.{row.claim}",
                outcome=CASE_OUTCOMES[row.verdict],
                message=row.sentence,
                kind=row.verdict,
            )
            for row in self
        )
        data = {**json_head("claims", None), "verdicts": [_json(row) for row in self]}
        data["seals"] = [seal.data() for seal in self.seals]
        blocks = (Sentence(counts_sentence(self), "lead"), *table, *seal_blocks(self.seals))
        return Document("Claims", blocks, data, cases)


def _json(row: ClaimRow) -> dict[str, Any]:
    """A row as a verdict with one decision; what the table `claims` does not have is null."""
    decision = Decision(row.verdict, (), row.estimate, row.images_needed, row.reason or "")
    return {
        "name": None, "statement": row.claim, "keys": None, "verdict": row.verdict, "result": row.sentence,
        "score": None, "better": None, "images_needed": row.images_needed, "decisions": [json_decision(decision)],
        "claim_number": row.claim_number, "model_label": row.model_label, "evaluation_id": row.evaluation_id,
        "other_evaluation_id": row.other_evaluation_id, "query": row.query,
    }  # fmt: skip
