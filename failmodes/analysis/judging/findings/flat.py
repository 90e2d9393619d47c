"""Whether accuracy stays near the clean one at every severity."""

from collections.abc import Iterator

import duckdb

from failmodes.analysis.formatting import format_points, format_points_interval
from failmodes.analysis.judging.findings.kind import Judged, kind, negative, where
from failmodes.analysis.judging.findings.shape import curves, estimate_of
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.bootstrap import Word

PHRASES = {
    "supported": "stays within {} of its clean accuracy",
    "contradicted": "leaves {} around its clean accuracy",
    "inconclusive": "may or may not stay within {} of clean",
}


@kind(
    "flat",
    order=40,
    section="accuracy",
    topic="No change",
    claims="accuracy stays near the clean one at every severity",
    unit="accuracy",
    relation="accuracy_by_severity",
    tells="first",
)
def flat(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> Iterator[Judged]:
    """The largest change of each curve, by the verdict that the table of shapes has."""
    for row in curves(con, selection, evaluation):
        change = negative(estimate_of(row, "largest_change"))
        verdict: Word = row["flat"] or "inconclusive"
        phrase = PHRASES[verdict].format(format_points(row["flat_below"], 0))
        said = f"{where(con, row['corruption'])} {evaluation.label} {phrase}"
        said += f": largest change {format_points_interval(change)}"
        yield Judged(verdict, said, row["image_count"], change, row["corruption"])
