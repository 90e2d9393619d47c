"""Attention drift from the clean map beside its null: the same distance to another image's clean map."""

from dataclasses import replace
from typing import NamedTuple

import duckdb
import numpy as np
import polars as pl

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, Selection, read_for_selection, rows_at_last
from failmodes.analysis.statistics.bootstrap import Estimate, normal_estimate, share_estimate
from failmodes.warehouse.database.relations import is_current
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.measures.tables import ATTENTION_BEYOND_CONFIDENCE, ATTENTION_BY_ANSWER
from failmodes.warehouse.schema import CLEAN

MEASURES = ("mass", "spread", "attention_entropy_nats", "mask_share")
CLEAN_TARGET = "clean"  # one class per image along the whole curve: a change of prediction cannot pass for drift

_CLEAN_AND_LAST = (
    "with clean as (from attention where evaluation_id = $1 and corruption = $4 and target = $3), "
    f"last as (select * {rows_at_last('attention')} and target = $3)"
)


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

    clean: float
    change: Estimate


class AnswerResponse(NamedTuple):
    """Attention where the answer stays and where it changes, at the last severity, averaged over corruptions.

    Attributes:
        consistent: share of images whose answer stays and whose map is nearer to its own clean map than another clean
            map of the class is; 0.5 is chance.
        responsive: AUROC of the centroid shift for a changed answer; 0.5 is chance, None where no answer changes.
        beyond_confidence: AUROC of each score of attention for failures among images of like confidence, by score.
    """

    consistent: Estimate | None
    responsive: Estimate | None
    beyond_confidence: dict[str, Estimate]


@read_once
def cell_drifts(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[CellDrift]:
    """Drift of every cell that has it, by network, corruption and severity.

    Raises:
        WarehouseError: there is none; the message says why.
    """
    cells = read_for_selection(con, "attention_drift", selection).filter(
        pl.col("target") == CLEAN_TARGET,
        pl.col("median_centroid_shift").is_not_null(),
        pl.col("null_median_centroid_shift").is_not_null(),  # it takes two images to have one
    )
    if cells.is_empty():
        raise WarehouseError(f"no attention drift to show: {missing_drift_reason(selection)}")
    network = pl.col("evaluation_id").cast(pl.Enum(selection.ids))
    rows = cells.sort(network, "corruption_order", "severity", maintain_order=True).select(
        "label", "corruption", "severity", "accuracy", "median_centroid_shift", "null_median_centroid_shift",
        "null_q025_centroid_shift", "null_q975_centroid_shift",
    )  # fmt: skip
    return [CellDrift(*row) for row in rows.rows()]


def missing_drift_reason(selection: Selection) -> str:
    """Why no drift is on record, from the evaluations themselves."""
    without_note = (
        "one image was evaluated, and its drift is compared with the distance to another image's map"
        if selection.image_count == 1
        else "each image has an empty map, clean or corrupted"
    )
    return "; ".join(
        sorted({e.facts["attention_note"] or e.facts["pairing_note"] or without_note for e in selection.evaluations})
    )


@read_once
def drift_at_last(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> list[DriftTest]:
    """Drift against its null at the last severity of each corruption, the largest median shift first."""
    rows = con.execute(
        "select corruption, count_if(empty), median(centroid_shift), "
        "median(null_centroid_shift), avg(below_null), stddev_samp(below_null), count(below_null) "
        f"from (select *, null_centroid_shift - centroid_shift as below_null {rows_at_last('attention')} "
        "and target = $3) group by corruption having count(below_null) > 1 "
        "order by median(centroid_shift) desc",
        [evaluation.evaluation_id, list(selection.corruptions), CLEAN_TARGET],
    ).fetchall()
    return [
        DriftTest(corruption, empty, shift, null, normal_estimate(*below_null))
        for corruption, empty, shift, null, *below_null in rows
    ]


@read_once
def changes_at_last(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> dict[str, MeanChange]:
    """Change of mass, spread, entropy and mask share from clean to the last severity, by measure.

    Each image's change is averaged over corruptions first (without the extras), so that the interval counts images,
    not rows.
    """
    corruptions = list(selection.averaged)
    each = ", ".join(
        f"avg(last.{name} - clean.{name}) as {name}, "
        f"any_value(clean.{name}) filter (where last.{name} is not null and clean.{name} is not null) as clean_{name}"
        for name in MEASURES
    )
    told = ", ".join(f"avg(clean_{name}), avg({name}), stddev_samp({name}), count({name})" for name in MEASURES)
    (row,) = con.execute(
        f"{_CLEAN_AND_LAST}, each as (select {each} from last join clean using (image_id) group by image_id) "
        f"select {told} from each",
        [evaluation.evaluation_id, corruptions, CLEAN_TARGET, CLEAN],
    ).fetchall()
    found = {}
    for place, name in enumerate(MEASURES):
        clean, mean, spread, count = row[4 * place : 4 * place + 4]
        if count > 1:
            found[name] = MeanChange(clean, normal_estimate(mean, spread, count))
    return found


def mask_changes_at_last(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> dict[str, Estimate]:
    """Change of the mask share from clean to the last severity by corruption, where it is on record."""
    rows = con.execute(
        f"{_CLEAN_AND_LAST}, each as (select last.corruption, last.mask_share - clean.mask_share as change "
        "  from last join clean using (image_id)) "
        "select corruption, avg(change), stddev_samp(change), count(change) from each group by corruption",
        [evaluation.evaluation_id, list(selection.corruptions), CLEAN_TARGET, CLEAN],
    ).fetchall()
    changes = {corruption: normal_estimate(*change) for corruption, *change in rows if change[-1] > 1}
    return {corruption: changes[corruption] for corruption in selection.corruptions if corruption in changes}


def answer_response(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> AnswerResponse | None:
    """Whether attention is consistent and responsive (arXiv 2508.18154), and what it knows beyond confidence.

    Standard errors of a mean over corruptions are the mean of theirs, as if all said the same of the same images: the
    interval is rather too wide. Of a share they are binomial, of an AUROC for a change Hanley and McNeil's (1982).

    Returns:
        None where nothing is on record.
    """
    if not all(is_current(con, table.name) for table in (ATTENTION_BY_ANSWER, ATTENTION_BEYOND_CONFIDENCE)):
        return None
    averaged = replace(selection, corruptions=selection.averaged)
    mine = pl.col("evaluation_id") == evaluation.evaluation_id
    is_last = (pl.col("severity") > 0) & (pl.col("severity") == pl.col("severity").max().over("corruption"))
    rows = read_for_selection(con, ATTENTION_BY_ANSWER.name, averaged).filter(mine).filter(is_last)
    share, count = pl.col("stayed_nearer_share"), pl.col("stayed_null_count")
    nearer = rows.filter(count > 1).select(share, variance=share * (1 - share) / count)
    auroc, stayed, changed = pl.col("change_auroc"), pl.col("stayed_count"), pl.col("changed_count")
    q1, q2 = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    spread = auroc * (1 - auroc) + (changed - 1) * (q1 - auroc**2) + (stayed - 1) * (q2 - auroc**2)
    moved = rows.filter((stayed > 1) & (changed > 1)).select(auroc, variance=spread / (stayed * changed))
    within = read_for_selection(con, ATTENTION_BEYOND_CONFIDENCE.name, averaged).filter(mine).filter(is_last)
    beyond = {
        score: _mean_of(part.select("auroc_within", variance=pl.col("auroc_within_error") ** 2))
        for (score,), part in within.drop_nulls("auroc_within").partition_by("score", as_dict=True).items()
    }
    found = AnswerResponse(_mean_of(nearer), _mean_of(moved), {score: one for score, one in beyond.items() if one})
    return found if any(found) else None


def _mean_of(values: pl.DataFrame) -> Estimate | None:
    """Mean of values (first column) whose variances are the second, with its 95 % interval, within 0 and 1."""
    if values.is_empty():
        return None
    shares, variances = values.to_numpy().T
    return share_estimate(float(shares.mean()), float(np.sqrt(variances).mean()))
