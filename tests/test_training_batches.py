"""Training batches: the same for any number of workers, and one line where a worker dies."""

import os
import signal

import numpy as np
import pytest
import torch

from evaluate.specification import TrainingSpec
from evaluate.training.augmentation import augment_each, policy_of
from evaluate.training.batches import Batch, Batches, default_workers
from ingest.datasets import Dataset
from warehouse.errors import ModelError

CLASSES = ("one", "two")


def dataset_of(images) -> Dataset:
    labels = np.arange(len(images)) % 2
    return Dataset("folder", "Noise", "train", images, labels, CLASSES)


@pytest.fixture
def noise() -> Dataset:
    return dataset_of(np.random.default_rng(1).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8))


def epochs_of(dataset: Dataset, augmentation: str, workers: int) -> list[np.ndarray]:
    batches = Batches(dataset, TrainingSpec(augmentation=augmentation), 7, workers)
    order = np.arange(20)[::-1]
    found = []
    for epoch in (0, 1):
        wanted = [Batch(epoch, order[start : start + 6]) for start in (0, 6, 12)]
        read = list(batches.epoch(wanted))
        assert [batch for batch, _ in read] == wanted
        found.append(np.concatenate([images for _, images in read]))
    return found


@pytest.mark.parametrize("augmentation", ["augmix", "trivialaugment"])
def test_batches_do_not_depend_on_workers(noise: Dataset, augmentation: str) -> None:
    ids = np.arange(20)[::-1][:18]
    expected = [augment_each(noise.images[ids], ids, policy_of(augmentation), 7, epoch) for epoch in (0, 1)]
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


@pytest.mark.parametrize(
    ("device", "cores", "expected"),
    [("cpu", 1, 0), ("cpu", 2, 0), ("cpu", 4, 3), ("cpu", 64, 8), ("cuda", 1, 0), ("cuda", 2, 1), ("cuda", 16, 8)],
)
def test_workers_leave_a_core_to_the_network(monkeypatch, device: str, cores: int, expected: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(cores)), raising=False)
    assert default_workers(torch.device(device)) == expected
