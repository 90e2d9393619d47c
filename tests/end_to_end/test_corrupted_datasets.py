"""A study of a published set has the rows of its images, and no drift where these do not pair with the clean ones."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

pytest.importorskip("torch")

from corrupted_datasets import set_options, write_published
from tiny_study import CELLS, run_and_read

from failmodes.evaluate.study.study_file import read_study
from failmodes.evaluate.study.study_schema import Study
from failmodes.ingest.corrupted_datasets.command import write_corrupted_dataset
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.warehouse.schema import ATTENTION, EVALUATIONS, EXEMPLARS, PREDICTION_FACTS, Table
from failmodes.warehouse.shards.format import list_results_files, read_verified

pytestmark = pytest.mark.test_all


def write_arrays(study: Study, dataset: Dataset, folder: Path) -> None:
    write_published(folder, np.asarray(dataset.images), dataset.labels)


def write_tree(study: Study, dataset: Dataset, folder: Path) -> None:
    names = [str(name) for name in study.corruptions.names]
    chosen = set_options(layout="imagenet-c", encoding="png", corruptions=names, severities=["1", "5"])
    write_corrupted_dataset(study.dataset, chosen, folder)


def write_shuffled_arrays(study: Study, dataset: Dataset, folder: Path) -> None:
    order = np.random.default_rng(0).permutation(len(dataset.labels))
    write_published(folder, np.asarray(dataset.images)[order], dataset.labels[order])


def write_renamed_tree(study: Study, dataset: Dataset, folder: Path) -> None:
    write_tree(study, dataset, folder)
    for file in sorted(folder.rglob("*.png")):
        file.rename(file.with_name(f"test_{file.name}"))


def evaluate_published(path: Path, output: Path, write) -> None:
    """Evaluate the study on the set that `write` puts beside it, instead of on images of its own."""
    study = read_study(path)
    write(study, open_dataset(study.dataset, study.cache), path.parent / "C")
    path.write_text(path.read_text().replace("seeds = [0]\n\n", f'published = "{path.parent}/C"\n\n', 1))
    shutil.rmtree(output / "results")
    assert run_and_read(path)[0].written == CELLS


def facts_of(output: Path) -> dict[str, str]:
    """Content hashes by corruption and severity."""
    files = list_results_files(output, PREDICTION_FACTS)
    return {str(path).split("corruption=")[1]: read_verified(path).content_hash for path in files}


def corrupted_rows(output: Path, table: Table) -> pl.DataFrame:
    files = [path for path in list_results_files(output, table) if "corruption=none" not in str(path)]
    return pl.concat([pl.DataFrame(read_verified(path).rows) for path in files])


@pytest.mark.parametrize("write", [write_arrays, write_tree])
def test_a_published_set_of_the_same_pixels_gives_the_same_rows(tiny_run_copy, write) -> None:
    path, output, _ = tiny_run_copy
    generated = facts_of(output)
    evaluate_published(path, output, write)
    assert facts_of(output) == generated


@pytest.mark.parametrize(
    ("write", "reason"),
    [(write_shuffled_arrays, "label"), (write_renamed_tree, "no published image has the name of a clean one")],
)
def test_where_images_do_not_pair_drift_is_null_with_the_reason(tiny_run_copy, write, reason: str) -> None:
    path, output, _ = tiny_run_copy
    evaluate_published(path, output, write)
    (row,) = read_verified(next(list_results_files(output, EVALUATIONS))).rows.to_pylist()
    assert not row["paired"]
    assert reason in row["pairing_note"]
    drift = corrupted_rows(output, ATTENTION)
    count = len(drift)
    assert [drift[name].null_count() for name in ("centroid_shift", "null_cosine", "mask_share")] == [count] * 3
    assert drift.filter(pl.col("target") == "clean")["mass"].null_count() == count / 2
    assert drift.filter(pl.col("target") == "predicted")["mass"].null_count() == 0
    facts = corrupted_rows(output, PREDICTION_FACTS)
    assert facts["rmse"].null_count() == len(facts)
    assert not list(list_results_files(output, EXEMPLARS))
