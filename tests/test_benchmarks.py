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


def test_the_limit_of_the_machine_is_the_best_of_products_and_of_a_models_own_layers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent / "benchmarks"), *sys.path])
    limits, subjects = pytest.importorskip("machine_limits"), pytest.importorskip("subjects")
    monkeypatch.setattr(limits, "SIDES", (64,))
    monkeypatch.setattr(limits, "RUNS", 1)
    products = limits.product_rates(torch.device("cpu"))
    assert len(products) == 3
    layers = limits.layer_rates(subjects.tiny().eval(), torch.rand(2, 3, 32, 32))
    assert list(layers) == ["Conv2d 8×3×3×3 on 2×3×32×32", "Conv2d 16×8×3×3 on 2×8×16×16", "Linear 10×16 on 2×16"]
    assert min(*products.values(), *layers.values()) > 0
