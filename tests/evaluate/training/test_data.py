"""Training batches: the same for any number of workers, and one line where a worker dies."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from failmodes.evaluate.study.study_schema import TrainingSpec
from failmodes.evaluate.training.data import (
    BatchIndices,
    TrainingLoader,
    apply_policy,
    augmentation_policy,
    default_workers,
)
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.warehouse.errors import ModelError

CLASSES = ("one", "two")


def dataset_of(images) -> Dataset:
    labels = np.arange(len(images)) % 2
    return Dataset("folder", "Noise", "train", images, labels, CLASSES)


@pytest.fixture
def noise() -> Dataset:
    return dataset_of(np.random.default_rng(1).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8))


def epochs_of(dataset: Dataset, augmentation: str, workers: int) -> list[np.ndarray]:
    batches = TrainingLoader(dataset, TrainingSpec(augmentation=augmentation), 7, workers)
    order = np.arange(20)[::-1]
    found = []
    for epoch in (0, 1):
        wanted = [BatchIndices(epoch, order[start : start + 6]) for start in (0, 6, 12)]
        read = list(batches.epoch(wanted))
        assert [batch for batch, _ in read] == wanted
        found.append(np.concatenate([images for _, images in read]))
    return found


@pytest.mark.parametrize("augmentation", ["augmix", "trivialaugment"])
def test_batches_do_not_depend_on_workers(noise: Dataset, augmentation: str) -> None:
    ids = np.arange(20)[::-1][:18]
    expected = [apply_policy(noise.images[ids], ids, augmentation_policy(augmentation), 7, epoch) for epoch in (0, 1)]
    assert not np.array_equal(*expected)
    for workers in (0, 1, 2):
        np.testing.assert_array_equal(epochs_of(noise, augmentation, workers), expected)


def test_standard_batches_are_the_images_as_they_are(noise: Dataset) -> None:
    for read in epochs_of(noise, "standard", 2):
        np.testing.assert_array_equal(read, noise.images[::-1][:18])


class _Deadly:
    """Images that kill the worker which reads them, as the kernel does where memory runs out."""

    shape, dtype = (20, 8, 8, 3), np.dtype(np.uint8)

    def __len__(self) -> int:
        return 20

    def __getitem__(self, rows):
        if torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.zeros((len(rows), 8, 8, 3), np.uint8)


def test_a_killed_worker_is_one_line() -> None:
    with pytest.raises(ModelError, match="was killed, most likely for want of memory") as caught:
        epochs_of(dataset_of(_Deadly()), "augmix", 1)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_with_a_killed_run() -> None:
    code = (  # batches larger than a pipe holds, so that each worker waits to send
        "import multiprocessing, time, numpy as np\n"
        "from test_data import BatchIndices, TrainingLoader, TrainingSpec, dataset_of\n"
        "data = dataset_of(np.zeros((64, 32, 32, 3), np.uint8))\n"
        "batches = TrainingLoader(data, TrainingSpec(augmentation='trivialaugment'), 0, 2)\n"
        "next(batches.epoch([BatchIndices(0, np.arange(64))] * 50))\n"
        "print(*(child.pid for child in multiprocessing.active_children()), flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=os.path.dirname(__file__), stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        workers = [int(pid) for pid in run.stdout.readline().split()]
        assert len(workers) == 2
        time.sleep(1)
        run.kill()
    deadline = time.monotonic() + 10
    while (left := [pid for pid in workers if _lives(pid)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def _lives(pid: int) -> bool:
    """Whether a process is there and not a zombie that no one has reaped."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("device", "cores", "expected"),
    [("cpu", 1, 0), ("cpu", 2, 0), ("cpu", 4, 3), ("cpu", 64, 8), ("cuda", 1, 0), ("cuda", 2, 1), ("cuda", 16, 8)],
)
def test_workers_leave_a_core_to_the_model(monkeypatch, device: str, cores: int, expected: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(cores)), raising=False)
    assert default_workers(torch.device(device)) == expected
