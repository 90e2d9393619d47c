"""Blocks: some images of a cell, corrupted and measured, made in this process or ahead of the network in others.

A block depends on its key alone (which images, which corruption and severity), so that rows are the same whoever makes
it. Beside a GPU, worker processes corrupt ahead and their blocks cross in shared memory; on a CPU every core is the
network's, so blocks are made between batches, on all cores.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from failmodes.evaluate.child_processes import exit_with_parent, identity_collate, process_context
from failmodes.evaluate.engine.evaluation_data import EvaluationData, WorkerSpec, open_evaluation_data
from failmodes.ingest.distortion import rmse, ssim
from failmodes.warehouse.errors import DataError, FailmodesError
from failmodes.warehouse.shards.format import Cell

BATCH_BYTES = 4 << 20  # pixels of a block: enough to corrupt in whole batches, few enough to stay small

PREFETCH_BLOCKS = 2  # ready ahead for each worker

SHARED_MEMORY = "/dev/shm"  # where blocks cross between processes on Linux; a container may have 64 MB of it


class BatchSlice(NamedTuple):
    """Which images of which cell: positions start … stop − 1 of the subset of a material."""

    material: int
    cell: Cell
    start: int
    stop: int


class CorruptedBatch(NamedTuple):
    """Some images of a cell.

    Attributes:
        key: which ones.
        images: (N, H, W, 3) uint8 tensor, in page-locked memory where a GPU waits for it.
        image_ids: (N,) int64.
        labels: (N,) int64.
        rmse: (N,) float32 against the clean image, or None if unpaired.
        ssim: (N,) float32, or None.
    """

    key: BatchSlice
    images: torch.Tensor
    image_ids: np.ndarray
    labels: np.ndarray
    rmse: np.ndarray | None
    ssim: np.ndarray | None

    @property
    def positions(self) -> np.ndarray:
        """(N,) places in the subset."""
        return np.arange(self.key.start, self.key.stop)


def images_per_batch(image_shape: tuple[int, ...], batch_size: int) -> int:
    """How many images a block holds: whole batches, about BLOCK_BYTES of pixels, at least one batch."""
    return max(1, BATCH_BYTES // (int(np.prod(image_shape)) * batch_size)) * batch_size


def make_batch(material: EvaluationData, key: BatchSlice, *, threads: int = 1) -> CorruptedBatch:
    """Corrupt the images of `key` and measure how far they are from the clean ones."""
    subset, part = material.subset, slice(key.start, key.stop)
    if key.cell.is_clean:
        ids = subset.clean_ids[part]
        images, labels = material.dataset.images[ids], material.dataset.labels[ids]
        none = np.zeros(len(ids), np.float32)
        return CorruptedBatch(key, _tensor(images), ids, labels, none, none + 1)
    ids, labels = subset.corrupted_ids[part], subset.corrupted_labels[part]
    pieces = np.array_split(np.arange(len(ids)), min(threads, len(ids)))
    with ThreadPoolExecutor(len(pieces)) as pool:  # what a corruption does to an image does not depend on its batch
        made = list(pool.map(lambda piece: _corrupted(material, key, ids[piece]), pieces))
    images, rmse_of, ssim_of = zip(*made, strict=True)
    return CorruptedBatch(key, _tensor(np.concatenate(images)), ids, labels, _joined(rmse_of), _joined(ssim_of))


class BatchStream:
    """Makes the blocks of many keys, in their order.

    Args:
        materials: of the study that is open in this process.
        opening: how a worker process opens the same; needed only with workers.
        workers: how many processes make blocks ahead; 0 makes them here, when they are asked for.
        threads: how many make a block here.
        pinned: whether images lie in page-locked memory, from which a GPU copies while it computes.
    """

    def __init__(
        self,
        materials: list[EvaluationData],
        opening: WorkerSpec | None = None,
        *,
        workers: int = 0,
        threads: int = 1,
        pinned: bool = False,
    ) -> None:
        self.materials, self.opening, self.pinned = materials, opening, pinned
        self.workers, self.threads = workers if opening is not None else 0, threads

    def blocks(self, keys: Iterable[BatchSlice]) -> Iterator[CorruptedBatch]:
        """One block a key; keys are drawn as blocks are made, up to PREFETCH_BLOCKS a worker ahead."""
        if not self.workers:
            yield from (make_batch(self.materials[key.material], key, threads=self.threads) for key in keys)
            return
        try:
            for block in self._loader(keys):
                if isinstance(block, FailmodesError):
                    raise block
                yield block
        except (RuntimeError, ConnectionError) as error:
            if "DataLoader worker" not in str(error) and not isinstance(error, ConnectionError):
                raise
            raise DataError(
                "a process that corrupts images was killed, most likely for want of memory: set a smaller `workers` in "
                "[evaluation] and run the same command to go on"
            ) from error

    def _loader(self, keys: Iterable[BatchSlice]) -> DataLoader[CorruptedBatch | FailmodesError]:
        assert self.opening is not None
        return DataLoader(
            _Maker(self.opening),
            sampler=_Keys(keys),
            batch_size=None,
            num_workers=self.workers,
            prefetch_factor=PREFETCH_BLOCKS,
            collate_fn=identity_collate,
            pin_memory=self.pinned,
            worker_init_fn=_begin_worker,
            multiprocessing_context=process_context(),
        )


def limit_workers(wanted: int, block_bytes: int) -> int:
    """How many workers' blocks fit into half of the shared memory that is free; all of them where none is mounted."""
    if not os.path.isdir(SHARED_MEMORY):
        return wanted
    room = shutil.disk_usage(SHARED_MEMORY).free // 2
    return min(wanted, int(room // (block_bytes * (PREFETCH_BLOCKS + 1))))


class _Maker(Dataset[CorruptedBatch | FailmodesError]):
    """The side of a worker: opens the study once, then makes blocks."""

    def __init__(self, opening: WorkerSpec) -> None:
        self.opening = opening
        self.materials: list[EvaluationData] | None = None

    def __getitem__(self, key: Any) -> CorruptedBatch | FailmodesError:
        try:
            if self.materials is None:
                self.materials = list(open_evaluation_data(*self.opening.open()))
            return make_batch(self.materials[key.material], key)
        except FailmodesError as error:
            return error  # as a value: raised here it would cross as a traceback in words


class _Keys(Sampler[BatchSlice]):
    def __init__(self, keys: Iterable[BatchSlice]) -> None:
        self.keys = keys

    def __iter__(self) -> Iterator[BatchSlice]:
        return iter(self.keys)


def _corrupted(
    material: EvaluationData, key: BatchSlice, ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    clean = material.dataset.images[ids] if material.paired else None
    images = material.source.corrupted(clean, key.cell.corruption, key.cell.severity, ids)
    return images, *((rmse(clean, images), ssim(clean, images)) if clean is not None else (None, None))


def _joined(parts: tuple[np.ndarray | None, ...]) -> np.ndarray | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known else None


def _tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.require(images, requirements=["C", "W"]))  # torch takes no read-only memory map


def _begin_worker(_worker: int) -> None:
    cv2.setNumThreads(1)  # each worker has one core
    exit_with_parent()
