"""Findings on attention: own clean centroid against another's of the class, and the object mask."""

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import duckdb
import polars as pl
import pytest
from checkpoint_comparisons import judged, of_kind
from synthetic_results import Synthetic, write_synthetic

from failmodes.analysis.judging.findings import attention_drift
from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.attention import AttentionAtLast, attention_at_last
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.schema import ATTENTION, PARTITIONS
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell, ShardKey, read_verified, shard_path, write_shard

NOTHING = AttentionAtLast([], {}, {}, {}, has_mask_null=False)


def test_centroids_are_compared_with_another_image_of_the_class(
    con: duckdb.DuckDBPyConnection, selection: Selection, all_findings: list[Finding]
) -> None:
    for evaluation in selection.evaluations:
        found = of_kind(all_findings, "attention_drift", evaluation_id=evaluation.evaluation_id)
        tests = attention_at_last(con, evaluation, selection.corruptions).own_maps
        strongest_first = sorted(tests, key=lambda test: -abs(test.share.value - 0.5))
        assert [finding.corruption for finding in found] == [test.corruption for test in strongest_first]
        for finding, test in zip(found, strongest_first, strict=True):
            assert (finding.value, finding.low, finding.high) == test.share
            assert "centroid" in finding.sentence
            assert "map" not in finding.sentence, "what is measured is named"
            assert f"{100 * finding.value:.1f}% [" in finding.sentence


@pytest.mark.parametrize(
    ("verdict", "share", "worst", "expected"),
    [
        ("nearer", (0.6, 0.55, 0.65), True, "supported"),
        ("nearer", (0.6, 0.55, 0.65), False, "inconclusive"),
        ("nearer", (0.52, 0.51, 0.53), False, "inconclusive"),
        ("farther", (0.4, 0.35, 0.45), True, "contradicted"),
        ("inconclusive", (0.52, 0.49, 0.549), True, "contradicted"),
        ("inconclusive", (0.52, 0.49, 0.55), True, "inconclusive"),
    ],
)
def test_a_place_is_kept_whatever_empty_maps_hide_and_lost_near_chance(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, verdict: str, share: tuple[float, float, float],
    worst: bool, expected: str,
) -> None:  # fmt: skip
    test = SimpleNamespace(
        corruption="fog",
        share=Estimate(*share),
        image_count=400,
        verdict=verdict,
        holds_in_worst_case=worst,
        p_nearer=0.3,
        p_lost=0.2,
    )
    monkeypatch.setattr(attention_drift, "attention_at_last", lambda *_: NOTHING._replace(own_maps=[test]))
    (found,) = judged(con, select_one(con, models=["Alpha"]), "attention_drift")
    assert (found.verdict, found.p_value) == (expected, 0.2)


def test_masks_say_where_attention_moves_to(
    con: duckdb.DuckDBPyConnection, selection: Selection, all_findings: list[Finding], synthetic: Synthetic
) -> None:
    for label, evaluation in zip(synthetic.evaluations, selection.evaluations, strict=True):
        found = of_kind(all_findings, "attention_off_object", model_label=label)
        changes = attention_at_last(con, evaluation, selection.corruptions).mask_changes
        assert {f.corruption: (f.value, f.low, f.high) for f in found} == {c: tuple(e) for c, e in changes.items()}
        for finding in found:
            assert finding.value == pytest.approx(-0.15, abs=0.02)
            assert finding.verdict == "supported"
            assert f"{-100 * finding.value:.1f}\u00a0points [" in finding.sentence
            assert "leave the object" in finding.sentence


def _with_null(output: Path, key: ShardKey, null: float) -> None:
    """Give a cell shares of another image's map, so much more than their own."""
    rows = pl.from_arrow(read_verified(shard_path(output, ATTENTION, key)).rows)
    assert isinstance(rows, pl.DataFrame)
    share = (pl.col("mask_share") + null).cast(pl.Float32)
    flag = pl.lit(None, pl.Boolean)
    rows = rows.with_columns(null_mask_share=share, null_pointing_hit=flag, pointing_hit=flag)
    write_shard(output, ATTENTION, key, rows.to_arrow().cast(ATTENTION.arrow(without=PARTITIONS)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nulls", "verdict", "text"),
    [
        ((-0.1, -0.1), "inconclusive", "less that of another image's map, changes by"),
        ((-0.1, -0.2), "contradicted", "more of the attention of Alpha lie on the object, beyond what another image's"),
    ],
)
def test_what_another_image_loses_too_is_no_loss(
    tmp_path: Path, nulls: tuple[float, float], verdict: str, text: str
) -> None:
    """The share on the object falls by 15 points; where the null falls as much, attention does not leave the object."""
    made = write_synthetic(tmp_path / "out", images=60, models=("Alpha",), corruptions=("fog",), severities=(2, 5))
    for cell, null in zip((CLEAN_CELL, Cell("fog", Decimal("5.000"))), nulls, strict=True):
        _with_null(made.output, ShardKey(made.evaluations["Alpha"], cell), null)
    load([made.output], tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con:
        (found,) = judged(con, select_one(con), "attention_off_object")
    assert found.verdict == verdict
    assert text in found.sentence.replace("\u00a0", " ")


def test_that_attention_lies_on_the_object_is_judged_where_it_is_claimed(
    tmp_path: Path, all_findings: list[Finding]
) -> None:
    """More of a map than of another image's: of clean images and at the last severity, and never as a finding."""
    made = write_synthetic(tmp_path / "out", images=60, models=("Alpha",), corruptions=("fog",), severities=(2, 5))
    for cell, null in ((CLEAN_CELL, -0.1), (Cell("fog", Decimal("5.000")), 0.1)):
        _with_null(made.output, ShardKey(made.evaluations["Alpha"], cell), null)
    load([made.output], tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con:
        selection = select_one(con)
        found = {finding.corruption: finding for finding in judged(con, selection, "attention_on_object")}
        shares = attention_at_last(con, selection.evaluations[0], selection.corruptions).over_null
    assert {c: (f.value, f.low, f.high) for c, f in found.items()} == {c: tuple(e) for c, e in shares.items()}
    assert {c: f.verdict for c, f in found.items()} == {"none": "supported", "fog": "contradicted"}
    assert found["none"].sentence.startswith("When clean 10.0\u00a0points [")
    assert not of_kind(all_findings, "attention_on_object")
