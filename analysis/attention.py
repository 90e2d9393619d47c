"""Attention drift from the clean map, held against its null: the same distance to another image's clean map."""

from dataclasses import replace
from typing import NamedTuple

import duckdb
import polars as pl

from analysis.reading import first_row
from analysis.selection import Evaluation, Selection, table
from analysis.words import MOST_LISTED, NO_BREAK, NORMAL_975, Estimate, level, listing, number, within
from warehouse.errors import WarehouseError
from warehouse.schema import CLEAN

MEASURES = ("mass", "spread", "attention_entropy_nats", "mask_share")
TARGET = "clean"  # one class per image along the whole curve: a change of prediction cannot pass for drift


class ShiftCell(NamedTuple):
    """Drift of one cell: median centroid shift and its null over images, in image widths."""

    label: str
    corruption: str
    severity: float
    accuracy: float
    shift: float
    null_median: float
    null_low: float
    null_high: float


class Drift(NamedTuple):
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


class Change(NamedTuple):
    """Mean change from clean, image by image, averaged over corruptions at their last severity, and the clean mean."""

    measure: str
    clean: float
    change: Estimate


def shifts(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[ShiftCell]:
    """Drift of every cell that has it, by network, corruption and severity.

    Raises:
        WarehouseError: there is none; the message says why.
    """
    cells = table(con, "attention_drift", selection).filter(
        pl.col("target") == TARGET, pl.col("median_centroid_shift").is_not_null()
    )
    if cells.is_empty():
        raise WarehouseError(f"no attention drift to show: {why_missing(selection)}")
    order = {label: place for place, label in enumerate(selection.labels.values())}
    rows = sorted(cells.rows(named=True), key=lambda r: (order[r["label"]], r["corruption_order"], r["severity"]))
    return [
        ShiftCell(
            r["label"], r["corruption"], r["severity"], r["accuracy"], r["median_centroid_shift"],
            r["null_median_centroid_shift"], r["null_q025_centroid_shift"], r["null_q975_centroid_shift"],
        )
        for r in rows
    ]  # fmt: skip


def why_missing(selection: Selection) -> str:
    """Why no drift is on record, from the evaluations themselves."""
    reasons = {
        e.facts["attention_note"] or e.facts["pairing_note"] or f"attention method: {e.facts['attention_method']}"
        for e in selection.evaluations
    }
    return "; ".join(sorted(reasons))


def drift_at_last(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: Evaluation) -> list[Drift]:
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
        [evaluation.evaluation_id, list(selection.corruptions), TARGET],
    ).fetchall()
    return [
        Drift(corruption, severity, images, empty, shift, null, _normal(mean, deviation, count))
        for corruption, severity, images, empty, shift, null, mean, deviation, count in rows
    ]


def changes_at_last(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: Evaluation) -> list[Change]:
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
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: Evaluation, measure: str
) -> Change | None:
    """Change of one of MEASURES from clean to the last severity; None where it is not on record."""
    assert measure in MEASURES, measure
    row = first_row(
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
        [evaluation.evaluation_id, list(selection.corruptions), CLEAN, TARGET],
    )
    return Change(measure, row[0], _normal(*row[1:])) if row and row[3] > 1 else None


def shift_sentence(cells: list[ShiftCell], names: dict[str, str]) -> str:
    """Where attention moves most, beside the null: in each network, or of many in how many."""
    far = [max((c for c in cells if c.label == label), key=lambda c: c.shift)
           for label in dict.fromkeys(cell.label for cell in cells)]  # fmt: skip
    if len(far) > MOST_LISTED:
        return _shift_tally(far, names)
    amounts = [
        f"{number(c.shift, 2)} image{NO_BREAK}widths in {c.label} (null {number(c.null_median, 2)})" for c in far
    ]
    if len({c.corruption for c in far}) == 1:
        first = far[0]
        place = f"{within(names[first.corruption])} at severity {level(first.severity)}"
        return f"Attention moves most under {place}: {listing(amounts)}"
    named = [f"{amount} under {within(names[c.corruption])}" for amount, c in zip(amounts, far, strict=True)]
    return f"Attention moves at most by {listing(named)}"


def _shift_tally(far: list[ShiftCell], names: dict[str, str]) -> str:
    """Under which corruption how many networks' attention moves most, and the least and the largest of these shifts."""
    where = [c.corruption for c in far]
    ordered = sorted(set(where), key=lambda c: -where.count(c))
    tally = listing(f"under {within(names[c])} in {where.count(c)}" for c in ordered)
    ends = [f"{number(c.shift, 2)} in {c.label} (null {number(c.null_median, 2)})"
            for c in (min(far, key=lambda c: c.shift), max(far, key=lambda c: c.shift))]  # fmt: skip
    return (
        f"Of {len(far)} networks, attention moves most {tally}: from {ends[0]} to {ends[1]}, in image{NO_BREAK}widths"
    )


def _normal(mean: float, deviation: float, count: int) -> Estimate:
    half = NORMAL_975 * deviation / count**0.5
    return Estimate(mean, mean - half, mean + half)
