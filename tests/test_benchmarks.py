"""The setup of the benchmarks works with the current engine."""

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")


def test_the_smallest_subject_is_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent / "benchmarks"), *sys.path])
    subjects = pytest.importorskip("subjects")
    bench = subjects.make_bench(
        subjects.TINY, [subjects.model_of(subjects.TINY, torch.device("cpu"))], tmp_path, count=32
    )
    bench.worker.run([bench.clean()])
    bench.worker.run([bench.cell()])
    assert len(list((tmp_path / "results" / "prediction_facts").rglob("*.parquet"))) == 2
