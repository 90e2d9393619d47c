"""The clean baseline: maps for drift, and predictions changed by a lower precision."""

import dataclasses

import numpy as np
import polars as pl
import pytest
import torch

from failmodes.evaluate.engine.clean_baseline import changed_predictions
from failmodes.evaluate.engine.plan import plan_evaluations
from failmodes.evaluate.study.study_file import read_study
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.warehouse.null_pairs import sample_null_pairs
from failmodes.warehouse.schema import ATTENTION, CLEAN_MAPS, PREDICTION_FACTS
from failmodes.warehouse.shards.format import CLEAN_CELL, ShardKey, list_results_files, read_verified, shard_path


def test_clean_drift_is_none_and_both_targets_agree_on_clean_images(tiny_run) -> None:
    _, study, _ = tiny_run
    evaluation_id = next(list_results_files(study.output, CLEAN_MAPS)).stem
    rows = pl.from_arrow(read_verified(shard_path(study.output, ATTENTION, ShardKey(evaluation_id, CLEAN_CELL))).rows)
    assert rows["centroid_shift"].max() < 1e-6
    assert (1 - rows["cosine"]).abs().max() < 1e-5
    assert rows["null_cosine"].mean() < 0.999
    targets = rows.pivot(on="target", index="image_id", values="target_class")
    assert targets["clean"].equals(targets["predicted"])
    assert rows["mask_share"].is_between(0, 1).all()


def test_null_pairs_follow_from_the_rows_of_the_results(tiny_run) -> None:
    _, study, _ = tiny_run
    evaluation_id = next(list_results_files(study.output, CLEAN_MAPS)).stem
    key = ShardKey(evaluation_id, CLEAN_CELL)
    attention = pl.from_arrow(read_verified(shard_path(study.output, ATTENTION, key)).rows).filter(target="clean")
    labels = pl.from_arrow(read_verified(shard_path(study.output, PREDICTION_FACTS, key)).rows).select(
        "image_id", "label"
    )
    rows = attention.join(labels, on="image_id").sort("image_id")
    centroids = rows.select("centroid_x", "centroid_y").to_numpy()
    pairs = sample_null_pairs(rows["label"].to_numpy())
    for pair, column in ((pairs.any_image, "null_centroid_shift"), (pairs.same_class, "null_class_centroid_shift")):
        distances = np.hypot(*(centroids - centroids[pair]).T)
        np.testing.assert_allclose(np.where(pair < 0, np.nan, distances), rows[column].to_numpy(), atol=1e-5)


def test_changed_predictions_are_those_that_float32_gives_differently(two_trained_models) -> None:
    study = read_study(two_trained_models[0])
    (evaluation, _), *_ = plan_evaluations(study, open_dataset(study.dataset, study.cache), torch.device("cpu"))
    lower = dataclasses.replace(evaluation.model, precision="bfloat16")
    images = evaluation.data.dataset.images[evaluation.data.subset.clean_ids]
    predictions = [one.predict(images).argmax(1) for one in (evaluation.model, lower)]
    expected = float((predictions[0] != predictions[1]).float().mean())
    found = changed_predictions(dataclasses.replace(evaluation, model=lower), 8)
    assert found == pytest.approx(expected, abs=2 / len(images))
    assert changed_predictions(evaluation, 8) == 0
