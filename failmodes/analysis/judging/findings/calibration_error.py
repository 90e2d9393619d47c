"""Whether the calibration error on clean images exceeds the sampling noise of a calibrated model."""

from collections.abc import Iterator

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection
from failmodes.analysis.judging.findings.kind import Judged, kind, rows_of
from failmodes.analysis.render.formatting import format_count, format_number, format_number_interval
from failmodes.analysis.statistics.calibration import clean_calibration
from failmodes.analysis.statistics.estimate import known_estimate
from failmodes.analysis.statistics.shares import ALPHA
from failmodes.warehouse.schema import CLEAN

RELATION = "calibration_by_severity"


@kind(
    "calibration_error",
    order=90,
    section="confidence",
    topic="Calibration",
    claims="the calibration error on clean images exceeds sampling noise",
    unit="ECE",
    relation=RELATION,
    inconclusive=("Miscalibration on clean images", "model"),
    decides="more images would detect a smaller miscalibration",
)
def calibration_error(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> Iterator[Judged]:
    """The error on clean images beside its noise floor; no statement if no logits are finite."""
    clean = clean_calibration(con, selection, evaluation)
    if clean is None:
        return
    error = format_number(clean.ece, 4)
    if clean.low is not None and clean.high is not None:
        error = format_number_interval((clean.ece, clean.low, clean.high), 4)
    is_shown = clean.p_value <= ALPHA
    beside = "more than" if is_shown else "no more than"
    yield Judged(
        "supported" if is_shown else "inconclusive",
        f"On clean images, the calibration error of {evaluation.label} is {error}, {beside} the sampling noise of a "
        f"calibrated model (up to {format_number(clean.noise_floor, 4)}; "
        f"{format_count(clean.image_count, 'image')}).",
        known_estimate(clean.ece, clean.low, clean.high, n=clean.image_count, p_value=clean.p_value),
        CLEAN,
        0.0,
        query=f"{rows_of(RELATION, evaluation)} and severity = 0",
        n=clean.image_count,
        value=clean.ece,
        p_value=clean.p_value,
    )
