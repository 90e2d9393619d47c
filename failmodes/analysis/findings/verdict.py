"""The verdict on a selection in two sentences: which corruption breaks which model and how, and which is better."""

import duckdb

from failmodes.analysis.findings.corruption_drop import largest_drop_of_one, largest_drop_sentence
from failmodes.analysis.findings.curve_shape import MANNERS, shape_of
from failmodes.analysis.findings.finding import FEWEST_IMAGES, too_few
from failmodes.analysis.findings.predictions import given_predictions
from failmodes.analysis.findings.training_seeds import leading, over_seeds
from failmodes.analysis.formatting import (
    MAX_LISTED,
    format_count,
    format_percent,
    format_percent_interval,
    format_points_interval,
    format_severity,
    join_names,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels, read_for_selection
from failmodes.analysis.statistics.model_accuracy import CorruptionDrop, drop_rankings, model_accuracies, run_accuracies
from failmodes.analysis.statistics.model_pairs import PairDifference, compare_models_of, rank_by_wins
from failmodes.analysis.statistics.predictions import collapse_by_corruption
from failmodes.analysis.trained_models import noun_of_runs

MOST_DESCRIBED = 2  # models whose failure is told one by one


def verdict_sentences(con: duckdb.DuckDBPyConnection, selection: Selection) -> tuple[str, ...]:
    """What breaks the models and how, and which of them is better as a checkpoint; needs shapes.

    They say no more than the findings that they are made of: what is inconclusive there is inconclusive here, and of
    too few images that is all there is to say.
    """
    if selection.image_count < FEWEST_IMAGES:
        return (too_few(selection.image_count),)
    return _breaks(con, selection) + ".", _better(con, selection) + "."


def _breaks(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    rankings, names = drop_rankings(con, selection), corruption_labels(con)
    if len(rankings) > MOST_DESCRIBED:
        return largest_drop_sentence(con, selection)
    if not all(ranking.is_clear for ranking in rankings.values()):
        return "; ".join(largest_drop_of_one(e.label, ranking, names) for e, ranking in rankings.items())
    manners = {e: _fall(con, selection, e, ranking.drops[0]) for e, ranking in rankings.items()}
    largest = {e: names[ranking.drops[0].corruption] for e, ranking in rankings.items()}
    if len(set(largest.values())) > 1:
        return "; ".join(f"{largest[e]} costs {e.label} most: it {fall}" for e, fall in manners.items())
    name = next(iter(largest.values()))
    if len(manners) == 1:
        ((evaluation, fall),) = manners.items()
        return f"{name} costs {evaluation.label} most: it {fall}"
    falls = "; ".join(f"{e.label} {fall}" for e, fall in manners.items())
    return f"{name} costs both {noun_of_runs(manners)}s most: {falls}"


def _fall(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo, drop: CorruptionDrop
) -> str:
    """From where to where accuracy falls, in which manner, and what is answered there: as far as each is shown."""
    shapes = read_for_selection(con, "shapes", selection)
    rows = shapes.filter(evaluation_id=evaluation.evaluation_id, corruption=drop.corruption).rows(named=True)
    manner = MANNERS.get(shape_of(rows[0]), "") if rows else ""
    clean = run_accuracies(con, selection)[evaluation].clean.value
    predictions = [
        f", {_where(found.severity, drop.last_severity)} {given_predictions(found)}"
        for found in collapse_by_corruption(con, selection, evaluation)
        if found.corruption == drop.corruption and found.verdict == "supported"
    ]
    last = format_percent(clean - drop.at_last.value)
    ends = f"from {format_percent(clean)} clean to {last} {_at(drop.last_severity)}"
    return f"falls {manner}{manner and ', '}{ends} ({format_points_interval(drop.at_last)}){''.join(predictions)}"


def _at(severity: float) -> str:
    return f"at severity {format_severity(severity)}"


def _where(severity: float, last_severity: float) -> str:
    """Beginning of what is said of a severity after the last one was named."""
    return "where it" if severity == last_severity else f"and {_at(severity)} it"


def _better(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    means = model_accuracies(con, selection)
    shared = [c for c in selection.averaged if all(c in one.by_corruption for one in means.values())]
    averaged = format_count(len(shared), "corruption")
    if len(means) == 1:
        ((model, found),) = means.items()
        on_average = f", {format_percent_interval(found.corrupted)} averaged over {averaged}" if found.corrupted else ""
        return (
            f"{model.label_with_seeds} is right on {format_percent_interval(found.clean)} of clean images{on_average}"
        )
    pairs = compare_models_of(con, selection)
    if trained := [pair for pair in pairs if pair.is_about_training]:
        return _better_over_seeds(trained, averaged)
    if not pairs:
        return "Which checkpoint is better is not compared: no two have a corruption in common"
    if len(pairs) == 1:
        return _better_of_two(pairs[0], averaged, ", on the same images" if selection.shared["paired"] else "")
    return _best_of_many(pairs)


def _better_over_seeds(pairs: list[PairDifference], averaged: str) -> str:
    """Of two models of several training seeds which is better; of more whether one is better than each other."""
    if len(pairs) > 1:
        return _best_over_seeds(pairs)
    better, worse, difference = leading(pairs[0])
    size = format_points_interval(difference)
    if pairs[0].winner is None:
        over = over_seeds(better, worse)
        return f"Which model is better under corruption is inconclusive over {over}: {better.label} is {size} ahead"
    return (
        f"Under corruption {better.label} is better than {worse.label}, over {over_seeds(better, worse)}: by {size} on "
        f"average over {averaged}"
    )


def _best_over_seeds(pairs: list[PairDifference]) -> str:
    models = list(dict.fromkeys(model for pair in pairs for model in (pair.a, pair.b)))
    among = f"{format_count(len(models), 'model')} of several training seeds"
    for model in models:
        if sum(pair.winner == model for pair in pairs) == len(models) - 1:
            return f"{model.label} is the best of {among}: right more often than each other one, over seeds and images"
    return f"No model is shown to be the best of {among}"


def _better_of_two(pair: PairDifference, averaged: str, paired: str) -> str:
    value, low, high = pair.difference
    if pair.winner is None:
        size = format_points_interval(pair.difference)
        return f"Which checkpoint is better under corruption is inconclusive: {pair.a.label} is {size} ahead{paired}"
    size = format_points_interval(pair.difference if pair.winner == pair.a else (-value, -high, -low))
    other = pair.b if pair.winner == pair.a else pair.a
    return (
        f"Under corruption the checkpoint of {pair.winner.label} is better than that of {other.label}: by {size} on "
        f"average over {averaged}{paired}"
    )


def _best_of_many(pairs: list[PairDifference]) -> str:
    ranked = rank_by_wins(pairs)
    first = ranked[0]
    if first.won == len(ranked) - 1:
        others = format_count(first.others, "other model")
        return f"{first.model.label} is the best checkpoint: right more often than each of the {others}"
    unbeaten = [count.model.label for count in ranked if not count.lost]
    if not 1 < len(unbeaten) <= MAX_LISTED:
        return f"No checkpoint is shown to be the best of {format_count(len(ranked), 'model')}"
    return f"No checkpoint is shown to be the best: none is right more often than {join_names(unbeaten)}"
