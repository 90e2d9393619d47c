"""Training batches: read, and augmented image by image where the recipe says so, by worker processes ahead of time."""

import os
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Items

from failmodes.evaluate.child_processes import exit_with_parent, identity_collate
from failmodes.evaluate.study.study_schema import TrainingSpec
from failmodes.evaluate.training.augmentation import apply_policy, augmentation_policy
from failmodes.ingest.datasets.dataset import Dataset, ImageArray
from failmodes.warehouse.errors import ModelError

MAX_WORKERS = 8


class BatchIndices(NamedTuple):
    """The images of a batch: the epoch from 0, and their indices (N,) in the data set."""

    epoch: int
    image_ids: NDArray[np.int64]


class TrainingLoader:
    """The batches of each epoch in turn; the same ones for any number of workers.

    Args:
        dataset: the images to learn from.
        recipe: says how each image is augmented.
        seed: seed of the random augmentation.
        workers: processes that prepare batches; none where there is nothing to do but read.
    """

    def __init__(self, dataset: Dataset, recipe: TrainingSpec, seed: int, workers: int) -> None:
        reader = _Reader(dataset.images, recipe, seed)
        workers = workers if reader.policy else 0
        self._batches: list[BatchIndices] = []  # the loader takes its next epoch from it; its workers outlive an epoch
        self._loader: DataLoader[Any] = DataLoader(
            reader,
            batch_size=None,
            sampler=self._batches,
            num_workers=workers,
            collate_fn=identity_collate,
            worker_init_fn=exit_with_parent,
            persistent_workers=workers > 0,
            # a forked worker shares a memory map; elsewhere than on Linux forking is not safe
            multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
            generator=torch.Generator(),  # else it would draw from torch's default one
        )

    def epoch(self, batches: list[BatchIndices]) -> Iterator[tuple[BatchIndices, NDArray[np.uint8]]]:
        """Each batch with its augmented images (N, H, W, 3).

        Raises:
            ModelError: a worker died.
        """
        self._batches[:] = batches
        try:
            yield from zip(batches, self._loader, strict=True)
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):
                raise
            raise ModelError(
                "a process that augments training images was killed, most likely for want of memory: free some and"
                " train again, which goes on from the last whole epoch"
            ) from error


class _Reader(Items[NDArray[np.uint8]]):
    """Images of a batch, augmented; each worker has a copy."""

    def __init__(self, images: ImageArray, recipe: TrainingSpec, seed: int) -> None:
        self.images, self.policy, self.seed = images, augmentation_policy(recipe.augmentation), seed

    def __getitem__(self, batch: BatchIndices) -> NDArray[np.uint8]:
        pixels = np.ascontiguousarray(self.images[batch.image_ids])
        if self.policy is None:
            return pixels
        return apply_policy(pixels, batch.image_ids, self.policy, self.seed, batch.epoch)


def default_workers(device: torch.device) -> int:
    """0 on a CPU of two cores or fewer, which the network needs; else one per core but one, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if device.type == "cpu" and cores <= 2 else min(MAX_WORKERS, cores - 1)
