"""Statistics of logits against scikit-learn and SciPy."""

import numpy as np
import torch

from failmodes.evaluate.engine.fact_rows import prediction_buffer, prediction_columns
from failmodes.evaluate.engine.prediction_statistics import compute_prediction_statistics
from failmodes.warehouse.hashing import content_hash


def test_broken_logits_are_recorded_and_not_averaged(tmp_path) -> None:
    logits = torch.tensor([[1.0, 2.0], [torch.nan, 1.0], [torch.inf, 1.0]])
    rows = prediction_buffer(tmp_path)
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
        monkeypatch.setattr("failmodes.evaluate.engine.fact_rows.IN_MEMORY_BYTES", limit)
        rows = prediction_buffer(tmp_path)
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
