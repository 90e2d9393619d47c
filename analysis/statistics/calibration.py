"""Whether confidence keeps up with accuracy: over-confidence, calibration error, and failures that sound sure."""

from dataclasses import replace
from typing import NamedTuple

import duckdb
import polars as pl

from failmodes.analysis.estimate import NORMAL_975, Estimate
from failmodes.analysis.selection import EvaluationInfo, Selection, read_for_selection
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.schema import CLEAN

HIGH_CONFIDENCE = 0.9  # confidence from which a failure counts as confident, as in the view confident_failures


class CalibrationSummary(NamedTuple):
    """Confidence of one evaluation, clean and at the last severity of each corruption.

    Gaps are mean confidence minus accuracy; intervals count images: an image's gaps are averaged over corruptions
    first. Images without finite logits are left out.
    """

    clean_gap: Estimate
    last_gap: Estimate
    clean_ece: float
    last_ece_mean: float
    last_ece_worst: float
    worst_corruption: str
    bin_count: int
    sure_failures: Estimate | None
    failure_count: int


def calibration_summary(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> CalibrationSummary:
    """Measure the confidence of one evaluation, without the extra corruptions."""
    selection = replace(selection.only(evaluation), corruptions=selection.averaged)
    cells = read_for_selection(con, "calibration_by_severity", selection)
    last = cells.filter(pl.col("severity") == pl.col("severity").max().over("corruption")).sort("ece", descending=True)
    clean = cells.filter(severity=0.0)
    sure, failures = _sure_failures(con, selection, evaluation)
    return CalibrationSummary(
        clean_gap=_gap(con, evaluation, [CLEAN]),
        last_gap=_gap(con, evaluation, list(selection.corruptions)),
        clean_ece=float(clean["ece"][0]),
        last_ece_mean=float(last.select(pl.col("ece").mean()).item()),
        last_ece_worst=float(last["ece"][0]),
        worst_corruption=str(last["corruption"][0]),
        bin_count=int(clean["bin_count"][0]),
        sure_failures=sure,
        failure_count=failures,
    )


_LAST = (
    "with last as (select corruption, max(severity) as severity from outcomes "
    "where evaluation_id = $1 and corruption = any($2) group by corruption) "
)


def _gap(con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo, corruptions: list[str]) -> Estimate:
    row = fetch_first(
        con,
        f"{_LAST}, each as (select image_id, avg(confidence - correct::int) as gap "
        "from outcomes join last using (corruption, severity) where evaluation_id = $1 and finite group by image_id) "
        "select avg(gap), coalesce(stddev_samp(gap), 0), count(*) from each",
        [evaluation.evaluation_id, corruptions],
    )
    assert row is not None, "an aggregate without groups has one row"
    mean, deviation, count = row
    half = NORMAL_975 * deviation / count**0.5
    return Estimate(mean, mean - half, mean + half)


def _sure_failures(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> tuple[Estimate | None, int]:
    """Share of failures at the last severity with confidence of at least SURE, and the number of failures.

    A ratio of two sums over images; its interval is the linearised one, with images as the units.
    """
    rows = con.sql(
        f"{_LAST} select image_id, count_if(confidence >= $3) as sure, count(*) as failures "
        "from outcomes join last using (corruption, severity) where evaluation_id = $1 and not correct group by all",
        params=[evaluation.evaluation_id, list(selection.corruptions), HIGH_CONFIDENCE],
    ).pl()
    failures = int(rows["failures"].sum())
    if not failures:
        return None, 0
    share = float(rows["sure"].sum()) / failures
    residual = (rows["sure"] - share * rows["failures"]).to_numpy()
    half = NORMAL_975 * float((residual**2).sum()) ** 0.5 / failures
    return Estimate(share, max(0.0, share - half), min(1.0, share + half)), failures
