"""Decisions about GPUs, tested with fake devices.

Tested here, as logic around a device: which device is chosen and how it is named in the results, whether bfloat16 is
native, exact float32, halving a batch after a CUDA out-of-memory error and freeing memory, when batches are pinned and
prefetched, and the number of processes.

Not tested without a GPU: what `tests/gpu` measures on one (equal numbers, autocast, memory, page-locked copies,
processes, kills, `torch.compile`); CUDA errors other than out of memory (which poison the context of a process), the
order of work on streams, MPS, and two real GPUs at once.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from failmodes.evaluate.devices import (
    choose_device,
    is_out_of_memory,
    make_exact,
)
from failmodes.evaluate.engine import executors, worker
from failmodes.evaluate.engine.executors import run_here, run_in_processes
from failmodes.evaluate.engine.worker import make_worker
from failmodes.evaluate.study.study_schema import EvaluationSpec
from failmodes.runtime.errors import StudyError

CUDA = torch.device("cuda")


@pytest.mark.parametrize(
    ("cuda", "mps", "asked", "taken"),
    [
        (True, True, "auto", "cuda"), (False, True, "auto", "mps"), (False, False, "auto", "cpu"),
        (True, True, "cpu", "cpu"), (True, False, "mps", None),
    ],
)  # fmt: skip
def test_the_requested_or_the_best_device_is_chosen(monkeypatch, cuda: bool, mps: bool, asked: str, taken) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    if taken is None:
        with pytest.raises(StudyError, match=f"device '{asked}' is not available"):
            choose_device(asked)
    else:
        assert choose_device(asked) == torch.device(taken)


def test_float32_is_exact_on_a_gpu_and_nothing_else_is_touched(monkeypatch) -> None:
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, cudnn.deterministic
    try:
        cudnn.allow_tf32, cudnn.deterministic = True, False
        make_exact(torch.device("cpu"))
        assert (cudnn.allow_tf32, cudnn.deterministic) == (True, False)
        make_exact(CUDA)
        assert (cudnn.allow_tf32, cudnn.deterministic) == (False, True)
    finally:
        cudnn.allow_tf32, cudnn.deterministic = before


@pytest.mark.parametrize(
    ("error", "means"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("eight is bad"), False),
    ],
)
def test_a_want_of_memory_is_distinguished_from_other_errors(error: Exception, means: bool) -> None:
    assert is_out_of_memory(error) == means


@pytest.mark.parametrize(
    ("device", "cores", "workers", "process_count", "expected"),
    [
        ("cuda", 16, None, 1, {"workers": 8, "threads": 16, "pinned": True}),
        ("cuda", 16, None, 4, {"workers": 3, "threads": 4, "pinned": True}),
        ("cuda", 16, 2, 1, {"workers": 2, "threads": 16, "pinned": True}),
        ("mps", 8, None, 1, {"workers": 7, "threads": 8, "pinned": False}),
        ("cpu", 16, None, 1, {"workers": 0, "threads": 16, "pinned": False}),
    ],
)
def test_beside_a_gpu_batches_are_made_ahead_and_pinned(
    monkeypatch, device: str, cores: int, workers: int | None, process_count: int, expected: dict[str, Any]
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(worker, "BatchStream", lambda _data, _study, **options: given.update(options))
    monkeypatch.setattr(worker, "make_model_runs", lambda _study, _groups: [SimpleNamespace(batch_size=32)])
    monkeypatch.setattr(worker, "limit_workers", lambda requested, _bytes: requested)
    monkeypatch.setattr(worker, "Worker", lambda *_: None)
    monkeypatch.setattr(worker.os, "cpu_count", lambda: cores)
    study: Any = SimpleNamespace(evaluation=SimpleNamespace(workers=workers))
    images = SimpleNamespace(images=np.zeros((1, 32, 32, 3), np.uint8))
    groups: Any = [[SimpleNamespace(data=SimpleNamespace(dataset=images))]]
    make_worker(study, groups, torch.device(device), None, process_count=process_count)  # type: ignore[arg-type]
    assert given == expected


@pytest.mark.parametrize(
    ("device", "settings", "way", "count"),
    [
        ("cuda", {}, run_in_processes, 2),
        ("cuda", {"processes": 1}, run_here, None),
        ("cuda", {"executor": "here"}, run_here, None),
        ("cpu", {}, run_here, None),
        ("cpu", {"executor": "processes"}, run_in_processes, 1),
    ],
)
def test_there_is_a_process_for_each_gpu(monkeypatch, device: str, settings: dict[str, Any], way, count) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    study: Any = SimpleNamespace(models=[], evaluation=EvaluationSpec(**settings))
    chosen = executors.choose_executor(study, [], torch.device(device))
    assert chosen.func is way
    assert count is None or chosen.args == (study, count)
