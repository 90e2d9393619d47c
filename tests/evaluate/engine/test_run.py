"""Whole runs: rows against a plain forward pass, models that raise, missing or damaged files, other settings."""

import numpy as np
import pytest
import torch
from tiny_study import CELLS, hashes, patch_logits, run_and_read, run_study, write_tiny_study

from failmodes.evaluate.study_models import load_study_models
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.runtime.errors import StudyError
from failmodes.warehouse.schema import ATTENTION, CLEAN_MAPS, EXEMPLARS, PREDICTION_FACTS
from failmodes.warehouse.shards.format import list_results_files, read_verified


def test_a_model_that_raises_is_named_and_the_others_go_on(two_trained_models, monkeypatch) -> None:
    path, output, expected = two_trained_models
    calls = []

    def raise_later(prepared, inputs, logits):
        if prepared.label == "Net 1" and len(inputs) > 8:  # not while attention looks at it
            calls.append(len(inputs))
            if len(calls) > 3:
                raise RuntimeError("no such operator\nwith a second line")
        return logits

    patch_logits(monkeypatch, raise_later)
    report = run_study(path)
    (failure,) = report.failures
    assert failure.model_label == "Net 1"
    assert failure.reason.startswith("contrast 1, batch 2")
    assert "\n" not in failure.reason
    assert report.written == CELLS + 1
    assert len(calls) == 4  # set aside: not tried again in every cell
    assert hashes(output).items() <= expected.items()
    monkeypatch.undo()
    assert run_study(path).failures == []
    assert hashes(output) == expected


@pytest.mark.test_all
def test_blocks_made_ahead_change_no_row(two_trained_models) -> None:
    path, output, expected = two_trained_models
    path = write_tiny_study(path.parent, models=2, extra="[evaluation]\nworkers = 2")
    assert run_study(path).written == 2 * CELLS
    assert hashes(output) == expected


def test_every_cell_is_complete_and_states_versions(tiny_run) -> None:
    _, study, _ = tiny_run
    files = list(list_results_files(study.output, PREDICTION_FACTS))
    assert len(files) == CELLS
    for path in files:
        stored = read_verified(path)
        assert stored.rows.num_rows == 60
        assert len(set(stored.rows["image_id"].to_pylist())) == 60
        assert stored.facts["identity_error"] < 1e-4
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


def test_what_is_missing_or_damaged_is_recomputed_to_the_same_rows(tiny_run_copy) -> None:
    path, output, expected = tiny_run_copy
    files = [list(list_results_files(output, t))[-1] for t in (PREDICTION_FACTS, ATTENTION, CLEAN_MAPS, EXEMPLARS)]
    damaged = []
    for file in files:
        content = bytearray(file.read_bytes())
        middle = len(content) // 3
        content[middle : middle + 64] = bytes(64)  # one byte may fall into a statistic that no row needs
        damaged.append(bytes(content))
        file.unlink()
    assert run_and_read(path)[0].written > 0
    assert hashes(output) == expected
    for file, content in zip(files, damaged, strict=True):
        file.write_bytes(content)
    report, _ = run_and_read(path, redo_damaged=True)
    assert set(report.rewritten) == set(files)
    assert hashes(output) == expected


@pytest.mark.test_all
def test_batches_and_order_do_not_change_what_is_predicted(tiny_run, trained_model) -> None:
    _, study, _ = tiny_run
    path, _ = trained_model
    path.write_text(path.read_text() + "[evaluation]\nbatch_size = 7")
    _, other = run_and_read(path)
    pairs = (list_results_files(output, PREDICTION_FACTS) for output in (study.output, other.output))
    for ours, theirs in zip(*pairs, strict=True):
        assert ours.relative_to(study.output) == theirs.relative_to(other.output)  # the same evaluation
        first, second = read_verified(ours).rows, read_verified(theirs).rows
        assert first["image_id"] == second["image_id"]
        np.testing.assert_allclose(first["confidence"].to_numpy(), second["confidence"].to_numpy(), atol=1e-4)


OTHERS = {
    "another corruption seed": {"corruption_seeds": [1]},
    "another precision": {"extra": '[evaluation]\nprecision = "bfloat16"'},
    "no attention": {"extra": "[evaluation]\nattention = false"},
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.test_all
def test_another_setting_is_another_evaluation_beside_the_first(tiny_run_copy, name: str) -> None:
    path, output, expected = tiny_run_copy
    write_tiny_study(path.parent, **OTHERS[name])
    report, _ = run_and_read(path)
    assert report.written == CELLS
    assert len({p.parts[-4] for p in list_results_files(output, PREDICTION_FACTS)}) == 2
    found = hashes(output)
    assert expected.items() < found.items()


def test_one_model_under_two_labels_is_refused(two_trained_models) -> None:
    path, output, _ = two_trained_models
    first = next(iter(sorted((output / "checkpoints").glob("*.safetensors"))))
    models = "".join(
        f'[[models]]\nlabel = "{label}"\narchitecture = "resnet18"\nwidth = 8\ncheckpoint = "{first}"\n'
        for label in ("One", "Other")
    )
    path.write_text(path.read_text().split("[[models]]")[0] + models)
    with pytest.raises(StudyError, match="models 'One' and 'Other' are the same model"):
        run_study(path)
