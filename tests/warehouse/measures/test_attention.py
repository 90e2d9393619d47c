"""Attention by answer and beyond confidence: against SciPy and scikit-learn, image by image."""

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, rankdata
from sklearn.metrics import roc_auc_score
from view_cells import near

from failmodes.warehouse.measures.ranking import rank, ranked
from failmodes.warehouse.measures.tenths import measure_within_tenths, tenths_of


def test_attention_by_prediction_agrees_with_scipy_image_by_image(con: duckdb.DuckDBPyConnection) -> None:
    rows = con.sql("from attention_by_prediction").pl().rows(named=True)
    assert (
        len(rows) == con.sql("select 1 from shards where table_name = 'attention' and corruption <> 'none'").pl().height
    )
    moved = 0
    for row in rows:
        cell = con.sql(
            "select shift.centroid_shift, shift.null_class_centroid_shift as other, "
            "here.predicted <> clean.predicted as changed from attention as shift "
            "join prediction_facts as here using (evaluation_id, corruption, severity, image_id) "
            "join prediction_facts as clean on clean.evaluation_id = shift.evaluation_id and clean.corruption = 'none' "
            "and clean.image_id = shift.image_id where shift.target = 'clean' and shift.evaluation_id = ? "
            "and shift.corruption = ? and shift.severity = ? and shift.centroid_shift is not null",
            params=[row["evaluation_id"], row["corruption"], row["severity"]],
        ).pl()  # fmt: skip
        stayed, changed = cell.filter(~pl.col("changed")), cell.filter("changed")
        assert (row["stayed_count"], row["changed_count"]) == (stayed.height, changed.height)
        assert row["stayed_median_centroid_shift"] == near(stayed["centroid_shift"].median())
        assert row["changed_median_centroid_shift"] == near(changed["centroid_shift"].median())
        assert row["null_class_median_centroid_shift"] == near(cell["other"].median())
        known = stayed.drop_nulls("other")
        nearer = np.sign(known["other"].to_numpy() - known["centroid_shift"].to_numpy())
        assert row["stayed_null_count"] == known.height
        assert row["stayed_nearer_share"] == near(float((nearer + 1).mean() / 2))
        if stayed.height and changed.height:
            wins = mannwhitneyu(changed["centroid_shift"], stayed["centroid_shift"]).statistic
            assert row["change_auroc"] == near(wins / stayed.height / changed.height)
            moved += 1
    assert moved > 10


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([0.1, 0.5, 0.9, 1.0, np.nan]), min_size=1, max_size=40))
def test_tenths_are_those_of_mid_ranks(confidence: list[float]) -> None:
    values = np.array(confidence, np.float32)
    known = values[~np.isnan(values)]
    expected = np.floor(10 * (rankdata(np.nan_to_num(values, nan=-1)) - 0.5) / len(values))
    for of_these in (values, known):  # those that are not ranked are the least sure, as those of no number
        keys = ranked(of_these, np.zeros(len(of_these), np.bool_))
        assert tenths_of(values, keys).tolist() == expected.tolist()


def test_a_score_that_confidence_explains_knows_nothing_beyond_it() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(20_000).astype(np.float32)
    failed = rng.random(20_000) > confidence
    echo = confidence + rng.normal(0, 0.3, 20_000).astype(np.float32)
    assert roc_auc_score(failed, -echo) > 0.7
    tenths = tenths_of(confidence, ranked(confidence, failed))
    found = measure_within_tenths(rank(echo, failed), tenths)
    assert found["auroc_within"] - 0.5 < 0.03, "what is left lies within a tenth"
    helpful = np.where(failed, -1, 1) + rng.normal(0, 2, 20_000).astype(np.float32)
    found = measure_within_tenths(rank(helpful.astype(np.float32), failed), tenths)
    assert found["auroc_within"] == pytest.approx(roc_auc_score(failed, -helpful), abs=0.02)
    assert abs(found["auroc_within"] - roc_auc_score(failed, -helpful)) < 4 * found["auroc_within_error"]
    assert found["pair_count"] < failed.sum() * (~failed).sum() / 8


def test_tenths_without_both_kinds_compare_nothing() -> None:
    correct = np.zeros(50, np.bool_)
    alike = np.ones(50, np.float32)
    found = measure_within_tenths(
        rank(np.arange(50, dtype=np.float32), correct), tenths_of(alike, ranked(alike, correct))
    )
    assert (found["auroc_within"], found["auroc_within_error"], found["pair_count"]) == (None, None, 0)
    assert (found["image_count"], found["failure_count"]) == (50, 0)
