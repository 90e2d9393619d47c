"""The engine: models that raise, memory that ends, logits that are no numbers, blocks made ahead, writing behind."""

import json
import shutil

import pytest
import torch
from tiny_study import CELLS, patch_logits, run_study

from failmodes.evaluate.engine.autobatch import BATCH_SIZES_FILE, fastest_batch_size
from failmodes.evaluate.models.prepared_model import prepare_model
from failmodes.evaluate.study.study_schema import Normalization
from failmodes.warehouse.schema import PREDICTION_FACTS
from failmodes.warehouse.shards.format import list_results_files, read_verified


def test_the_smallest_batch_near_the_best_rate_is_taken(monkeypatch) -> None:
    seconds = {8: 8 / 50, 16: 16 / 98, 32: 32 / 100, 64: 64 / 80, 128: 128 / 70}
    tried = []

    def timed(_step, images, _device) -> float:
        tried.append(len(images))
        return seconds[len(images)]

    monkeypatch.setattr("failmodes.evaluate.engine.autobatch._seconds", timed)
    prepared = prepare_model(torch.nn.Identity(), "x", NEUTRAL, torch.device("cpu"), "float32")
    assert fastest_batch_size(lambda _: None, (8, 16, 32, 64, 128), (4, 4), prepared) == 16
    assert max(tried) == 32  # twice the memory has brought nothing


def test_a_disturbance_while_a_size_is_timed_does_not_decide(monkeypatch) -> None:
    """Sizes take turns: one in which the machine was busy is made up for by the next."""
    seconds = {8: 8 / 50, 16: 16 / 100, 32: 32 / 90, 64: 64 / 60, 128: 128 / 50}
    tried = []

    def timed(_step, images, _device) -> float:
        tried.append(len(images))
        return seconds[len(images)] * (1.12 if tried.count(16) in (1, 2) and len(images) == 16 else 1)

    monkeypatch.setattr("failmodes.evaluate.engine.autobatch._seconds", timed)
    prepared = prepare_model(torch.nn.Identity(), "x", NEUTRAL, torch.device("cpu"), "float32")
    assert fastest_batch_size(lambda _: None, (8, 16, 32, 64, 128), (4, 4), prepared) == 16
    assert tried == [8, 8, 8, 8, 16, 16, 32, 32] + 2 * [16, 16, 32]  # as many images, and slow ones no more


def test_a_disturbance_does_not_end_the_trial(monkeypatch) -> None:
    """A size that seems no faster than a smaller one is timed once more before larger ones are given up."""
    seconds = {8: 8 / 50, 16: 16 / 80, 32: 32 / 100, 64: 64 / 100}
    tried = []

    def timed(_step, images, _device) -> float:
        tried.append(len(images))
        return seconds[len(images)] * (2 if len(images) == 32 and tried.count(32) == 1 else 1)

    monkeypatch.setattr("failmodes.evaluate.engine.autobatch._seconds", timed)
    prepared = prepare_model(torch.nn.Identity(), "x", NEUTRAL, torch.device("cpu"), "float32")
    assert fastest_batch_size(lambda _: None, (8, 16, 32, 64), (4, 4), prepared) == 32
    assert 64 in tried


def test_a_trial_ends_where_memory_does() -> None:
    def step(images) -> None:
        if len(images) > 16:
            raise torch.OutOfMemoryError("out of memory")

    prepared = prepare_model(torch.nn.Identity(), "x", NEUTRAL, torch.device("cpu"), "float32")
    assert fastest_batch_size(step, (8, 16, 32), (4, 4), prepared) in (8, 16)


@pytest.mark.slow
@pytest.mark.parametrize("error", [ValueError("eight is bad"), torch.OutOfMemoryError("out of memory")])
def test_what_a_model_raises_in_a_trial_is_left_to_the_run(two_trained_models, monkeypatch, error) -> None:
    path, _, _ = two_trained_models
    monkeypatch.setattr("failmodes.evaluate.engine.autobatch.TUNING_SHARE", 1e9)

    def raise_in_small_batches(prepared, inputs, logits):
        if len(inputs) == 8:
            raise error
        return logits

    patch_logits(monkeypatch, raise_in_small_batches)
    report = run_study(path)
    assert (report.written, report.failures) == (2 * CELLS, [])


@pytest.mark.slow
def test_a_batch_size_once_tried_is_remembered(two_trained_models, monkeypatch) -> None:
    path, output, _ = two_trained_models
    monkeypatch.setattr("failmodes.evaluate.engine.autobatch.TUNING_SHARE", 1e9)
    tried = []
    monkeypatch.setattr("failmodes.evaluate.engine.autobatch.fastest_batch_size", lambda *_: tried.append(1) or 16)
    run_study(path)
    assert len(tried) == 2
    assert set(json.loads((output / "cache" / BATCH_SIZES_FILE).read_text()).values()) == {16}
    shutil.rmtree(output / "results")
    run_study(path)
    assert len(tried) == 2
    (output / "cache" / BATCH_SIZES_FILE).write_text("damaged")
    shutil.rmtree(output / "results")
    run_study(path)
    assert len(tried) == 4
    assert {read_verified(p).facts["batch_size"] for p in list_results_files(output, PREDICTION_FACTS)} == {16}


NEUTRAL = Normalization(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
