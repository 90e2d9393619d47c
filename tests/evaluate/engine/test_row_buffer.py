"""Rows of the fact tables: collected, and on disk where there are many."""

from typing import Any

import numpy as np
import torch

from failmodes.evaluate.engine.cell import RowBuffer
from failmodes.evaluate.engine.statistics import prediction_columns, prediction_statistics
from failmodes.warehouse.schema import PREDICTION_FACTS
from failmodes.warehouse.shards.format import content_hash


def columns_of(logits: torch.Tensor, labels: np.ndarray, image_ids: np.ndarray) -> dict[str, Any]:
    return {"image_id": image_ids, **prediction_columns(prediction_statistics(logits, labels))}


def test_broken_logits_are_recorded_and_not_averaged(tmp_path) -> None:
    logits = torch.tensor([[1.0, 2.0], [torch.nan, 1.0], [torch.inf, 1.0]])
    rows = RowBuffer(PREDICTION_FACTS, tmp_path)
    rows.add(columns_of(logits, np.array([0, 1, 0]), np.array([4, 5, 6])))
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
        monkeypatch.setattr("failmodes.evaluate.engine.cell.IN_MEMORY_BYTES", limit)
        rows = RowBuffer(PREDICTION_FACTS, tmp_path)
        for start in range(0, 300, 50):
            part = slice(start, start + 50)
            rows.add(columns_of(logits[part], labels[part], np.arange(300)[part]))
        assert (rows.file.name is None) == (limit == 1 << 30)
        tables.append(rows.table())
    assert tables[0]["logits"].slice(8) == tables[1]["logits"].slice(8)
    assert content_hash(tables[0]) == content_hash(tables[1])
