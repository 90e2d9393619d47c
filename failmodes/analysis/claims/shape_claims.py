"""Claims about how accuracy falls: the findings on the same curve decide, so that the two never disagree."""

from collections.abc import Iterator
from typing import Any

import duckdb

from failmodes.analysis.claims.judged_claim import ClaimContext, JudgedClaim
from failmodes.analysis.claims.named_evaluations import evaluations_of
from failmodes.analysis.formatting import SHAPE_NAMES, format_percent
from failmodes.analysis.judging.findings.kind import Finding, Verdict
from failmodes.analysis.judging.findings.registry import statements_of_kind
from failmodes.analysis.judging.findings.shape import STABLE, is_stable
from failmodes.analysis.once import read_once
from failmodes.analysis.selection import Selection, read_for_selection
from failmodes.analysis.statistics.curve_shape import FALLING
from failmodes.ingest.claim_forms import ShapeClaim

KINDS = {"flat": "flat", "rise": "rise", "abrupt_drop": "abrupt_drop"}  # findings of their own
Row = dict[str, Any]


def judge_shape(context: ClaimContext, claim: ShapeClaim) -> Iterator[JudgedClaim]:
    """Whether the curve of each model has the shape: a row of `shapes`, by the rules of its findings."""
    kind = KINDS.get(claim.shape, "shape")
    findings = {(f.evaluation_id, f.corruption): f for f in _findings(context.con, context.selection, kind)}
    rows = read_for_selection(context.con, "shapes", context.selection)
    for evaluation in evaluations_of(context.selection, claim.model):
        finding = findings.get((evaluation.evaluation_id, claim.corruption))
        if finding is None:
            reason = "a curve of fewer than three severities, clean included, has no shape"
            if claim.corruption not in context.selection.corruptions:
                reason = context.missing_cell(claim.corruption, "average")
            yield context.without(evaluation, reason)
            continue
        (row,) = rows.filter(evaluation_id=evaluation.evaluation_id, corruption=claim.corruption).rows(named=True)
        verdict, reason = _verdict(claim.shape, finding, row), row["reason"]
        claimed = finding._replace(verdict=verdict, sentence=_sentence(claim.shape, verdict, finding, row))
        yield _as_claim(context, claimed, reason if verdict == "inconclusive" else None)


@read_once
def _findings(con: duckdb.DuckDBPyConnection, selection: Selection, kind: str) -> list[Finding]:
    return [f for one in selection.evaluations for f in statements_of_kind(con, selection, one, kind)]


def _verdict(shape: str, finding: Finding, row: Row) -> Verdict:
    """Contradicted is a claim whose class nearly no resample has, although these may not agree on another class."""
    if shape in KINDS:
        return finding.verdict
    if finding.verdict == "supported":
        return "supported" if finding.claim == shape else "contradicted"
    return "contradicted" if is_ruled_out(shape, row) else "inconclusive"


def is_ruled_out(shape: str, row: Row) -> bool:
    """Whether a class of a curve that falls is ruled out by the resamples, as few of them as name another one."""
    if (
        row["reason"] is not None
        or not {shape, row["shape"]} <= set(FALLING)
        or not row["curvature_low"] < row["curvature_high"]
    ):
        return False
    return bool(row[f"share_{shape}"] <= 1 - STABLE)


def _sentence(shape: str, verdict: Verdict, finding: Finding, row: Row) -> str:
    """What the finding says; where the class is inconclusive and the claimed one is not, that too."""
    if verdict != "contradicted" or is_stable(row) or shape in KINDS:
        return finding.sentence
    share = format_percent(row[f"share_{shape}"], 0)
    return f"{finding.sentence[:-1]}; {SHAPE_NAMES[shape]} in {share}."


def _as_claim(context: ClaimContext, finding: Finding, reason: str | None) -> JudgedClaim:
    return JudgedClaim(
        context.number, context.stated.text, context.form, finding.verdict, finding.evaluation_id, finding.model_label,
        None, finding.value, finding.low, finding.high, finding.unit, finding.n, reason, finding.sentence,
        finding.query,
    )  # fmt: skip
