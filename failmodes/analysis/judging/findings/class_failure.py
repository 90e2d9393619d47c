"""Whether the accuracy of one class is far below that of the others."""

from collections.abc import Iterator

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection
from failmodes.analysis.judging.findings.kind import Judged, kind, where
from failmodes.analysis.judging.judge import above
from failmodes.analysis.render.formatting import format_percent, format_points, format_points_interval
from failmodes.analysis.statistics.predictions import CLASS_GAP, class_gaps


@kind(
    "class_failure",
    order=70,
    section="predictions",
    topic="Weak classes",
    claims="the accuracy of one class is far below that of the others",
    unit="accuracy",
    relation="accuracy_by_class",
)
def class_failure(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> Iterator[Judged]:
    """The class and severity of each corruption with the largest gap to the other classes."""
    for class_gap in class_gaps(con, selection, evaluation):
        verdict = above(class_gap.gap, CLASS_GAP)
        start = where(con, class_gap.corruption, class_gap.severity)
        size = format_points_interval(class_gap.gap)
        said = f"{start} {evaluation.label} has an accuracy of {format_percent(class_gap.accuracy)} on "
        said += f"\u201c{class_gap.class_name}\u201d, {size} below the other classes"
        if verdict != "supported":
            said = f"{start} no class of {evaluation.label} is shown to be {format_points(CLASS_GAP, 0)} below the "
            said += f"others: the largest gap is {size}"
        yield Judged(
            verdict,
            said,
            class_gap.gap,
            class_gap.corruption,
            class_gap.severity,
        )
