"""Models against each other: which is right more often under corruption, as a checkpoint on these images."""

import duckdb

from failmodes.analysis.findings.finding import Finding, judged, of_images
from failmodes.analysis.formatting import (
    MAX_LISTED,
    format_count,
    format_percent_interval,
    format_points_interval,
    join_names,
)
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.checkpoint_difference import CheckpointDifference, compare_checkpoints
from failmodes.analysis.statistics.trained_model_accuracy import model_accuracies
from failmodes.analysis.trained_models import model_of_runs
from failmodes.sql import sql_literal


def comparison_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each pair of checkpoints, which of the two is right more often under corruption.

    Of two models with several training runs each no two runs are told apart: the models are (`seed_findings`).
    """
    model = model_of_runs(selection.evaluations)
    return [
        _finding(pair)
        for pair in compare_checkpoints(con, selection)
        if not (model[pair.a].has_several_seeds and model[pair.b].has_several_seeds)
    ]


def _finding(pair: CheckpointDifference) -> Finding:
    """Of the second of a pair where it is better, so that the number is positive; as found where inconclusive."""
    better, worse, (value, low, high) = pair.a, pair.b, pair.difference
    if pair.winner == pair.b:
        better, worse, value, low, high = pair.b, pair.a, -value, -high, -low
    size = format_points_interval((value, low, high))
    said = f"{better.label} is right more often than {worse.label} under corruption: by {size} on average"
    if pair.winner is None:
        said = f"Whether {better.label} or {worse.label} is right more often under corruption is inconclusive: {size}"
    ids = " and ".join(
        f"evaluation_id_{side} = {sql_literal(evaluation.evaluation_id)}"
        for side, evaluation in (("a", pair.a), ("b", pair.b))
    )
    return judged(
        "better_model",
        "inconclusive" if pair.winner is None else "supported",
        better,
        f"{said} {of_images(pair.image_count)}.",
        f"from model_disagreement where {ids}",
        n=pair.image_count,
        unit="accuracy",
        estimate=(value, low, high),
        other=worse,
    )


def mean_accuracy_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Mean corrupted accuracy of each of up to four models with its interval, of more of the best and the last."""
    found = model_accuracies(con, selection)
    known = {n.label_with_seeds: one.corrupted for n, one in found.items() if one.corrupted is not None}
    count = format_count(len(selection.averaged), "corruption")
    if not known:
        return f"No model was evaluated on all {count}"
    ordered = sorted(known, key=lambda label: -known[label].value)
    if len(ordered) > MAX_LISTED:
        ordered = [ordered[0], ordered[-1]]
    accuracies = join_names(
        f"{label} {'' if place else 'is right '}on {format_percent_interval(known[label])}"
        for place, label in enumerate(ordered)
    )
    if len(ordered) < len(known):
        return f"Of {format_count(len(known), 'model')}, averaged over {count}, {accuracies}"
    return f"Averaged over {count} {accuracies}"
