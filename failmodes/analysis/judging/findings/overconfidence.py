"""Whether a model is over- or underconfident, cell by cell."""

from collections.abc import Iterator

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection
from failmodes.analysis.judging.findings.kind import BOTH, Judged, kind, where
from failmodes.analysis.judging.judge import above
from failmodes.analysis.render.formatting import format_points_interval
from failmodes.analysis.statistics.calibration import overconfidence_by_corruption
from failmodes.analysis.statistics.estimate import Estimate


@kind(
    "overconfidence",
    order=80,
    section="confidence",
    topic="Confidence",
    claims="mean confidence exceeds accuracy",
    unit="confidence minus accuracy",
    relation="calibration_by_severity",
    printed=BOTH,
    inconclusive=("Over- or underconfidence", "cell"),
)
def overconfidence(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> Iterator[Judged]:
    """The clean cell and the last severity of each corruption."""
    for cell in overconfidence_by_corruption(con, selection, evaluation):
        said = f"{where(con, cell.corruption, cell.severity)} {evaluation.label} is "
        said += overconfidence_phrase(cell.overconfidence)
        yield Judged(
            above(cell.overconfidence, 0),
            said,
            cell.overconfidence,
            cell.corruption,
            cell.severity,
        )


def overconfidence_phrase(overconfidence: Estimate) -> str:
    """Confidence minus accuracy as text: overconfident by 12.0 points [10.1, 13.9]."""
    if overconfidence.above_zero:
        return f"overconfident by {format_points_interval(overconfidence)}"
    if overconfidence.below_zero:
        return f"underconfident by {format_points_interval(-overconfidence)}"
    size = format_points_interval(overconfidence, signed=True)
    return f"not shown to be over- or underconfident: confidence minus accuracy is {size}"
