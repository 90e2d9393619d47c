"""The engine: models that raise, memory that ends, logits that are no numbers, blocks made ahead, writing behind."""

import shutil

import numpy as np
import pytest
import torch
from tiny_study import CELLS, hashes, patch_logits, run_and_read, run_study, write_tiny_study

from failmodes.evaluate.study_models import load_study_models
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.datasets.decoding import decode
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.sources import GeneratedSource
from failmodes.warehouse.errors import DamagedShardError, StorageError
from failmodes.warehouse.schema import ATTENTION, CLEAN_MAPS, EXEMPLARS, PREDICTION_FACTS, THUMBNAILS
from failmodes.warehouse.shards.format import CLEAN_CELL, ShardKey, list_results_files, read_verified, shard_path


@pytest.mark.slow
@pytest.mark.parametrize("calls_before", [0, 3], ids=["in the clean cell", "later"])
def test_a_model_that_raises_is_named_and_the_others_go_on(two_trained_models, monkeypatch, calls_before) -> None:
    path, output, expected = two_trained_models
    calls = []

    def raise_later(prepared, inputs, logits):
        if prepared.label == "Net 1" and len(inputs) > 8:  # not while attention looks at it
            calls.append(len(inputs))
            if len(calls) > calls_before:
                raise RuntimeError("no such operator\nwith a second line")
        return logits

    patch_logits(monkeypatch, raise_later)
    report = run_study(path)
    (failure,) = report.failures
    assert failure.model_label == "Net 1"
    cell = (
        "clean, batch 1 (images 1 to 32 of the subset)" if not calls_before else "contrast 1, batch 2 (images 33 to 60"
    )
    assert failure.reason.startswith(cell)
    assert "RuntimeError: no such operator (test_run.py:" in failure.reason
    assert report.written == CELLS + (1 if calls_before else 0)
    assert len(calls) == calls_before + 1  # set aside: not tried again in every cell
    found = hashes(output)
    assert found.items() <= expected.items()
    monkeypatch.undo()
    assert run_study(path).failures == []
    assert hashes(output) == expected


@pytest.mark.slow
def test_a_model_that_raises_is_set_aside_in_every_source_and_the_others_go_on(two_trained_models, monkeypatch) -> None:
    path, output, _ = two_trained_models
    path = write_tiny_study(path.parent, models=2, corruption_seeds=[0, 1])

    def raise_it(prepared, inputs, logits):
        if prepared.label == "Net 1" and len(inputs) > 8:
            raise ValueError("no")
        return logits

    patch_logits(monkeypatch, raise_it)
    report = run_study(path)
    assert [failure.model_label for failure in report.failures] == ["Net 1", "Net 1"]
    assert len({failure.evaluation_id for failure in report.failures}) == 2
    assert report.written == 2 * CELLS


@pytest.mark.slow
def test_a_full_disk_is_not_the_models_fault(two_trained_models, monkeypatch) -> None:
    path, output, expected = two_trained_models

    def full(*_args, **_options):
        raise StorageError("cannot write rows.parquet: no space left on the disk")

    monkeypatch.setattr("failmodes.evaluate.engine.cell.write_shard", full)
    with pytest.raises(StorageError, match="no space left"):
        run_study(path)
    monkeypatch.undo()
    run_study(path)
    assert hashes(output) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra",
    [
        "workers = 2",
        pytest.param('executor = "processes"\nprocesses = 2', marks=pytest.mark.corpus),  # as test_processes.py has it
        'executor = "processes"\nprocesses = 2\nworkers = 1',
    ],
    ids=["blocks made ahead", "two processes", "both"],
)
def test_whoever_does_the_work_the_rows_are_the_same(two_trained_models, extra: str) -> None:
    path, output, expected = two_trained_models
    path = write_tiny_study(path.parent, models=2, extra=f"[evaluation]\n{extra}")
    assert run_study(path).written == 2 * CELLS
    assert hashes(output) == expected


def test_every_cell_is_whole_and_says_what_it_was_made_with(tiny_run) -> None:
    _, study, _ = tiny_run
    files = list(list_results_files(study.output, PREDICTION_FACTS))
    assert len(files) == CELLS
    for path in files:
        stored = read_verified(path)
        assert stored.rows.num_rows == 60
        assert len(set(stored.rows["image_id"].to_pylist())) == 60
        assert stored.facts["identity_error"] < 1e-4
        assert stored.facts["images_per_s"] > 0
        assert "torch" in stored.facts["versions"]
    assert all(read_verified(p).rows.num_rows == 120 for p in list_results_files(study.output, ATTENTION))


def test_rows_are_those_of_a_plain_forward_pass(tiny_run) -> None:
    _, study, _ = tiny_run
    dataset = open_dataset(study.dataset, study.cache)
    checkpoint = load_study_models(study, dataset)[0]
    path = next(
        p
        for p in list_results_files(study.output, PREDICTION_FACTS)
        if "gaussian_noise" in str(p) and "5.000" in str(p)
    )
    rows = read_verified(path).rows
    ids = rows["image_id"].to_numpy()
    images = corrupt(np.asarray(dataset.images[ids]), "gaussian_noise", 5, image_ids=ids)
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1)
        for v in (checkpoint.preprocessing.normalization.mean, checkpoint.preprocessing.normalization.std)
    )
    with torch.inference_mode():
        logits = checkpoint.module((torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std).numpy()
    found = np.stack(rows["logits"].to_pylist())
    np.testing.assert_allclose(found, logits, atol=1e-4)
    np.testing.assert_array_equal(rows["predicted"].to_numpy(), logits.argmax(1))


@pytest.mark.slow
def test_the_same_command_again_does_nothing(tiny_run_copy) -> None:
    path, output, expected = tiny_run_copy
    before = {p: p.stat().st_mtime_ns for p in output.rglob("*.parquet")}
    report, _ = run_and_read(path)
    assert (report.written, report.existing) == (0, CELLS)
    assert {p: p.stat().st_mtime_ns for p in output.rglob("*.parquet")} == before
    assert hashes(output) == expected


@pytest.mark.slow
def test_private_images_leave_no_picture_and_change_no_other_row(tiny_run, tmp_path) -> None:
    path, _, expected = tiny_run
    shutil.copytree(path.parent, tmp_path / "study")
    shutil.rmtree(tmp_path / "study" / "out" / "results")
    mine = tmp_path / "study" / "study.toml"
    mine.write_text(mine.read_text() + "[evaluation]\nthumbnails = false\n")
    _, study = run_and_read(mine)
    found = hashes(study.output)
    assert found == {name: content for name, content in expected.items() if "exemplars" not in name}
    assert not list(list_results_files(study.output, THUMBNAILS))
    assert not [file for file in study.output.rglob("*.parquet") if b"IHDR" in file.read_bytes()]


def test_clean_images_are_stored_once_a_subset(tiny_run) -> None:
    path, study, _ = tiny_run
    (file,) = list_results_files(study.output, THUMBNAILS)
    rows = read_verified(file).rows
    assert rows.num_rows == 60
    digits = open_dataset(study.dataset, study.cache).images
    for image_id, png in zip(rows["image_id"].to_pylist(), rows["png"].to_pylist(), strict=True):
        np.testing.assert_array_equal(np.asarray(decode(png, "it")), digits[np.array([image_id])][0])


@pytest.mark.slow
def test_what_is_missing_is_recomputed_to_the_same_rows(tiny_run_copy) -> None:
    path, output, expected = tiny_run_copy
    evaluation_id = next(list_results_files(output, CLEAN_MAPS)).stem
    shard_path(output, PREDICTION_FACTS, ShardKey(evaluation_id, CLEAN_CELL)).unlink()
    for file in list(list_results_files(output, ATTENTION))[::2]:
        file.unlink()
    next(list_results_files(output, EXEMPLARS)).unlink()
    report, _ = run_and_read(path)
    assert 0 < report.written < CELLS + 1
    assert hashes(output) == expected


@pytest.mark.slow
@pytest.mark.parametrize("table", [PREDICTION_FACTS, ATTENTION, CLEAN_MAPS, EXEMPLARS], ids=lambda t: t.name)
def test_a_damaged_file_is_named_and_recomputed_on_request(tiny_run_copy, table) -> None:
    path, output, expected = tiny_run_copy
    file = list(list_results_files(output, table))[-1]
    content = bytearray(file.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 64] = bytes(64)  # one byte may fall into a statistic that no row needs
    file.write_bytes(bytes(content))
    with pytest.raises(DamagedShardError, match=str(file)):
        read_verified(file)
    report, _ = run_and_read(path, redo_damaged=True)
    assert report.rewritten == [file]
    assert hashes(output) == expected


@pytest.mark.slow
def test_batches_and_order_do_not_change_what_is_predicted(tiny_run, tmp_path) -> None:
    _, study, _ = tiny_run
    path = write_tiny_study(tmp_path, extra="[evaluation]\nbatch_size = 7")
    shutil.copytree(study.output / "checkpoints", tmp_path / "out" / "checkpoints")
    _, other = run_and_read(path)
    for ours, theirs in zip(
        list_results_files(study.output, PREDICTION_FACTS),
        list_results_files(other.output, PREDICTION_FACTS),
        strict=True,
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


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_another_setting_is_another_evaluation_beside_the_first(tiny_run_copy, name: str) -> None:
    path, output, expected = tiny_run_copy
    write_tiny_study(path.parent, **OTHERS[name])
    report, _ = run_and_read(path)
    assert report.written == CELLS
    assert len({p.parts[-4] for p in list_results_files(output, PREDICTION_FACTS)}) == 2
    found = hashes(output)
    assert expected.items() < found.items()


def test_two_models_share_each_corrupted_cell(tiny_run_copy, monkeypatch) -> None:
    path, output, expected = tiny_run_copy
    write_tiny_study(path.parent, models=2)
    shutil.rmtree(output / "results")
    calls = []
    original = GeneratedSource.corrupted
    monkeypatch.setattr(
        GeneratedSource, "corrupted", lambda self, *a: calls.append((*a[1:3], len(a[3]))) or original(self, *a)
    )
    monkeypatch.setattr("failmodes.evaluate.engine.run.record_exemplars", lambda *_: None)
    report, _ = run_and_read(path)
    assert report.written == 2 * CELLS
    assert len({cell[:2] for cell in calls}) == CELLS - 1
    assert sum(images for *_, images in calls) == (CELLS - 1) * 60
    assert {k: v for k, v in expected.items() if "exemplars" not in k}.items() < hashes(output).items()


def test_an_unwritable_output_is_one_clear_line(tiny_run_copy) -> None:
    path, output, _ = tiny_run_copy
    shutil.rmtree(output / "results")
    (output / "results").write_text("a file stands here")
    with pytest.raises(StorageError, match="cannot write .*results"):
        run_and_read(path)
