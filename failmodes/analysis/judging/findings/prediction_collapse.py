"""Prediction collapse: whether one class dominates the predictions of a model (mode collapse)."""

from collections.abc import Iterator

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection
from failmodes.analysis.judging.findings.kind import Judged, kind, where
from failmodes.analysis.judging.judge import above
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
    for collapse in collapse_by_corruption(con, selection, evaluation):
        verdict = above(collapse.share, collapse.limit)
        said = f"{where(con, collapse.corruption, collapse.severity)} {evaluation.label} "
        if verdict == "supported":
            said += f"{given_predictions(collapse)}: {format_percent_interval(collapse.share)} of its predictions."
        else:
            said += f"predicts \u201c{collapse.class_name}\u201d most often: {format_percent_interval(collapse.share)}"
        yield Judged(
            verdict,
            said,
            collapse.share,
            collapse.corruption,
            collapse.severity,
        )


def given_predictions(collapse: Collapse) -> str:
    """The most frequent prediction with its count: predicts “eight” for 498 of 500 images."""
    count = f"{collapse.predicted_count:,} of {format_count(collapse.share.n, 'image')}"
    return f"predicts \u201c{collapse.class_name}\u201d for {count}"
