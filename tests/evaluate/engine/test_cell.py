"""One cell: batch sizes, out of memory, non-finite logits."""

import polars as pl
import pytest
import torch
from model_specs import ready_model
from tiny_study import CELLS, patch_logits, rows_of, run_study
from torch import nn

from failmodes.evaluate.devices import ACTIVATION_BYTES, BATCH_SIZE
from failmodes.evaluate.engine.cell import choose_batch_size, largest_activation
from failmodes.evaluate.study.study_schema import Normalization
from failmodes.warehouse.schema import PREDICTION_FACTS
from failmodes.warehouse.shards.format import list_results_files, read_verified


def test_a_batch_that_memory_does_not_hold_is_halved_and_no_row_is_lost(trained_model, monkeypatch) -> None:
    path, output = trained_model

    def end_of_memory(prepared, inputs, logits):
        if len(inputs) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return logits

    patch_logits(monkeypatch, end_of_memory)
    report = run_study(path)
    assert (report.written, report.failures) == (CELLS, [])
    assert {read_verified(p).facts["batch_size"] for p in list_results_files(output, PREDICTION_FACTS)} == {8}
    assert rows_of(output).num_rows == CELLS * 60


@pytest.mark.test_all
def test_non_finite_logits_are_stored_and_counted_but_not_averaged(trained_model, monkeypatch) -> None:
    path, output = trained_model

    def break_some(prepared, inputs, logits):
        if len(logits) > 20:
            logits = logits.clone()
            logits[3], logits[5, 2] = torch.nan, torch.inf
        return logits

    patch_logits(monkeypatch, break_some)
    found = [{note.line for note in run_study(path).notes if note.topic == "not_finite"} for _ in range(2)]
    corrupted = CELLS - 1  # two batches of 32 and 28 images a cell
    counts = "4 of 60 clean", f"{4 * corrupted} of {60 * corrupted} corrupted"
    assert [any(count in line for line in found[0]) for count in counts] == [True, True]
    assert len(found[0]) == 2
    assert found[1] == found[0]  # nothing was missing
    rows = pl.from_arrow(rows_of(output))
    broken = rows.filter(~pl.col("finite"))
    assert len(broken) == 4 * CELLS
    for column in ("predicted", "confidence", "loss_nats", "entropy_nats", "max_logit"):
        assert broken[column].null_count() == len(broken)
    assert rows.filter(pl.col("finite"))["loss_nats"].is_finite().all()
    attention = pl.from_arrow(rows_of(output, "attention"))
    assert attention["mass"].is_finite().all()
    unknown = attention.filter(pl.col("target_class").is_null())  # both targets: the clean images break likewise
    assert len(unknown) == unknown["mass"].null_count() == unknown["cosine"].null_count() == 2 * 4 * CELLS


def prepared_net(channels: int):
    module = nn.Sequential(nn.Conv2d(3, channels, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))
    return ready_model(module, "x", Normalization(mean=(0.5,) * 3, std=(0.25,) * 3), torch.device("cpu"), "float32")


def test_the_largest_activation_is_that_of_the_widest_layer_or_the_image() -> None:
    assert largest_activation(prepared_net(16), (20, 30, 3)) == 4 * 16 * 20 * 30
    assert largest_activation(prepared_net(2), (20, 30, 3)) == 4 * 3 * 20 * 30
    assert (
        choose_batch_size(prepared_net(2), (8, 8, 4)) == BATCH_SIZE["cpu"]
    )  # it takes three channels: left to the run


@pytest.mark.parametrize(("channels", "expected"), [(8, 32), (64, 4), (640, 1)])
def test_the_batch_is_the_largest_power_of_two_within_the_budget(channels: int, expected: int) -> None:
    assert choose_batch_size(prepared_net(channels), (256, 256, 3)) == expected
    assert expected * channels * 4 * 256 * 256 <= ACTIVATION_BYTES or expected == 1
