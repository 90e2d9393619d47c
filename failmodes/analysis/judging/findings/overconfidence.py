"""Whether a model is over- or underconfident, cell by cell, with the sentence of the chart about it."""

from collections.abc import Iterator

import duckdb

from failmodes.analysis.judging.findings.kind import BOTH, Judged, kind, where
from failmodes.analysis.render.formatting import format_points_interval
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.calibration import overconfidence_by_corruption
from failmodes.analysis.statistics.estimate import Estimate


@kind(
    "overconfidence",
    order=80,
    section="confidence",
    topic="Confidence",
    claims="mean confidence lies above accuracy",
    unit="confidence minus accuracy",
    relation="calibration_by_severity",
    printed=BOTH,
    inconclusive=("Whether a model is over- or underconfident", "cell"),
)
def overconfidence(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> Iterator[Judged]:
    """The clean cell and the last severity of each corruption."""
    for cell in overconfidence_by_corruption(con, selection, evaluation):
        said = f"{where(con, cell.corruption, cell.severity)} {evaluation.label} is "
        said += overconfidence_phrase(cell.overconfidence)
        yield Judged(
            cell.verdict,
            said,
            cell.image_count,
            cell.overconfidence,
            cell.corruption,
            cell.severity,
            p_value=cell.p_value,
        )


def overconfidence_phrase(overconfidence: Estimate) -> str:
    """Confidence minus accuracy as text: overconfident by 12.0 points [10.1, 13.9]."""
    size = format_points_interval(size_of(overconfidence))
    if overconfidence.above_zero:
        return f"overconfident by {size}"
    if overconfidence.below_zero:
        return f"underconfident by {size}"
    return f"not shown to be over- or underconfident: {size}"


def size_of(overconfidence: Estimate) -> Estimate:
    """Its size, positive for underconfidence too."""
    return -overconfidence if overconfidence.below_zero else overconfidence
