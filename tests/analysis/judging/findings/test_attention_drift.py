"""Findings on attention: own clean centroid against another's of the class, and the object mask."""

from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pytest
from checkpoint_comparisons import judged
from opened_results import opened
from synthetic_results import Synthetic

from failmodes.analysis.evaluations.selection import select_one
from failmodes.analysis.judging.findings import attention_drift
from failmodes.analysis.statistics.attention import AttentionAtLast, OwnMapTest
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.warehouse.schema import ATTENTION, PARTITIONS
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell, ShardKey, read_verified, shard_path, write_shard


@pytest.mark.parametrize(
    ("share", "worst_case", "expected"),
    [
        ((0.6, 0.55, 0.65), (0.59, 0.51, 0.64), "supported"),
        ((0.6, 0.55, 0.65), (0.59, 0.49, 0.64), "inconclusive"),
        ((0.4, 0.35, 0.45), (0.4, 0.35, 0.45), "contradicted"),
        ((0.52, 0.49, 0.549), (0.52, 0.49, 0.549), "contradicted"),
        ((0.52, 0.49, 0.55), (0.52, 0.49, 0.55), "inconclusive"),
    ],
)
def test_a_place_is_kept_whatever_empty_maps_hide_and_lost_near_chance(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, share: tuple[float, float, float],
    worst_case: tuple[float, float, float], expected: str,
) -> None:  # fmt: skip
    test = OwnMapTest("fog", 0, 0.0, 0.0, Estimate(*share, n=400), Estimate(*worst_case), p_nearer=0.3, p_lost=0.2)
    given = AttentionAtLast([test], {}, {}, has_mask_null=False)
    monkeypatch.setattr(attention_drift, "attention_at_last", lambda *_: given)
    (found,) = judged(con, select_one(con, models=["Alpha"]), "attention_drift")
    assert (found.verdict, found.p_value) == (expected, 0.2)


def _with_null(output: Path, key: ShardKey, null: float) -> None:
    """Give a cell shares of another image's map, so much more than their own."""
    rows = pl.from_arrow(read_verified(shard_path(output, ATTENTION, key)).rows.drop_columns("severity"))
    share = (pl.col("mask_share") + null).cast(pl.Float32)
    flag = pl.lit(None, pl.Boolean)
    rows = rows.with_columns(null_mask_share=share, null_pointing_hit=flag, pointing_hit=flag)
    write_shard(output, ATTENTION, key, rows.to_arrow().cast(ATTENTION.arrow(without=PARTITIONS)))


@pytest.mark.test_all
def test_what_another_image_loses_too_is_no_loss(tmp_path: Path) -> None:
    """The share on the object falls by 15 points; where the null falls as much, attention does not leave the object."""
    nulls = {"Equal": (-0.1, -0.1), "Lower": (-0.1, -0.2), "Higher": (-0.1, 0.1)}

    def with_nulls(made: Synthetic) -> None:
        for model, of_cells in nulls.items():
            for cell, null in zip((CLEAN_CELL, Cell("fog", Decimal("5.000"))), of_cells, strict=True):
                _with_null(made.output, ShardKey(made.evaluations[model], cell), null)

    options = {"images": 60, "models": tuple(nulls), "corruptions": ("fog",), "severities": (5,)}
    with opened(tmp_path, with_nulls, **options) as it:
        off = {one.model_label: one.verdict for one in judged(it.con, it.selection, "attention_off_object")}
        on = {(one.model_label, one.corruption): one.verdict
              for one in judged(it.con, it.selection, "attention_on_object")}  # fmt: skip
    assert off == {"Equal": "inconclusive", "Lower": "contradicted", "Higher": "supported"}
    assert on == {(model, cell): "supported" for model in nulls for cell in ("none", "fog")} | {
        ("Higher", "fog"): "contradicted"
    }
