"""Prediction collapse: whether one class dominates the predictions of a model (mode collapse)."""

from collections.abc import Iterator

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection
from failmodes.analysis.judging.findings.kind import Judged, kind, where
from failmodes.analysis.render.formatting import format_count, format_percent_interval
from failmodes.analysis.statistics.predictions import Collapse, collapse_by_corruption


@kind(
    "prediction_collapse",
    order=60,
    section="predictions",
    topic="Prediction collapse",
    claims="one class dominates the predictions",
    unit="share of predictions",
    relation="predictions_by_severity",
)
def prediction_collapse(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> Iterator[Judged]:
    """The severity of each corruption with the most frequent prediction."""
    for found in collapse_by_corruption(con, selection, evaluation):
        said = f"{where(con, found.corruption, found.severity)} {evaluation.label} "
        if found.verdict == "supported":
            said += f"{given_predictions(found)}: {format_percent_interval(found.share)} of its predictions."
        else:
            said += f"predicts \u201c{found.class_name}\u201d most often: {format_percent_interval(found.share)}"
        yield Judged(
            found.verdict, said, found.image_count, found.share, found.corruption, found.severity, p_value=found.p_value
        )


def given_predictions(found: Collapse) -> str:
    """The most frequent prediction with its count: predicts “eight” for 498 of 500 images."""
    count = f"{found.predicted_count:,} of {format_count(found.image_count, 'image')}"
    return f"predicts \u201c{found.class_name}\u201d for {count}"
