"""Claims about what corruptions cost: one beside another, within a limit, more than all others."""

from collections.abc import Iterator

from failmodes.analysis.claims.judged_claim import ClaimContext, JudgedClaim, at_phrase, more_or_less, verdict_on
from failmodes.analysis.claims.named_evaluations import evaluations_of
from failmodes.analysis.findings.corruption_drop import NON_FINITE
from failmodes.analysis.findings.finding import Verdict, rows_of
from failmodes.analysis.formatting import capitalize_first, format_points_interval
from failmodes.analysis.selection import EvaluationInfo
from failmodes.analysis.statistics.bootstrap import Estimate, read_correctness
from failmodes.analysis.statistics.claimed_differences import drop_difference, drop_of
from failmodes.analysis.statistics.model_accuracy import DropRanking, drop_rankings
from failmodes.ingest.claim_forms import DropComparison, DropLimit, LargestDrop
from failmodes.sql import sql_literal


def judge_drop_limit(context: ClaimContext, claim: DropLimit) -> Iterator[JudgedClaim]:
    """Whether what a corruption costs each model lies within the limit."""
    for evaluation in evaluations_of(context.selection, claim.model):
        correctness = read_correctness(context.con, evaluation.evaluation_id)
        drop = drop_of(correctness, claim.corruption, claim.at, context.level)
        if drop is None:
            yield context.without(evaluation, context.missing_cell(claim.corruption, claim.at))
            continue
        reason = context.non_finite(evaluation, claim.corruption)
        verdict = "inconclusive" if reason else verdict_on(drop, claim.relation, claim.points / 100)
        corruption = capitalize_first(context.label(claim.corruption))
        said = f"{corruption} costs {evaluation.label} {format_points_interval(drop)} {at_phrase(claim.at)}"
        query = _cells_query(evaluation, claim.corruption)
        yield context.row(evaluation, verdict, said, query, estimate=drop, reason=reason)


def judge_drop_comparison(context: ClaimContext, claim: DropComparison) -> Iterator[JudgedClaim]:
    """Whether one corruption costs each model more, or less, than another: the number is the first minus it."""
    for evaluation in evaluations_of(context.selection, claim.model):
        correctness = read_correctness(context.con, evaluation.evaluation_id)
        found = drop_difference(correctness, claim.corruption, claim.other, claim.at, context.level)
        if found is None:
            is_missing = drop_of(correctness, claim.corruption, claim.at, context.level) is None
            missing = claim.corruption if is_missing else claim.other
            yield context.without(evaluation, context.missing_cell(missing, claim.at))
            continue
        reason = context.non_finite(evaluation, claim.corruption, claim.other)
        verdict = "inconclusive" if reason else verdict_on(found, "more than" if claim.is_more else "less than", 0)
        said = _compared(context, evaluation, claim, found)
        query = _cells_query(evaluation, claim.corruption, claim.other)
        yield context.row(evaluation, verdict, said, query, estimate=found, reason=reason)


def judge_largest_drop(context: ClaimContext, claim: LargestDrop) -> Iterator[JudgedClaim]:
    """Whether a corruption costs each model more than every other; the number is its lead over the nearest one.

    The rules are those of the finding `largest_drop`.
    """
    rankings = drop_rankings(context.con, context.selection)
    for evaluation in evaluations_of(context.selection, claim.model):
        if claim.corruption not in context.selection.corruptions:
            yield context.without(evaluation, context.missing_cell(claim.corruption, claim.at))
            continue
        yield _most(context, evaluation, claim, rankings[evaluation])


def _most(context: ClaimContext, evaluation: EvaluationInfo, claim: LargestDrop, ranking: DropRanking) -> JudgedClaim:
    is_average = claim.at == "average"
    drops, leads = (ranking.by_average, ranking.average_leads) if is_average else (ranking.drops, ranking.leads)
    names = [drop.corruption for drop in drops]
    corruption = capitalize_first(context.label(claim.corruption))
    if claim.corruption in ranking.withheld or claim.corruption not in names:
        is_extra = claim.corruption in context.selection.extras
        why = "it is not ranked, as it is no part of the headline metrics" if is_extra else NON_FINITE
        return context.without(evaluation, f"what {context.label(claim.corruption)} costs: {why}")
    if len(names) == 1:
        return context.without(evaluation, "there is no other corruption to compare with")
    where = at_phrase(claim.at, drops[0].last_severity)
    query = _cells_query(evaluation, *names)
    if names[0] != claim.corruption:
        lead = leads[names.index(claim.corruption) - 1]
        behind = Estimate(-lead.value, -lead.high, -lead.low)
        first, points = context.label(names[0]), format_points_interval(lead)
        said = f"{corruption} costs {evaluation.label} {points} less than {first} {where}"
        verdict: Verdict = "contradicted" if lead.above_zero else "inconclusive"
        return context.row(evaluation, verdict, said, query, estimate=behind)
    nearest = min(range(len(leads)), key=lambda place: leads[place].low)
    other = context.label(names[nearest + 1])
    is_clear = ranking.is_clear_on_average if is_average else ranking.is_clear
    points = format_points_interval(leads[nearest])
    said = f"{corruption} costs {evaluation.label} {points} more than {other}, the nearest, {where}"
    return context.row(
        evaluation, "supported" if is_clear else "inconclusive", said, query, estimate=leads[nearest],
        reason=f"{NON_FINITE} under another corruption" if ranking.withheld else None,
    )  # fmt: skip


def _compared(context: ClaimContext, evaluation: EvaluationInfo, claim: DropComparison, found: Estimate) -> str:
    word, size = more_or_less(found)
    corruption, other = capitalize_first(context.label(claim.corruption)), context.label(claim.other)
    points = format_points_interval(size)
    return f"{corruption} costs {evaluation.label} {points} {word} than {other} {at_phrase(claim.at)}"


def _cells_query(evaluation: EvaluationInfo, *corruptions: str) -> str:
    names = ", ".join(sql_literal(corruption) for corruption in corruptions)
    rows = rows_of("accuracy_by_severity", evaluation)
    return f"select corruption, severity, accuracy, accuracy_drop, image_count {rows} and corruption in ({names})"
