"""Models against each other: which is right more often under corruption, as a checkpoint on these images."""

import duckdb

from failmodes.analysis.findings.finding import Finding, judged, of_images
from failmodes.analysis.findings.training_seeds import as_evaluation, leading
from failmodes.analysis.formatting import (
    MAX_LISTED,
    format_count,
    format_percent_interval,
    format_points_interval,
    join_names,
)
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.model_accuracy import model_accuracies
from failmodes.analysis.statistics.model_pairs import PairDifference, compare_models_of
from failmodes.sql import sql_literal


def comparison_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each pair of models, not both of several training seeds, which of the two is right more often."""
    return [_finding(pair) for pair in compare_models_of(con, selection) if not pair.is_about_training]


def _finding(pair: PairDifference) -> Finding:
    """Of the second of a pair where it is better, so that the number is positive; as found where inconclusive."""
    better, worse, difference = leading(pair)
    size = format_points_interval(difference)
    said = f"{better.label} is right more often than {worse.label} under corruption: by {size} on average"
    if pair.winner is None:
        said = f"Whether {better.label} or {worse.label} is right more often under corruption is inconclusive: {size}"
    ids = [sql_literal(model.runs[0].evaluation_id) for model in (pair.a, pair.b)]
    query = f"from model_disagreement where evaluation_id_a = {ids[0]} and evaluation_id_b = {ids[1]}"
    if len(pair.a.runs) > 1 or len(pair.b.runs) > 1:
        query = f"from accuracy_by_model where evaluation_id in ({', '.join(ids)})"
    return judged(
        "better_model",
        "inconclusive" if pair.winner is None else "supported",
        as_evaluation(better),
        f"{said} {of_images(pair.image_count)}.",
        query,
        n=pair.image_count,
        unit="accuracy",
        estimate=difference,
        other=as_evaluation(worse),
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
