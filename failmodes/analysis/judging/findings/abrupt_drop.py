"""Whether accuracy collapses in one step of severity."""

from collections.abc import Iterator

import duckdb

from failmodes.analysis.formatting import format_points_interval, format_severity
from failmodes.analysis.judging.findings.kind import Judged, kind, where
from failmodes.analysis.judging.findings.shape import curves, estimate_of
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.bootstrap import Word

VERBS = {"supported": "collapses", "contradicted": "does not collapse", "inconclusive": "may collapse"}


@kind(
    "abrupt_drop",
    order=30,
    section="accuracy",
    topic="Collapse in one step",
    claims="one step loses twice its even share of the fall",
    unit="accuracy",
    relation="steps",
    inconclusive=("Whether accuracy collapses in one step", "curve"),
)
def abrupt_drop(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> Iterator[Judged]:
    """The step that loses most, by the verdict that the table of shapes has."""
    for row in curves(con, selection, evaluation):
        lost = estimate_of(row, "largest_step")
        verdict: Word = row["abrupt_drop"] or "inconclusive"
        start = f"severity {format_severity(row['largest_step_from'])}" if row["largest_step_from"] else "clean"
        span = f"between {start} and {format_severity(row['largest_step_to'])}"
        said = f"{where(con, row['corruption'])} {evaluation.label} {VERBS[verdict]} in one step"
        said += f": {format_points_interval(lost)} {span}"
        yield Judged(verdict, said, row["image_count"], lost, row["corruption"])
