"""Attention drift from the clean map, held against its null: the same distance to another image's clean map."""

from dataclasses import replace
from typing import NamedTuple

import duckdb
import polars as pl

from failmodes.analysis.estimate import NORMAL_975, Estimate
from failmodes.analysis.selection import EvaluationInfo, Selection, read_for_selection
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.schema import CLEAN

MEASURES = ("mass", "spread", "attention_entropy_nats", "mask_share")

CLEAN_TARGET = "clean"  # one class per image along the whole curve: a change of prediction cannot pass for drift


class CellDrift(NamedTuple):
    """Drift of one cell: median centroid shift and its null over images, in image widths."""

    label: str
    corruption: str
    severity: float
    accuracy: float
    shift: float
    null_median: float
    null_low: float
    null_high: float


class DriftTest(NamedTuple):
    """Drift at a corruption's last severity against its null, over images where both exist.

    `below_null` is the mean of (null shift - shift) with its 95 % interval: above zero, a map stays nearer to its own
    clean map than to another image's.
    """

    corruption: str
    severity: float
    image_count: int
    empty_count: int
    median_shift: float
    median_null: float
    below_null: Estimate

    @property
    def verdict(self) -> str:
        """'nearer', 'farther' or 'undecided'."""
        if self.below_null.above_zero:
            return "nearer"
        return "farther" if self.below_null.below_zero else "undecided"


class MeanChange(NamedTuple):
    """Mean change from clean, image by image, averaged over corruptions at their last severity, and the clean mean."""

    measure: str
    clean: float
    change: Estimate


def cell_drifts(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[CellDrift]:
    """Drift of every cell that has it, by network, corruption and severity.

    Raises:
        WarehouseError: there is none; the message says why.
    """
    cells = read_for_selection(con, "attention_drift", selection).filter(
        pl.col("target") == CLEAN_TARGET, pl.col("median_centroid_shift").is_not_null()
    )
    if cells.is_empty():
        raise WarehouseError(f"no attention drift to show: {missing_drift_reason(selection)}")
    order = {label: place for place, label in enumerate(selection.labels.values())}
    rows = sorted(cells.rows(named=True), key=lambda r: (order[r["label"]], r["corruption_order"], r["severity"]))
    return [
        CellDrift(
            r["label"], r["corruption"], r["severity"], r["accuracy"], r["median_centroid_shift"],
            r["null_median_centroid_shift"], r["null_q025_centroid_shift"], r["null_q975_centroid_shift"],
        )
        for r in rows
    ]  # fmt: skip


def missing_drift_reason(selection: Selection) -> str:
    """Why no drift is on record, from the evaluations themselves."""
    reasons = {
        e.facts["attention_note"] or e.facts["pairing_note"] or f"attention method: {e.facts['attention_method']}"
        for e in selection.evaluations
    }
    return "; ".join(sorted(reasons))


def drift_at_last(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> list[DriftTest]:
    """Drift against its null at the last severity of each corruption."""
    rows = con.execute(
        "with last as (select corruption, max(severity) as severity from attention "
        "  where evaluation_id = $1 and corruption = any($2) group by corruption) "
        "select a.corruption, a.severity::double, count(*), count_if(a.empty), median(centroid_shift), "
        "  median(null_centroid_shift), avg(null_centroid_shift - centroid_shift), "
        "  stddev_samp(null_centroid_shift - centroid_shift), count(null_centroid_shift - centroid_shift) "
        "from attention as a join last using (corruption, severity) "
        "where a.evaluation_id = $1 and a.target = $3 group by a.corruption, a.severity "
        "having count(null_centroid_shift - centroid_shift) > 1 order by median(centroid_shift) desc",
        [evaluation.evaluation_id, list(selection.corruptions), CLEAN_TARGET],
    ).fetchall()
    return [
        DriftTest(corruption, severity, images, empty, shift, null, _normal(mean, deviation, count))
        for corruption, severity, images, empty, shift, null, mean, deviation, count in rows
    ]


def changes_at_last(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> list[MeanChange]:
    """Change of mass, spread, entropy and mask share from clean to the last severity.

    Each image's change is averaged over corruptions first (without the extras), so that the interval counts images,
    not rows.
    """
    selection = replace(selection, corruptions=selection.averaged)
    found = []
    for measure in MEASURES:
        change = change_at_last(con, selection, evaluation, measure)
        found += [change] if change else []
    return found


def change_at_last(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo, measure: str
) -> MeanChange | None:
    """Change of one of MEASURES from clean to the last severity; None where it is not on record."""
    assert measure in MEASURES, measure
    row = fetch_first(
        con,
        "with last as (select corruption, max(severity) as severity from attention "
        "  where evaluation_id = $1 and corruption = any($2) group by corruption), "
        f"clean as (select image_id, {measure} as value from attention "
        "  where evaluation_id = $1 and corruption = $3 and target = $4), "
        f"each as (select a.image_id, avg(a.{measure} - clean.value) as change, any_value(clean.value) as value "
        "  from attention as a join last using (corruption, severity) join clean using (image_id) "
        f"  where a.evaluation_id = $1 and a.target = $4 and a.{measure} is not null and clean.value is not null "
        "  group by a.image_id) "
        "select avg(value), avg(change), stddev_samp(change), count(*) from each",
        [evaluation.evaluation_id, list(selection.corruptions), CLEAN, CLEAN_TARGET],
    )
    return MeanChange(measure, row[0], _normal(*row[1:])) if row and row[3] > 1 else None


def _normal(mean: float, deviation: float, count: int) -> Estimate:
    half = NORMAL_975 * deviation / count**0.5
    return Estimate(mean, mean - half, mean + half)
