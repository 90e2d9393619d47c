"""The engine: models that raise, memory that ends, logits that are no numbers, blocks made ahead, writing behind."""

import polars as pl
import pytest
import torch
from tiny_study import CELLS, patch_logits, rows_of, run_study

from failmodes.warehouse.schema import PREDICTION_FACTS
from failmodes.warehouse.shards.format import list_results_files, read_verified


@pytest.mark.slow
def test_a_batch_that_memory_does_not_hold_is_halved_and_no_row_is_lost(two_trained_models, monkeypatch) -> None:
    path, output, _ = two_trained_models

    def end_of_memory(prepared, inputs, logits):
        if len(inputs) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return logits

    patch_logits(monkeypatch, end_of_memory)
    report = run_study(path)
    assert (report.written, report.failures) == (2 * CELLS, [])
    assert {read_verified(p).facts["batch_size"] for p in list_results_files(output, PREDICTION_FACTS)} == {8}
    assert rows_of(output).num_rows == 2 * CELLS * 60


@pytest.mark.slow
def test_where_one_image_does_not_fit_the_model_is_set_aside_with_the_reason(two_trained_models, monkeypatch) -> None:
    path, _, _ = two_trained_models

    def no_memory(prepared, inputs, logits):
        if prepared.label == "Net 0" and prepared.precision == "float32" and not monkeypatched_trial(inputs):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return logits

    seen = []

    def monkeypatched_trial(inputs) -> bool:  # the first look of attention at a model
        seen.append(len(inputs))
        return len(inputs) <= 4 and max(seen) <= 4

    patch_logits(monkeypatch, no_memory)
    report = run_study(path)
    assert [f.model_label for f in report.failures] == ["Net 0"]
    assert "one image alone does not fit into the memory" in report.failures[0].reason
    assert report.written == CELLS


@pytest.mark.slow
def test_logits_that_are_no_numbers_are_recorded_and_counted_not_averaged(two_trained_models, monkeypatch) -> None:
    path, output, _ = two_trained_models

    def break_some(prepared, inputs, logits):
        if prepared.label == "Net 1" and len(logits) > 20:
            logits = logits.clone()
            logits[3], logits[5, 2] = torch.nan, torch.inf
        return logits

    patch_logits(monkeypatch, break_some)
    report = run_study(path)
    assert report.not_finite == {"Net 1": 2 * 2 * CELLS}  # two batches of 32 and 28 a cell
    rows = pl.from_arrow(rows_of(output))
    broken = rows.filter(~pl.col("finite"))
    assert len(broken) == 4 * CELLS
    for column in ("predicted", "confidence", "loss_nats", "entropy_nats", "max_logit"):
        assert broken[column].null_count() == len(broken)
    assert rows.filter(pl.col("finite"))["loss_nats"].is_finite().all()
    assert broken["logits"].list.len().min() == 10
    attention = pl.from_arrow(rows_of(output, "attention"))
    assert not attention["mass"].is_infinite().any()
    assert not attention["mass"].is_nan().any()
    unknown = attention.filter(pl.col("target_class").is_null())  # both targets: the clean images break likewise
    assert len(unknown) == 2 * 4 * CELLS
    assert unknown["mass"].null_count() == unknown["cosine"].null_count() == len(unknown)
