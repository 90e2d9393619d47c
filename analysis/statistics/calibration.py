"""Whether confidence keeps up with accuracy: overconfidence, calibration error, and confident failures."""

from dataclasses import replace
from typing import NamedTuple

import duckdb
import polars as pl

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, Selection, read_for_selection, rows_at_last
from failmodes.analysis.statistics.bootstrap import NORMAL_975, Estimate, normal_estimate
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.schema import CLEAN

HIGH_CONFIDENCE = 0.9  # confidence from which a failure counts as confident, as in the view confident_failures


class CalibrationSummary(NamedTuple):
    """Confidence of one evaluation, clean and at the last severity of each corruption.

    Overconfidence is mean confidence minus accuracy; intervals count images: an image's differences are averaged over
    corruptions first. Images without finite logits are left out. A noise floor is the 95 % quantile of the ECE that a
    calibrated network of the same confidences would show.
    """

    clean_overconfidence: Estimate
    last_overconfidence: Estimate
    clean_ece: float
    clean_noise_floor: float
    last_ece_mean: float
    last_ece_worst: float
    worst_noise_floor: float
    worst_corruption: str
    bin_count: int
    confident_failures: Estimate | None
    failure_count: int


@read_once
def calibration_summary(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> CalibrationSummary:
    """Measure the confidence of one evaluation, without the extra corruptions."""
    selection = replace(selection.only(evaluation), corruptions=selection.averaged)
    cells = read_for_selection(con, "calibration_by_severity", selection)
    last = cells.filter(pl.col("severity") == pl.col("severity").max().over("corruption")).sort("ece", descending=True)
    clean = cells.filter(severity=0.0)
    confident, failures = _confident_failures(con, selection, evaluation)
    return CalibrationSummary(
        clean_overconfidence=_overconfidence(con, evaluation, [CLEAN]),
        last_overconfidence=_overconfidence(con, evaluation, list(selection.corruptions)),
        clean_ece=float(clean["ece"][0]),
        clean_noise_floor=float(clean["ece_noise_floor"][0]),
        last_ece_mean=float(last.select(pl.col("ece").mean()).item()),
        last_ece_worst=float(last["ece"][0]),
        worst_noise_floor=float(last["ece_noise_floor"][0]),
        worst_corruption=str(last["corruption"][0]),
        bin_count=int(clean["bin_count"][0]),
        confident_failures=confident,
        failure_count=failures,
    )


def _overconfidence(con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo, corruptions: list[str]) -> Estimate:
    row = fetch_first(
        con,
        f"with each as (select avg(confidence - correct::int) as overconfidence {rows_at_last('outcomes')} and finite "
        "group by image_id) select avg(overconfidence), coalesce(stddev_samp(overconfidence), 0), count(*) from each",
        [evaluation.evaluation_id, corruptions],
    )
    assert row is not None, "an aggregate without groups has one row"
    if not row[2]:
        raise WarehouseError(f"{evaluation.label} has no image with finite logits in {', '.join(corruptions)}")
    return normal_estimate(*row)


def _confident_failures(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> tuple[Estimate | None, int]:
    """Share of failures at the last severity with confidence of at least HIGH_CONFIDENCE, and the number of failures.

    A ratio of two sums over images; its interval is the linearised one, with images as the units.
    """
    rows = con.sql(
        "select count_if(confidence >= $3) as confident, count(*) as failures "
        f"{rows_at_last('outcomes')} and not correct group by image_id",
        params=[evaluation.evaluation_id, list(selection.corruptions), HIGH_CONFIDENCE],
    ).pl()
    failures = int(rows["failures"].sum())
    if not failures:
        return None, 0
    share = float(rows["confident"].sum()) / failures
    residual = (rows["confident"] - share * rows["failures"]).to_numpy()
    half = NORMAL_975 * float((residual**2).sum()) ** 0.5 / failures
    return Estimate(share, max(0.0, share - half), min(1.0, share + half)), failures
