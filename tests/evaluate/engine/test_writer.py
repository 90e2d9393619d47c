"""Rows of the fact tables: collected, spilled to disk, written in the background."""

import threading

import numpy as np
import pytest
import torch

from failmodes.evaluate.engine.image_statistics import compute_prediction_statistics
from failmodes.evaluate.engine.writer import MAX_PENDING, BackgroundWriter, RowBuffer, prediction_columns
from failmodes.warehouse.errors import StorageError
from failmodes.warehouse.schema import PREDICTION_FACTS
from failmodes.warehouse.shards.format import content_hash


def test_broken_logits_are_recorded_and_not_averaged(tmp_path) -> None:
    logits = torch.tensor([[1.0, 2.0], [torch.nan, 1.0], [torch.inf, 1.0]])
    rows = RowBuffer(PREDICTION_FACTS, tmp_path)
    rows.add(
        prediction_columns(np.array([4, 5, 6]), compute_prediction_statistics(logits, np.array([0, 1, 0])), None, None)
    )
    table = rows.table().to_pydict()
    assert table["finite"] == [True, False, False]
    assert table["predicted"] == [1, None, None]
    assert table["confidence"][1:] == [None, None]
    assert table["label"] == [0, 1, 0]
    assert table["rmse"] == [None] * 3


def test_rows_that_wait_on_disk_are_the_same_rows(monkeypatch, tmp_path) -> None:
    logits = torch.randn(300, 10, generator=torch.Generator().manual_seed(0))
    logits[7] = torch.nan
    labels = np.arange(300) % 10
    tables = []
    for limit in (1 << 30, 1 << 10):
        monkeypatch.setattr("failmodes.evaluate.engine.writer.IN_MEMORY_BYTES", limit)
        rows = RowBuffer(PREDICTION_FACTS, tmp_path)
        for start in range(0, 300, 50):
            part = slice(start, start + 50)
            rows.add(
                prediction_columns(
                    np.arange(300)[part], compute_prediction_statistics(logits[part], labels[part]), None, None
                )
            )
        tables.append(rows.table())
        assert (rows.spool is None) == (limit == 1 << 30)
    assert tables[0]["logits"].slice(8) == tables[1]["logits"].slice(8)
    assert content_hash(tables[0]) == content_hash(tables[1])


def test_the_writer_keeps_order_and_lets_only_so_many_wait() -> None:
    written, gate = [], threading.Event()
    with BackgroundWriter() as writer:
        writer.submit(lambda: gate.wait(10) and None)
        for number in range(MAX_PENDING - 1):
            writer.submit(lambda number=number: written.append(number))
        threading.Timer(0.05, gate.set).start()
        writer.submit(lambda: written.append("last"))  # waits for the gate
        assert gate.is_set()
    assert written == [*range(MAX_PENDING - 1), "last"]


def fail() -> None:
    raise StorageError("full")


@pytest.mark.parametrize("jobs_after", [0, MAX_PENDING + 2], ids=["at the end", "at the next job"])
def test_what_goes_wrong_while_writing_is_raised(jobs_after: int) -> None:
    def write_all() -> None:
        with BackgroundWriter() as writer:
            writer.submit(fail)
            for _ in range(jobs_after):
                writer.submit(lambda: None)

    with pytest.raises(StorageError, match="full"):
        write_all()
