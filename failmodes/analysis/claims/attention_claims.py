"""Claims about where attention lies: on the object, or in the place that it has on the clean image."""

from collections.abc import Iterator

from failmodes.analysis.claims.judged_claim import ClaimContext, JudgedClaim, more_or_less, verdict_on
from failmodes.analysis.claims.named_evaluations import evaluations_of
from failmodes.analysis.findings.attention import object_word
from failmodes.analysis.findings.finding import Verdict, rows_of
from failmodes.analysis.formatting import format_count, format_percent_interval, format_points_interval
from failmodes.analysis.selection import EvaluationInfo
from failmodes.analysis.statistics.attention import (
    CHANCE,
    AttentionAtLast,
    OwnMapTest,
    attention_at_last,
    missing_drift_reason,
)
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.ingest.claim_forms import AttentionClaim
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.schema import CLEAN

LOST_WITHIN = 0.05  # a place is lost where the share nearer to the own clean map is less than this above chance
SHARE, CHANGE = "share of images", "share of attention"


def judge_attention(context: ClaimContext, claim: AttentionClaim) -> Iterator[JudgedClaim]:
    """Whether the attention of each model lies where the claim says, at the last severity or when clean."""
    for evaluation in evaluations_of(context.selection, claim.model):
        corruptions = context.selection.corruptions
        if claim.corruption not in (CLEAN, *corruptions):
            yield context.without(evaluation, context.missing_cell(claim.corruption, "last"))
        elif evaluation.facts["attention_method"] == "none":
            yield context.without(evaluation, str(evaluation.facts["attention_note"] or "there is no attention"))
        else:
            named = corruptions[:1] if claim.corruption == CLEAN else (claim.corruption,)
            yield _judged(context, evaluation, claim, attention_at_last(context.con, evaluation, named))


def _judged(
    context: ClaimContext, evaluation: EvaluationInfo, claim: AttentionClaim, found: AttentionAtLast
) -> JudgedClaim:
    if claim.kind in ("keeps_place", "loses_place"):
        tests = [test for test in found.own_maps if test.corruption == claim.corruption]
        if not tests:
            return context.without(evaluation, missing_drift_reason(context.selection.only(evaluation)))
        return _place(context, evaluation, claim, tests[0])
    known = found.over_null if claim.kind == "on_object" else found.mask_changes
    if claim.corruption not in known:
        query = rows_of("attention_on_object", evaluation)
        return context.without(evaluation, _no_object(context, evaluation, claim.corruption), query=query, unit=CHANGE)
    estimate = known[claim.corruption]
    if claim.kind == "on_object":
        return _on_object(context, evaluation, claim, estimate)
    return _leaves_object(context, evaluation, claim, estimate, is_beyond_null=found.has_mask_null)


def _on_object(
    context: ClaimContext, evaluation: EvaluationInfo, claim: AttentionClaim, over_null: Estimate
) -> JudgedClaim:
    """More of a map lies on its image's object than of another image's map: the null of the charts."""
    word, size = more_or_less(over_null)
    where = "when clean" if claim.corruption == CLEAN else f"under {context.label(claim.corruption)}"
    said = (
        f"{format_points_interval(size)} {word} of the attention of {evaluation.label} lie on "
        f"{object_word(evaluation)} than of another image's map, {where}"
    )
    query, verdict = _object_query(evaluation, claim.corruption), verdict_on(over_null, "more than", 0)
    return context.row(evaluation, verdict, said, query, estimate=over_null, unit=CHANGE)


def _leaves_object(
    context: ClaimContext, evaluation: EvaluationInfo, claim: AttentionClaim, change: Estimate, *, is_beyond_null: bool
) -> JudgedClaim:
    """The change of the share on the object from clean to the last severity, as the finding `attention_off_object`."""
    word, size = more_or_less(change)
    null = ", beyond the change of another image's map" if is_beyond_null else ""
    said = (
        f"Under {context.label(claim.corruption)} {format_points_interval(size)} {word} of the attention of "
        f"{evaluation.label} lie on {object_word(evaluation)} than when clean{null}"
    )
    query = _object_query(evaluation, claim.corruption)
    return context.row(evaluation, verdict_on(change, "less than", 0), said, query, estimate=change, unit=CHANGE)


def _place(context: ClaimContext, evaluation: EvaluationInfo, claim: AttentionClaim, test: OwnMapTest) -> JudgedClaim:
    said = (
        f"Under {context.label(claim.corruption)} attention of {evaluation.label} ends nearer to its own clean "
        f"centroid than to another image's of the class in {format_percent_interval(test.share)}"
    )
    kept = keeps_place(test)
    turned: dict[Verdict, Verdict] = {"supported": "contradicted", "contradicted": "supported"}
    verdict = kept if claim.kind == "keeps_place" else turned.get(kept, kept)
    query, reason = rows_of("attention_drift", evaluation, claim.corruption), None
    if verdict == "inconclusive" and test.verdict == "nearer":
        reason = (
            f"{format_count(test.missing_count, 'image')} without a map would turn it in the worst case: "
            f"{format_percent_interval(test.worst_case)}"
        )
    return context.row(
        evaluation, verdict, said, query, estimate=test.share, unit=SHARE, n=test.image_count, reason=reason
    )


def keeps_place(test: OwnMapTest) -> Verdict:
    """Kept where the finding `attention_drift` holds; lost where farther, or shown to be less than 5 points nearer.

    That a place is lost is that nothing is left to see, which no test of a difference shows: it takes equivalence to
    chance (Schuirmann 1987), within LOST_WITHIN.
    """
    if test.verdict == "nearer":
        return "supported" if test.holds_in_worst_case else "inconclusive"
    return "contradicted" if test.share.high < CHANCE + LOST_WITHIN else "inconclusive"


def _object_query(evaluation: EvaluationInfo, corruption: str) -> str:
    return rows_of("attention_on_object", evaluation, None if corruption == CLEAN else corruption)


def _no_object(context: ClaimContext, evaluation: EvaluationInfo, corruption: str) -> str:
    """Why the share of attention on the object is not on record, as the view says it."""
    rows = rows_of("attention_on_object", evaluation, None if corruption == CLEAN else corruption)
    clean = " and severity = 0" if corruption == CLEAN else ""
    found = fetch_first(
        context.con,
        f"select reason {rows}{clean} and reason is not null order by severity desc limit 1",
    )
    return str(found[0]) if found else "there are no object masks"
