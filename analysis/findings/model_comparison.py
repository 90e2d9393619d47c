"""Networks against each other: which is right more often under corruption, as a checkpoint on these images."""

import duckdb

from failmodes.analysis.findings.finding import Finding, judged, of_images, quoted
from failmodes.analysis.formatting import format_points_interval
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.model_difference import ModelDifference, compare_models


def comparison_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each pair of networks, which of the two is right more often under corruption."""
    return [_finding(pair) for pair in compare_models(con, selection)]


def _finding(pair: ModelDifference) -> Finding:
    """Of the second of a pair where it is the better one, so that the number is positive; as found where undecided."""
    better, worse, (value, low, high) = pair.a, pair.b, pair.difference
    if pair.winner == pair.b:
        better, worse, value, low, high = pair.b, pair.a, -value, -high, -low
    size = format_points_interval((value, low, high))
    said = f"{better.label} is right more often than {worse.label} under corruption: by {size} on average"
    if pair.winner is None:
        said = f"Whether {better.label} or {worse.label} is right more often under corruption is undecided: {size}"
    ids = " and ".join(
        f"evaluation_id_{side} = {quoted(evaluation.evaluation_id)}"
        for side, evaluation in (("a", pair.a), ("b", pair.b))
    )
    return judged(
        "better_model",
        "undecided" if pair.winner is None else "supported",
        better,
        f"{said} {of_images(pair.image_count)}.",
        f"from model_disagreement where {ids}",
        n=pair.image_count,
        unit="accuracy",
        estimate=(value, low, high),
        other=worse,
    )
