"""The main findings of a selection: where each model degrades most and how, and which model is better."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.evaluations.trained_models import noun_of_runs
from failmodes.analysis.judging.findings.better_model import leading, needed, of_runs
from failmodes.analysis.judging.findings.correction import BESIDE, FIRST_SCREEN, invalidated_by
from failmodes.analysis.judging.findings.kind import images_that_decide
from failmodes.analysis.judging.findings.largest_drop import largest_drop_of_one, largest_drop_sentence, nearest
from failmodes.analysis.judging.findings.prediction_collapse import given_predictions
from failmodes.analysis.judging.findings.registry import conditions_of
from failmodes.analysis.judging.findings.shape import curves, manner_of
from failmodes.analysis.judging.wording import accuracy_comparison
from failmodes.analysis.render.formatting import (
    MAX_LISTED,
    capitalize_first,
    format_count,
    format_percent,
    format_percent_interval,
    format_points_interval,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.statistics.model_accuracy import (
    CorruptionDrop,
    DropRanking,
    drop_rankings,
    model_accuracies,
    run_accuracies,
)
from failmodes.analysis.statistics.model_pairs import PairDifference, compare_models_of
from failmodes.analysis.statistics.predictions import collapse_by_corruption
from failmodes.analysis.statistics.shape_tables import p_of_shape

ERROR_RATES = (
    "The probability that any of these statements is false is at most "
    f"{format_percent(sum(FIRST_SCREEN.values()) + BESIDE)}. "
    "At most 5% of the findings in this report are expected to be false."
)
MAX_DESCRIBED = 2  # models described individually


def main_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> tuple[str, ...]:
    """Under which corruption the models degrade most and how, and which checkpoint is better; needs shapes.

    Conditions that invalidate conclusions come first (warnings excepted), and what they invalidate is omitted. All
    other statements share a family-wise error rate (see `findings.correction`): which model is better, which
    corruption hurts most, and, with Bonferroni's correction, shape and prediction collapse.
    """
    conditions = conditions_of(con, selection)
    invalid = invalidated_by(conditions)
    said = [condition.sentence for condition in conditions if condition.kind != "warning"]  # shown above, smaller
    for kind, sentence in (("largest_drop", _breaks), ("better_model", _better)):
        left = tuple(e for e in selection.evaluations if (e.evaluation_id, kind) not in invalid)
        said += [f"{sentence(con, replace(selection, evaluations=left))}."] if left else []
    return tuple(dict.fromkeys(said))


def _breaks(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    rankings, names = drop_rankings(con, selection), corruption_labels(con)
    if len(rankings) > MAX_DESCRIBED:
        return largest_drop_sentence(con, selection)
    clear = {e: ranking.drops[0] for e, ranking in rankings.items() if ranking.is_clear}
    falls = {e: _fall(con, selection, e, drop) for e, drop in clear.items()}
    largest = {e: lower_label(names[drop.corruption]) for e, drop in clear.items()}
    if 1 < len(rankings) == len(clear) and len(set(largest.values())) == 1:
        drops = "; ".join(f"{e.label} {drop}" for e, drop in falls.items())
        return f"Both {noun_of_runs(rankings)}s degrade most under {next(iter(largest.values()))}: {drops}"
    return ". ".join(
        f"{e.label} degrades most under {largest[e]}: it {falls[e]}"
        if e in clear
        else _two_largest(e.label, ranking, names)
        for e, ranking in rankings.items()
    )


def _two_largest(label: str, ranking: DropRanking, names: Mapping[str, str]) -> str:
    """The two largest drops if which is larger is inconclusive; else the reason for no statement."""
    first = ranking.drops[0]
    if ranking.withheld or not first.at_last.above_zero or not ranking.leads:
        return largest_drop_of_one(label, ranking, names)
    second, lead = nearest(ranking.drops, ranking.leads)
    measured = (
        f"{format_points_interval(one.at_last)} under {lower_label(names[one.corruption])}" for one in (first, second)
    )
    return (
        f"{label} drops by {' and by '.join(measured)} {_at(first.last_severity)}: which drop is larger is "
        f"inconclusive ({format_points_interval(lead)} apart{images_that_decide(ranking.images_needed)})"
    )


def _fall(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo, drop: CorruptionDrop
) -> str:
    """The drop with its ends, its shape and a prediction collapse, as far as each is supported."""
    rate = BESIDE / (2 * len(selection.evaluations))  # a shape and a prediction collapse each
    row = next((row for row in curves(con, selection, evaluation) if row["corruption"] == drop.corruption), None)
    is_shown = row and row["shape"] != "inconclusive" and p_of_shape(row["stability"], row["resamples"]) <= rate
    manner = manner_of(row) if row and is_shown else ""  # a curve with few severities has no row
    clean = run_accuracies(con, selection)[evaluation].clean.value
    predictions = [
        f", {_where(found.severity, drop.last_severity)} {given_predictions(found)}"
        for found in collapse_by_corruption(con, selection, evaluation)
        if found.corruption == drop.corruption and found.p_value <= rate
    ]
    last = format_percent(clean - drop.at_last.value)
    ends = f"from {format_percent(clean)} clean to {last} {_at(drop.last_severity)}"
    return f"drops {manner}{manner and ', '}{ends} ({format_points_interval(drop.at_last)}){''.join(predictions)}"


def _at(severity: float) -> str:
    return f"at severity {format_severity(severity)}"


def _where(severity: float, last_severity: float) -> str:
    """Start of a clause about a severity, after the last severity was named."""
    return "where it" if severity == last_severity else f"and {_at(severity)} it"


def _better(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    means = model_accuracies(con, selection)
    shared = [c for c in selection.averaged if all(c in one.by_corruption for one in means.values())]
    averaged = format_count(len(shared), "corruption")
    if len(means) == 1:
        ((model, found),) = means.items()
        on_average = f", {format_percent_interval(found.corrupted)} averaged over {averaged}" if found.corrupted else ""
        return (
            f"{model.label_with_seeds} has an accuracy of {format_percent_interval(found.clean)} on clean images"
            f"{on_average}"
        )
    pairs = compare_models_of(con, selection)
    pairs = [pair for pair in pairs if pair.is_about_training] or pairs
    if not pairs:
        return "No checkpoints are compared: no two share a corruption"
    if len(pairs) == 1:
        return _better_of_two(pairs[0], averaged, is_paired=bool(selection.shared["paired"]))
    return _best_of_many(pairs)


def _better_of_two(pair: PairDifference, averaged: str, *, is_paired: bool) -> str:
    better, worse, difference = leading(pair)
    size, runs = format_points_interval(difference), of_runs(better, worse)
    images = ", on the same images" if is_paired and not pair.is_about_training else ""
    if pair.winner is None:
        what = f"Which {_noun(pair)} is more accurate under corruption is inconclusive{runs.removeprefix(',')}"
        return f"{what}: {better.label} leads by {size}{images}{needed(pair)}"
    subject = better.label if runs else f"the checkpoint of {better.label}"
    other = worse.label if runs else f"that of {worse.label}"
    return f"{capitalize_first(accuracy_comparison(subject, other, difference, averaged))}{runs}{images}"


def _best_of_many(pairs: list[PairDifference]) -> str:
    """The model that is better than every other; else the models that none is better than, if they are few."""
    won = Counter(pair.winner for pair in pairs if pair.winner)
    lost = {model for pair in pairs for model in (pair.a, pair.b) if pair.winner not in (None, model)}
    ranked = sorted(dict.fromkeys(model for pair in pairs for model in (pair.a, pair.b)), key=lambda m: -won[m])
    first, noun, unbeaten = ranked[0], _noun(pairs[0]), [model.label for model in ranked if model not in lost]
    if won[first] == len(ranked) - 1:
        over = ", over training seeds and images" if pairs[0].is_about_training else ""
        others = format_count(len(ranked) - 1, "other model")
        return f"{first.label} is the best {noun}: more accurate than each of the {others}{over}"
    if not 1 < len(unbeaten) <= MAX_LISTED:
        return f"No {noun} is shown to be the best of {format_count(len(ranked), 'model')}"
    return f"No {noun} is shown to be the best: none is more accurate than {join_names(unbeaten)}"


def _noun(pair: PairDifference) -> str:
    return "model" if pair.is_about_training else "checkpoint"
