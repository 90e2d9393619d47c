"""Published trees as ImageNet-C's: what they hold, how their images find their clean twins, and what is wrong."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

pytest.importorskip("torch")

from corrupted_datasets import write_published
from tiny_study import CELLS, hashes, run_and_read, write_tiny_study

from failmodes.evaluate.engine.run import evaluate_study
from failmodes.evaluate.study.study_file import read_study
from failmodes.evaluate.study_models import train_missing
from failmodes.ingest.corrupted_datasets.command import write_corrupted_dataset
from failmodes.ingest.corrupted_datasets.options import parse_options
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.warehouse.schema import ATTENTION, EVALUATIONS, EXEMPLARS, PREDICTION_FACTS
from failmodes.warehouse.shards.format import list_results_files, read_verified


@pytest.mark.slow
def test_a_study_of_a_tree_has_the_rows_of_its_images_and_no_drift_where_they_do_not_pair(tmp_path: Path) -> None:
    path = write_tiny_study(tmp_path)
    study = read_study(path)
    dataset = open_dataset(study.dataset, study.cache)
    train_missing(study, dataset)
    evaluate_study(study, dataset)
    generated = predictions_of(tmp_path / "out")
    names = [str(name) for name in study.corruptions.names]
    request = parse_options(
        "digits", layout="imagenet-c", encoding="png", corruptions=names, severities=["1", "5"], recipe=None, seed=0,
        noise="shared", across_switches=False,
    )  # fmt: skip
    write_corrupted_dataset(study.dataset, request, tmp_path / "C")
    path.write_text(path.read_text().replace("seeds = [0]\n\n", f'published = "{tmp_path}/C"\n\n', 1))
    shutil.rmtree(tmp_path / "out" / "results")
    evaluate_study(read_study(path), dataset)
    assert predictions_of(tmp_path / "out") == generated, "without loss: the same pixels, the same rows"
    for file in sorted((tmp_path / "C").rglob("*.png")):
        file.rename(file.with_name(f"test_{file.name}"))
    shutil.rmtree(tmp_path / "out" / "results")
    evaluate_study(read_study(path), dataset)
    row = read_verified(next(iter(list_results_files(tmp_path / "out", EVALUATIONS)))).rows.to_pylist()[0]
    assert not row["paired"]
    assert "no image of the set is called as a clean one" in row["pairing_note"]
    corrupted = [p for p in list_results_files(tmp_path / "out", ATTENTION) if "corruption=none" not in str(p)]
    assert len(corrupted) == 4
    for file in corrupted:
        rows = read_verified(file).rows
        assert rows["centroid_shift"].null_count == rows["null_cosine"].null_count == len(rows)


def predictions_of(output: Path) -> dict[str, str]:
    """Content hashes by corruption and severity."""
    files = list_results_files(output, PREDICTION_FACTS)
    return {str(path).split("corruption=")[1]: read_verified(path).content_hash for path in files}


def point_at_published(path: Path, folder: Path) -> None:
    path.write_text(path.read_text().replace("seeds = [0]\n\n", f'published = "{folder}"\n\n', 1))


@pytest.mark.slow
def test_a_published_set_of_the_same_pixels_gives_the_same_rows(tiny_run_copy) -> None:
    path, output, expected = tiny_run_copy
    study = read_study(path)
    dataset = open_dataset(study.dataset, study.cache)
    point_at_published(path, write_published(path.parent / "C", np.asarray(dataset.images), dataset.labels))
    shutil.rmtree(output / "results")
    assert run_and_read(path)[0].written == CELLS
    facts = {k.split("corruption=")[1]: v for k, v in expected.items() if k.startswith("results/prediction_facts")}
    found = {
        k.split("corruption=")[1]: v for k, v in hashes(output).items() if k.startswith("results/prediction_facts")
    }
    assert found == facts


@pytest.mark.slow
def test_a_published_set_in_another_order_is_unpaired_and_drift_is_null_with_the_reason(tiny_run_copy) -> None:
    path, output, _ = tiny_run_copy
    study = read_study(path)
    dataset = open_dataset(study.dataset, study.cache)
    order = np.random.default_rng(0).permutation(len(dataset.labels))
    point_at_published(
        path, write_published(path.parent / "C", np.asarray(dataset.images)[order], dataset.labels[order])
    )
    shutil.rmtree(output / "results")
    assert run_and_read(path)[0].written == CELLS
    row = read_verified(next(list_results_files(output, EVALUATIONS))).rows.to_pylist()[0]
    assert not row["paired"]
    assert "label" in row["pairing_note"]
    corrupted = [p for p in list_results_files(output, ATTENTION) if "corruption=none" not in str(p)]
    rows = pl.from_arrow(read_verified(corrupted[0]).rows)
    assert rows["centroid_shift"].null_count() == rows["null_cosine"].null_count() == rows["mask_share"].null_count()
    assert rows["centroid_shift"].null_count() == len(rows)
    assert rows.filter(pl.col("target") == "clean")["mass"].null_count() == len(rows) / 2
    assert rows.filter(pl.col("target") == "predicted")["mass"].null_count() == 0
    predictions = pl.from_arrow(read_verified(next(iter(list_results_files(output, PREDICTION_FACTS)))).rows)
    assert predictions["rmse"].null_count() == len(predictions)
    np.testing.assert_array_equal(predictions["label"], dataset.labels[order][predictions["image_id"]])
    assert not list(list_results_files(output, EXEMPLARS))
