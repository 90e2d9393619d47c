"""Attention against the grad-cam package, and its statistics against SciPy and cases by hand."""

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_study import hashes, run_and_read

from failmodes.evaluate.engine.clean_baseline import sample_null_pairs
from failmodes.warehouse.schema import ATTENTION, CLEAN_MAPS
from failmodes.warehouse.shards.format import CLEAN_CELL, ShardKey, list_record_files, read_verified, shard_path


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_partners_are_derangements_within_their_bounds(labels: list[int]) -> None:
    labels_array = np.array(labels)
    partners = sample_null_pairs(labels_array)
    positions = np.arange(len(labels))
    if len(labels) > 1:
        assert sorted(partners.any_image) == list(positions)
        assert not (partners.any_image == positions).any()
    has = partners.same_class >= 0
    assert (partners.same_class[has] != positions[has]).all()
    assert (labels_array[partners.same_class[has]] == labels_array[has]).all()
    assert [labels.count(c) == 1 for c in labels] == list(~has)


def test_clean_drift_is_none_and_both_targets_agree_on_clean_images(tiny_run) -> None:
    _, study, _ = tiny_run
    evaluation_id = next(list_record_files(study.output, CLEAN_MAPS)).stem
    rows = pl.from_arrow(read_verified(shard_path(study.output, ATTENTION, ShardKey(evaluation_id, CLEAN_CELL))).rows)
    assert rows["centroid_shift"].max() < 1e-6
    assert (1 - rows["cosine"]).abs().max() < 1e-5
    assert rows["null_cosine"].mean() < 0.999
    targets = rows.pivot(on="target", index="image_id", values="target_class")
    assert targets["clean"].equals(targets["predicted"])
    assert rows["mask_share"].is_between(0, 1).all()


def test_lost_clean_maps_are_made_again(tiny_run_copy) -> None:
    path, output, expected = tiny_run_copy
    next(list_record_files(output, CLEAN_MAPS)).unlink()
    assert run_and_read(path)[0].written == 1
    assert hashes(output) == expected
