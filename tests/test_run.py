"""The run: the same rows whatever happens on the way, nothing twice, nothing skipped silently."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from failmodes.evaluate.engine.run import evaluate_study
from failmodes.evaluate.study.reading import read_study
from failmodes.evaluate.study.study_schema import Study
from failmodes.evaluate.study_models import load_study_models, train_missing
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.sources import GeneratedSource
from failmodes.warehouse.errors import DamagedShardError, StorageError
from failmodes.warehouse.schema import ATTENTION, CLEAN_MAPS, EVALUATIONS, EXEMPLARS, PREDICTIONS
from failmodes.warehouse.shards.format import clean_shard_key, list_record_files, read_verified, shard_path
from tests.tiny_study import CELLS, hashes, write_tiny_study


def run(path: Path, **options):
    study = read_study(path)
    dataset = open_dataset(study.dataset, study.cache)
    train_missing(study, dataset)
    return evaluate_study(study, dataset, **options), study


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Study, dict[str, str]]:
    folder = tmp_path_factory.mktemp("tiny")
    path = write_tiny_study(folder)
    report, study = run(path)
    assert (report.made, report.found) == (CELLS, 0)
    return path, study, hashes(study.output)


@pytest.fixture
def copied(finished, tmp_path) -> tuple[Path, Path, dict[str, str]]:
    """A finished study of one's own, to break."""
    shutil.copytree(finished[0].parent, tmp_path / "study")
    return tmp_path / "study" / "study.toml", tmp_path / "study" / "out", finished[2]


def test_every_cell_is_whole_and_says_what_it_was_made_with(finished) -> None:
    _, study, _ = finished
    files = list(list_record_files(study.output, PREDICTIONS))
    assert len(files) == CELLS
    for path in files:
        stored = read_verified(path)
        assert stored.rows.num_rows == 60
        assert len(set(stored.rows["image_id"].to_pylist())) == 60
        assert stored.facts["identity_error"] < 1e-4
        assert stored.facts["images_per_s"] > 0
        assert "torch" in stored.facts["versions"]
    assert all(read_verified(p).rows.num_rows == 120 for p in list_record_files(study.output, ATTENTION))


def test_rows_are_those_of_a_plain_forward_pass(finished) -> None:
    _, study, _ = finished
    dataset = open_dataset(study.dataset, study.cache)
    checkpoint = load_study_models(study, dataset)[0]
    path = next(
        p for p in list_record_files(study.output, PREDICTIONS) if "gaussian_noise" in str(p) and "5.000" in str(p)
    )
    rows = read_verified(path).rows
    ids = rows["image_id"].to_numpy()
    images = corrupt(np.asarray(dataset.images[ids]), "gaussian_noise", 5, image_ids=ids)
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in (checkpoint.normalisation.mean, checkpoint.normalisation.std)
    )
    with torch.inference_mode():
        logits = checkpoint.module((torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std).numpy()
    found = np.stack(rows["logits"].to_pylist())
    np.testing.assert_allclose(found, logits, atol=1e-4)
    np.testing.assert_array_equal(rows["predicted"].to_numpy(), logits.argmax(1))


def test_clean_drift_is_none_and_both_targets_agree_on_clean_images(finished) -> None:
    _, study, _ = finished
    evaluation_id = next(list_record_files(study.output, CLEAN_MAPS)).stem
    rows = pl.from_arrow(read_verified(shard_path(study.output, ATTENTION, clean_shard_key(evaluation_id))).rows)
    assert rows["centroid_shift"].max() < 1e-6
    assert (1 - rows["cosine"]).abs().max() < 1e-5
    assert rows["null_cosine"].mean() < 0.999
    targets = rows.pivot(on="target", index="image_id", values="target_class")
    assert targets["clean"].equals(targets["predicted"])
    assert rows["mask_share"].is_between(0, 1).all()


def test_the_same_command_again_does_nothing(copied) -> None:
    path, output, expected = copied
    before = {p: p.stat().st_mtime_ns for p in output.rglob("*.parquet")}
    report, _ = run(path)
    assert (report.made, report.found) == (0, CELLS)
    assert {p: p.stat().st_mtime_ns for p in output.rglob("*.parquet")} == before
    assert hashes(output) == expected


def test_what_is_missing_is_made_again_to_the_same_rows(copied) -> None:
    path, output, expected = copied
    evaluation_id = next(list_record_files(output, CLEAN_MAPS)).stem
    shard_path(output, PREDICTIONS, clean_shard_key(evaluation_id)).unlink()
    for file in list(list_record_files(output, ATTENTION))[::2]:
        file.unlink()
    next(list_record_files(output, EXEMPLARS)).unlink()
    report, _ = run(path)
    assert 0 < report.made < CELLS + 1
    assert hashes(output) == expected


def test_lost_clean_maps_are_made_again(copied) -> None:
    path, output, expected = copied
    next(list_record_files(output, CLEAN_MAPS)).unlink()
    assert run(path)[0].made == 1
    assert hashes(output) == expected


@pytest.mark.parametrize("table", [PREDICTIONS, ATTENTION, CLEAN_MAPS, EXEMPLARS], ids=lambda t: t.name)
def test_a_damaged_file_is_named_and_made_again_on_request(copied, table) -> None:
    path, output, expected = copied
    file = list(list_record_files(output, table))[-1]
    content = bytearray(file.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 64] = bytes(64)  # one byte may fall into a statistic that no row needs
    file.write_bytes(bytes(content))
    with pytest.raises(DamagedShardError, match=str(file)):
        read_verified(file)
    report, _ = run(path, redo_damaged=True)
    assert report.redone == [file]
    assert hashes(output) == expected


def test_batches_and_order_do_not_change_what_is_predicted(finished, tmp_path) -> None:
    _, study, _ = finished
    path = write_tiny_study(tmp_path, extra="[evaluation]\nbatch_size = 7")
    shutil.copytree(study.output / "checkpoints", tmp_path / "out" / "checkpoints")
    _, other = run(path)
    for ours, theirs in zip(
        list_record_files(study.output, PREDICTIONS), list_record_files(other.output, PREDICTIONS), strict=True
    ):
        assert ours.relative_to(study.output) == theirs.relative_to(other.output)  # the same evaluation
        first, second = read_verified(ours).rows, read_verified(theirs).rows
        assert first["image_id"] == second["image_id"]
        np.testing.assert_allclose(first["confidence"].to_numpy(), second["confidence"].to_numpy(), atol=1e-4)


OTHERS = {
    "another corruption seed": {"corruption_seeds": [1]},
    "another precision": {"extra": '[evaluation]\nprecision = "bfloat16"'},
    "another image count": {"images": 50},
    "no attention": {"extra": "[evaluation]\nattention = false"},
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_another_setting_is_another_evaluation_beside_the_first(copied, name: str) -> None:
    path, output, expected = copied
    write_tiny_study(path.parent, **OTHERS[name])
    report, _ = run(path)
    assert report.made == CELLS
    assert len({p.parts[-4] for p in list_record_files(output, PREDICTIONS)}) == 2
    found = hashes(output)
    assert expected.items() < found.items()


def test_two_networks_share_each_corrupted_cell(copied, monkeypatch) -> None:
    path, output, expected = copied
    write_tiny_study(path.parent, models=2)
    shutil.rmtree(output / "record")
    calls = []
    original = GeneratedSource.corrupted
    monkeypatch.setattr(
        GeneratedSource, "corrupted", lambda self, *a: calls.append((*a[1:3], len(a[3]))) or original(self, *a)
    )
    monkeypatch.setattr("failmodes.evaluate.engine.run.record_exemplars", lambda *_: None)
    report, _ = run(path)
    assert report.made == 2 * CELLS
    assert len({cell[:2] for cell in calls}) == CELLS - 1
    assert sum(images for *_, images in calls) == (CELLS - 1) * 60
    assert {k: v for k, v in expected.items() if "exemplars" not in k}.items() < hashes(output).items()


def test_an_unwritable_output_is_one_clear_line(copied) -> None:
    path, output, _ = copied
    shutil.rmtree(output / "record")
    (output / "record").write_text("a file stands here")
    with pytest.raises(StorageError, match="cannot write .*record"):
        run(path)


def write_published(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    """A folder in the layout of CIFAR-10-C, made from `images`."""
    folder.mkdir()
    for name in ("contrast", "gaussian_noise"):
        np.save(folder / f"{name}.npy", np.concatenate([corrupt(images, name, level) for level in range(1, 6)]))
    np.save(folder / "labels.npy", np.tile(labels, 5).astype(np.uint8))
    return folder


def point_at_published(path: Path, folder: Path) -> None:
    path.write_text(path.read_text().replace("seeds = [0]\n\n", f'published = "{folder}"\n\n', 1))


def test_a_published_set_of_the_same_pixels_gives_the_same_rows(copied) -> None:
    path, output, expected = copied
    study = read_study(path)
    dataset = open_dataset(study.dataset, study.cache)
    point_at_published(path, write_published(path.parent / "C", np.asarray(dataset.images), dataset.labels))
    shutil.rmtree(output / "record")
    assert run(path)[0].made == CELLS
    facts = {k.split("corruption=")[1]: v for k, v in expected.items() if k.startswith("record/predictions")}
    found = {k.split("corruption=")[1]: v for k, v in hashes(output).items() if k.startswith("record/predictions")}
    assert found == facts


def test_a_published_set_in_another_order_is_unpaired_and_drift_is_null_with_the_reason(copied) -> None:
    path, output, _ = copied
    study = read_study(path)
    dataset = open_dataset(study.dataset, study.cache)
    order = np.random.default_rng(0).permutation(len(dataset.labels))
    point_at_published(
        path, write_published(path.parent / "C", np.asarray(dataset.images)[order], dataset.labels[order])
    )
    shutil.rmtree(output / "record")
    assert run(path)[0].made == CELLS
    row = read_verified(next(list_record_files(output, EVALUATIONS))).rows.to_pylist()[0]
    assert not row["paired"]
    assert "label" in row["pairing_note"]
    corrupted = [p for p in list_record_files(output, ATTENTION) if "corruption=none" not in str(p)]
    rows = pl.from_arrow(read_verified(corrupted[0]).rows)
    assert rows["centroid_shift"].null_count() == rows["null_cosine"].null_count() == rows["mask_share"].null_count()
    assert rows["centroid_shift"].null_count() == len(rows)
    assert rows.filter(pl.col("target") == "clean")["mass"].null_count() == len(rows) / 2
    assert rows.filter(pl.col("target") == "predicted")["mass"].null_count() == 0
    predictions = pl.from_arrow(read_verified(next(iter(list_record_files(output, PREDICTIONS)))).rows)
    assert predictions["rmse"].null_count() == len(predictions)
    np.testing.assert_array_equal(predictions["label"], dataset.labels[order][predictions["image_id"]])
    assert not list(list_record_files(output, EXEMPLARS))
