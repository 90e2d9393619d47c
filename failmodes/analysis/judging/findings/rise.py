"""Whether accuracy lies above the clean one at some severity."""

from collections.abc import Iterator

import duckdb

from failmodes.analysis.formatting import format_points_interval, format_severity
from failmodes.analysis.judging.findings.kind import Judged, kind, verdict_of_sign, where
from failmodes.analysis.judging.findings.shape import curves, estimate_of
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.bootstrap import Word

PHRASES = {
    "supported": "is more accurate than when clean",
    "contradicted": "is less accurate than when clean at every severity; least",
    "inconclusive": "is not shown to be more accurate than when clean",
}


@kind(
    "rise",
    order=50,
    section="accuracy",
    topic="Rise",
    claims="accuracy lies above the clean one at some severity",
    unit="accuracy",
    relation="accuracy_by_severity",
)
def rise(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> Iterator[Judged]:
    """The largest gain of each curve over its clean accuracy."""
    for row in curves(con, selection, evaluation):
        gain, severity = estimate_of(row, "largest_rise"), row["largest_rise_at"]
        is_withheld = row["abrupt_drop"] is None  # too many predictions are no finite numbers
        verdict: Word = "inconclusive" if is_withheld else verdict_of_sign(gain)
        said = f"{where(con, row['corruption'])} {evaluation.label} {PHRASES[verdict]} "
        said += f"at severity {format_severity(severity)}: {format_points_interval(gain)}"
        yield Judged(verdict, said, row["image_count"], gain, row["corruption"], severity)
