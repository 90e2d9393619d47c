"""Whether clean confidence is miscalibrated beyond what chance gives a calibrated model."""

from collections.abc import Iterator

import duckdb

from failmodes.analysis.judging.findings.kind import Judged, kind, rows_of
from failmodes.analysis.render.formatting import format_count, format_number, format_number_interval
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.calibration import clean_calibration
from failmodes.analysis.statistics.shares import ALPHA
from failmodes.warehouse.schema import CLEAN

RELATION = "calibration_by_severity"


@kind(
    "calibration_error",
    order=90,
    section="confidence",
    topic="Calibration",
    claims="the calibration error on clean images is more than noise",
    unit="ECE",
    relation=RELATION,
    inconclusive=("Whether clean confidence is miscalibrated", "model"),
    decides="more images may show a smaller miscalibration",
)
def calibration_error(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> Iterator[Judged]:
    """The error of clean images beside the largest that chance explains; nothing where no logits are finite."""
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
        f"When clean the calibration error of {evaluation.label} is {error}, {beside} chance "
        f"gives a calibrated model (up to {format_number(clean.noise_floor, 4)}; "
        f"{format_count(clean.image_count, 'image')}).",
        clean.image_count,
        (clean.ece, clean.low, clean.high),
        CLEAN,
        0.0,
        query=f"{rows_of(RELATION, evaluation)} and severity = 0",
        p_value=clean.p_value,
    )
