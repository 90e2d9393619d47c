"""The main findings of a selection: where each model degrades most and how, and which model is better."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, corruption_labels, words_of_runs
from failmodes.analysis.evaluations.trained_models import TrainedModel, noun_of_runs
from failmodes.analysis.judging.findings.better_model import lead_text, leading, needed, of_runs
from failmodes.analysis.judging.findings.correction import ADDITIONS_ERROR, MAIN_ERRORS, invalidated_by
from failmodes.analysis.judging.findings.kind import Finding, all_kinds, read_findings
from failmodes.analysis.judging.findings.largest_drop import largest_drop_of_one, largest_drop_sentence
from failmodes.analysis.judging.findings.prediction_collapse import given_predictions
from failmodes.analysis.judging.findings.shape import curves, manner_of
from failmodes.analysis.judging.wording import accuracy_comparison
from failmodes.analysis.render.formatting import (
    MAX_LISTED,
    capitalize_first,
    format_count,
    format_percent,
    format_points_interval,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.statistics.model_accuracy import (
    CorruptionDrop,
    drop_rankings,
    model_accuracies,
    run_accuracies,
)
from failmodes.analysis.statistics.model_pairs import PairDifference, compare_models_of
from failmodes.analysis.statistics.predictions import collapse_by_corruption
from failmodes.analysis.statistics.shape_tables import p_of_shape

ERROR_RATES = (
    "The probability that any of these sentences is false is at most "
    f"{format_percent(sum(MAIN_ERRORS.values()) + ADDITIONS_ERROR)}. "
    "Of all findings in this report, at most 5% are expected to be false."
)
OVERCONFIDENCE = "mean confidence minus accuracy"
ADDITIONS = 3  # shape, prediction collapse and overconfidence, which share ADDITIONS_ERROR
MAX_DESCRIBED = 2  # models described individually


def main_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> tuple[str, ...]:
    """Under which corruption the models degrade most and how, and which checkpoint is better; needs stored findings.

    Conditions that invalidate conclusions come first (warnings excepted), and what they invalidate is omitted. All
    other statements share a family-wise error rate (see `findings.correction`): which model is better, which
    corruption hurts most, and, with Bonferroni's correction, shape, prediction collapse
    and overconfidence.
    """
    kinds = all_kinds()
    findings = read_findings(con, selection.ids)
    conditions = [
        finding for finding in findings if kinds[finding.kind].is_condition and finding.verdict == "supported"
    ]
    invalid = invalidated_by(conditions)
    said = [condition.sentence for condition in conditions if condition.kind != "warning"]  # shown above, smaller
    for kind, sentence in (("largest_drop", _breaks), ("better_model", _better)):
        left = tuple(e for e in selection.evaluations if (e.evaluation_id, kind) not in invalid)
        if len(left) > (kind == "better_model") and (text := sentence(con, replace(selection, evaluations=left))):
            said.append(f"{text}.")
    return tuple(dict.fromkeys([*said, *_misleading(findings)]))


def _misleading(findings: Sequence[Finding]) -> list[str]:
    """What a user must not trust: the largest overconfidence that is shown, with Bonferroni's correction."""
    tested = [finding for finding in findings if finding.kind == "overconfidence" and finding.p_value is not None]
    shown = [
        finding
        for finding in tested
        if finding.verdict == "supported" and (finding.p_value or 0.0) * len(tested) <= ADDITIONS_ERROR / ADDITIONS
    ]
    return [
        f"{finding.statement} ({OVERCONFIDENCE})."
        for finding in sorted(shown, key=lambda finding: -(finding.value or 0.0))[:1]
    ]


def _breaks(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Under which corruption models degrade most; "" if accuracy has nothing to drop from, or no corruption."""
    if len(selection.evaluations) > MAX_DESCRIBED:
        return largest_drop_sentence(con, selection)
    rankings = {e: r for e, r in drop_rankings(con, selection).items() if r.drops or r.withheld}
    names = corruption_labels(con)
    clear = {e: ranking.drops[0] for e, ranking in rankings.items() if ranking.is_clear}
    largest = {e: lower_label(names[drop.corruption]) for e, drop in clear.items()}
    if 1 < len(rankings) == len(clear) and len(set(largest.values())) == 1:
        drops = "; ".join(f"{e.label} {_fall(con, selection, e, drop)}" for e, drop in clear.items())
        verb = "degrade most" if len(selection.averaged) > 1 else "degrade"
        return f"Both {noun_of_runs(rankings)}s {verb} under {next(iter(largest.values()))}: {drops}"
    most = " most" * (len(selection.averaged) > 1)
    return ". ".join(
        f"{e.label} degrades{most} under {largest[e]}: it {_fall(con, selection, e, clear[e], has_interval=True)}"
        if e in clear
        else largest_drop_of_one(e.label, ranking, names)
        for e, ranking in rankings.items()
    )


def _fall(
    con: duckdb.DuckDBPyConnection,
    selection: Selection,
    evaluation: EvaluationInfo,
    drop: CorruptionDrop,
    *,
    has_interval: bool = False,
) -> str:
    """The drop with its ends, its shape and a prediction collapse, as far as each is supported."""
    rate = ADDITIONS_ERROR / ADDITIONS / len(selection.evaluations)
    row = next((row for row in curves(con, selection, evaluation) if row["corruption"] == drop.corruption), None)
    is_shown = row and row["shape"] != "inconclusive" and p_of_shape(row["stability"], row["resamples"]) <= rate
    manner = manner_of(row) if row and is_shown else ""  # a curve with few severities has no row
    clean = run_accuracies(con, selection)[evaluation].clean
    assert clean is not None, "a drop is from clean images"
    predictions = [
        f", {_where(collapse.severity, drop.last_severity)} {given_predictions(collapse)}"
        for collapse in collapse_by_corruption(con, selection, evaluation)
        if collapse.corruption == drop.corruption and (collapse.share.p_value or 0.0) <= rate
    ]
    last = format_percent(clean.value - drop.at_last.value)
    ends = f"from {format_percent(clean.value)} clean to {last} {_at(drop.last_severity)}"
    size = f" ({format_points_interval(drop.at_last)})" if has_interval else ""
    return f"drops {manner}{manner and ', '}{ends}{size}{''.join(predictions)}"


def _at(severity: float) -> str:
    return f"at severity {format_severity(severity)}"


def _where(severity: float, last_severity: float) -> str:
    """Start of a clause about a severity, after the last severity was named."""
    return "where it" if severity == last_severity else f"and {_at(severity)} it"


def _better(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    means = model_accuracies(con, selection)
    if len(means) < 2:
        return ""
    shared = [c for c in selection.averaged if all(c in accuracies.by_corruption for accuracies in means.values())]
    average = (
        f"averaged over {format_count(len(shared), 'corruption')}" if selection.corruptions else selection.condition
    )
    pairs = compare_models_of(con, selection)
    pairs = [pair for pair in pairs if pair.is_about_training] or pairs
    if not pairs:
        return "No checkpoints are compared: no two share a corruption"
    if len(pairs) == 1:
        is_paired = bool(selection.shared["paired"]) or not selection.corruptions
        return _better_of_two(pairs[0], selection.condition, average, is_paired=is_paired)
    baseline = next((model for model in means if model.runs[0].facts["is_baseline"]), None)
    with_baseline = [pair for pair in pairs if baseline in (pair.a, pair.b)]
    if baseline is None or not with_baseline:
        return _best_of_many(pairs, selection.condition)
    return _beside(baseline, with_baseline, selection.condition)


def _better_of_two(pair: PairDifference, condition: str, average: str, *, is_paired: bool) -> str:
    better, worse, difference = leading(pair)
    runs = of_runs(better, worse)
    images = ", on the same images" if is_paired and not pair.is_about_training else ""
    if pair.winner is None:
        what = f"The data do not show which {_noun(pair)} is more accurate {condition}{runs.removeprefix(',')}"
        return f"{what}: {lead_text(pair)}{images}{needed(pair)}"
    subject = better.label if runs else f"the {better.label} checkpoint"
    other = worse.label if runs else f"the {worse.label} checkpoint"
    return f"{capitalize_first(accuracy_comparison(subject, other, difference, average))}{runs}{images}"


def _beside(baseline: TrainedModel, pairs: list[PairDifference], condition: str) -> str:
    """Which models are more and which are less accurate than the baseline."""
    decided: dict[str, list[str]] = {"more": [], "less": [], "": []}
    for pair in pairs:
        word = "" if pair.winner is None else "less" if pair.winner == baseline else "more"
        decided[word].append((pair.b if pair.a == baseline else pair.a).label)
    named = {
        word: join_names(labels) if len(labels) <= MAX_LISTED else format_count(len(labels), "model")
        for word, labels in decided.items()
    }
    shown = join_names(
        f"{named[word]} {'is' if len(decided[word]) == 1 else 'are'} {word} accurate"
        for word in ("more", "less")
        if decided[word]
    )
    over = f", over {words_of_runs(pairs[0].a.runs).seed}s and images" if pairs[0].is_about_training else ""
    if len(decided[""]) == len(pairs):
        return f"The data do not separate {named['']} from the baseline {baseline.label} {condition}{over}"
    rest = f"; the data do not separate {named['']} from it" if decided[""] else ""
    return f"{shown} than the baseline {baseline.label} {condition}{over}{rest}"


def _best_of_many(pairs: list[PairDifference], condition: str) -> str:
    """The model that is better than every other, and by how much than the next; else the most accurate one.

    That is named with those that it is not shown to beat.
    """
    won = Counter(pair.winner for pair in pairs if pair.winner)
    models = list(dict.fromkeys(model for pair in pairs for model in (pair.a, pair.b)))
    first = max(models, key=lambda model: sum(pair.difference.value * _sign(pair, model) for pair in pairs))
    over = f", over {words_of_runs(pairs[0].a.runs).seed}s and images" if pairs[0].is_about_training else ""
    if won[first] == len(models) - 1:
        leads = {worse: lead for better, worse, lead in map(leading, pairs) if better == first}
        second, *others = sorted(leads, key=lambda model: leads[model].value)
        rest = others[0].label if len(others) == 1 else f"the other {len(others)}"
        return (
            f"{first.label} is the best {_noun(pairs[0])}: {format_points_interval(leads[second])} more accurate "
            f"{condition} than {second.label}, the next, and more accurate than {rest}{over}"
        )
    equal = [pair.b if pair.a == first else pair.a for pair in pairs if _sign(pair, first) and pair.winner is None]
    best = f"The data do not show which of {format_count(len(models), 'model')} is the best {condition}"
    if not equal:
        return best
    if len(equal) == len(models) - 1:
        return f"{best}{over}; on these images, {first.label} is the most accurate"
    named = join_names(model.label for model in equal) if len(equal) <= MAX_LISTED else f"{len(equal)} others"
    return (
        f"{first.label} is the most accurate of {format_count(len(models), 'model')} under corruption on these images; "
        f"the data do not separate it from {named}{over}"
    )


def _sign(pair: PairDifference, model: TrainedModel) -> int:
    """1 if a model is the first of a pair, -1 if it is the second, 0 if it is not in it."""
    return (pair.a == model) - (pair.b == model)


def _noun(pair: PairDifference) -> str:
    return "model" if pair.is_about_training else "checkpoint"
