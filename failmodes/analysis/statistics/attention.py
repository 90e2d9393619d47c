"""Attention drift from the clean map beside its null: the same distance to another image's clean map."""

from typing import NamedTuple

import duckdb
import polars as pl

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, Selection, read_for_selection
from failmodes.analysis.statistics.attention_at_last import attention_at_last
from failmodes.analysis.statistics.attention_lead import Lead
from failmodes.analysis.statistics.attention_null import OwnMapTest
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.warehouse.errors import WarehouseError


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


@read_once
def cell_drifts(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[CellDrift]:
    """Drift of every cell that has it, by model, corruption and severity.

    Raises:
        WarehouseError: there is none; the message says why.
    """
    cells = read_for_selection(con, "attention_drift", selection).filter(
        pl.col("median_centroid_shift").is_not_null(),
        pl.col("null_median_centroid_shift").is_not_null(),  # it takes two images to have one
    )
    if cells.is_empty():
        raise WarehouseError(f"no attention drift to show: {missing_drift_reason(selection)}")
    model = pl.col("evaluation_id").cast(pl.Enum(selection.ids))
    rows = cells.sort(model, "corruption_order", "severity", maintain_order=True).select(
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


def own_map_tests(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo, *, comparisons: int = 1
) -> list[OwnMapTest]:
    """Whether maps stay nearer to their own clean map at the last severity of each corruption, largest shift first.

    Corruptions with fewer than two images that have another of their class, or without any distance to compare, are
    left out. Where images are missing from the warehouse, it cannot be known which other image each was compared with:
    intervals then take the largest correlation that was measured (`attention_null.LARGEST_CORRELATION`).

    Args:
        con: the warehouse.
        selection: names the corruptions.
        evaluation: one of its evaluations.
        comparisons: the intervals of so many tests hold together, say of all corruptions (Bonferroni).
    """
    tests = attention_at_last(con, evaluation, selection.corruptions).own_maps
    return [test._replace(comparisons=comparisons) for test in tests]


def farthest_corruption(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> Lead | None:
    """The corruption with the largest median centroid shift at the last severity, and its lead in mean shift.

    Both in image widths; the lead is paired, over images that have a shift under both corruptions.
    """
    return attention_at_last(con, evaluation, selection.corruptions).farthest


def mask_changes_at_last(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> dict[str, Estimate]:
    """Change of the mask share, less its null, from clean to the last severity by corruption, where it is on record."""
    return attention_at_last(con, evaluation, selection.corruptions).mask_changes


def shares_over_null(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> dict[str, Estimate]:
    """Mean share of maps on the object less another image's, at the last severity by corruption, and 'none' of clean.

    Empty where there are no masks, or no other image's map on record.
    """
    return attention_at_last(con, evaluation, selection.corruptions).over_null


def has_mask_null(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> bool:
    """Whether the null of `mask_changes_at_last` is another image's map; in older rows it is 0."""
    return attention_at_last(con, evaluation, selection.corruptions).has_mask_null
