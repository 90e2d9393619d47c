"""Claims about models: one is better than another, or its accuracy lies within a limit."""

from collections.abc import Iterator

from failmodes.analysis.claims.judged_claim import ClaimContext, JudgedClaim, at_phrase, more_or_less, verdict_on
from failmodes.analysis.claims.named_evaluations import evaluations_of, model_of
from failmodes.analysis.findings.finding import rows_of
from failmodes.analysis.findings.training_seeds import over_seeds
from failmodes.analysis.formatting import format_count, format_percent_interval, format_points_interval
from failmodes.analysis.statistics.bootstrap import Estimate, read_correctness
from failmodes.analysis.statistics.claimed_differences import accuracy_of, read_training_runs, trained_model_difference
from failmodes.analysis.trained_models import TrainedModel
from failmodes.ingest.claim_forms import AccuracyLimit, At, BetterModel
from failmodes.sql import sql_literal
from failmodes.warehouse.schema import CLEAN


def judge_better_model(context: ClaimContext, claim: BetterModel) -> Iterator[JudgedClaim]:
    """Whether a model is right more often than another: over training seeds where both have several.

    Of one training run each it is a statement on these two checkpoints, and the sentence says so.
    """
    one, other = (model_of(context.selection, name) for name in (claim.model, claim.other))
    label = f"{one.label} and {other.label}"
    if one == other:
        yield context.without(None, f"{claim.model} and {claim.other} name the same model", label=label)
        return
    runs = [read_training_runs(context.con, model) for model in (one, other)]
    named = _named(context, claim.corruption)
    found = trained_model_difference(runs[0], runs[1], named, claim.at, context.level)
    if found is None:
        yield context.without(None, context.missing_cell(str(claim.corruption), claim.at), label=label)
        return
    evaluations = [run for model in (one, other) for run in model.runs]
    reasons = [context.non_finite(evaluation, *named) for evaluation in evaluations]
    reason = next(filter(None, reasons), None)
    verdict = "inconclusive" if reason else verdict_on(found, "more than", 0)
    said = f"{_compared(one, other, found)} {_place(context, claim.corruption, claim.at)}, {_runs(one, other)}"
    yield context.row(
        one.runs[0], verdict, said, _pair_query(one, other, claim.corruption), estimate=found, reason=reason,
        other=other.runs[0], label=label,
    )  # fmt: skip


def judge_accuracy_limit(context: ClaimContext, claim: AccuracyLimit) -> Iterator[JudgedClaim]:
    """Whether the accuracy of each model lies within the limit."""
    for evaluation in evaluations_of(context.selection, claim.model):
        named = _named(context, claim.corruption)
        correctness = read_correctness(context.con, evaluation.evaluation_id)
        found = accuracy_of(correctness, named, claim.at, context.level)
        if found is None:
            missing = next((c for c in named if c not in correctness.curves()), named[0])
            yield context.without(evaluation, context.missing_cell(missing, claim.at))
            continue
        reason = context.non_finite(evaluation, *named)
        verdict = "inconclusive" if reason else verdict_on(found, claim.relation, claim.percent / 100)
        place = _place(context, claim.corruption, claim.at)
        said = f"{evaluation.label} is right on {format_percent_interval(found)} {place}"
        query = rows_of("accuracy_by_severity", evaluation, named[0] if len(named) == 1 else None)
        query += " and severity = 0" if claim.corruption == CLEAN else ""
        yield context.row(evaluation, verdict, said, query, estimate=found, reason=reason)


def _named(context: ClaimContext, corruption: str | None) -> tuple[str, ...]:
    """The corruptions that a claim averages over; none of clean images."""
    if corruption is None:
        return context.selection.averaged
    return () if corruption == CLEAN else (corruption,)


def _compared(one: TrainedModel, other: TrainedModel, found: Estimate) -> str:
    word, size = more_or_less(found)
    return f"{one.label} is right {word} often than {other.label}: by {format_points_interval(size)}"


def _place(context: ClaimContext, corruption: str | None, at: At) -> str:
    if corruption == CLEAN:
        return "on clean images"
    if corruption is None:
        return f"on average over {format_count(len(context.selection.averaged), 'corruption')}"
    return f"under {context.label(corruption)} {at_phrase(at)}"


def _runs(one: TrainedModel, other: TrainedModel) -> str:
    """What the sentence is about: the training of models, or checkpoints."""
    if one.has_several_seeds and other.has_several_seeds:
        return f"over {over_seeds(one, other)}"
    if one.has_several_seeds or other.has_several_seeds:
        runs = len(one.runs) + len(other.runs)
        return f"of these {runs} checkpoints, as one of the two was trained once"
    return "of these checkpoints, one training run each"


def _pair_query(one: TrainedModel, other: TrainedModel, corruption: str | None) -> str:
    ids = ", ".join(sql_literal(run.evaluation_id) for model in (one, other) for run in model.runs)
    of_corruption = "" if corruption in (None, CLEAN) else f" and corruption = {sql_literal(str(corruption))}"
    of_clean = " and severity = 0" if corruption == CLEAN else ""
    return (
        "select model_label, corruption, severity, accuracy, image_count from accuracy_by_severity "
        f"where evaluation_id in ({ids}){of_corruption}{of_clean}"
    )
