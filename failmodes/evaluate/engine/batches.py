"""Batches: images of a cell, corrupted and measured, in this process or ahead of the model in worker processes.

A batch depends only on its slice (which images of which cell), so that rows are the same in every process. With a GPU,
worker processes corrupt images ahead and pass batches through shared memory. On a CPU the model uses every core, so
batches are computed between forward passes, on all cores.
"""

import os
import pickle
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from failmodes.evaluate.child_processes import begin_worker, identity_collate, interrupts_blocked, process_context
from failmodes.evaluate.devices import keep_freed_memory
from failmodes.evaluate.evaluation_data import EvaluationData, open_study_data
from failmodes.evaluate.study.study_schema import Study
from failmodes.ingest.corruptions.catalog import add_corruption, registered
from failmodes.ingest.datasets.dataset import Dataset as ImageDataset
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.ingest.distortion import rmse, ssim
from failmodes.runtime.errors import DataError, FailmodesError
from failmodes.warehouse.shards.format import Cell

BATCH_BYTES = 4 << 20  # pixels of a batch: enough to corrupt many images at once in little memory
PREFETCH_BATCHES = 2  # prepared ahead by each worker
SHARED_MEMORY = "/dev/shm"  # batches pass between processes here on Linux; a container may have only 64 MB


class BatchSlice(NamedTuple):
    """Images of a cell: positions start … stop − 1 of the subset of the study's `data`, by index.

    Attributes:
        evaluation_ids: the evaluations that need it.
    """

    data: int
    cell: Cell
    start: int
    stop: int
    evaluation_ids: tuple[str, ...] = ()


class CorruptedBatch(NamedTuple):
    """Corrupted images of a cell.

    Attributes:
        slice: which images of which cell.
        images: (N, H, W, 3) uint8 tensor, in page-locked memory for a GPU.
        image_ids: (N,) int64.
        labels: (N,) int64.
        rmse: (N,) float32 against the clean image, or None if unpaired.
        ssim: (N,) float32, or None.
    """

    slice: BatchSlice
    images: torch.Tensor
    image_ids: np.ndarray
    labels: np.ndarray
    rmse: np.ndarray | None = None
    ssim: np.ndarray | None = None

    @property
    def positions(self) -> np.ndarray:
        """(N,) positions in the subset."""
        return np.arange(self.slice.start, self.slice.stop)


def pickle_study(study: Study) -> bytes:
    """The study for another process, with its custom corruptions.

    Custom corruptions are pickled by reference, so that their module must be importable there; the folder of the study
    file is on the path of every process that `multiprocessing` starts.
    """
    models = [spec for spec in study.models if spec.live is None]  # models in memory run in this process
    corruptions = [corruption for name, corruption in registered().items() if name in study.corruptions.names]
    return pickle.dumps((study.model_copy(update={"models": models}), corruptions))


def open_pickled_study(content: bytes) -> tuple[Study, ImageDataset]:
    """The study of `pickle_study` and its dataset, opened in this process; images are memory-mapped, not copied."""
    study, corruptions = pickle.loads(content)
    for corruption in corruptions:
        add_corruption(corruption)
    return study, open_dataset(study.dataset, study.cache)


def images_per_batch(image_shape: tuple[int, ...], model_batch: int) -> int:
    """Images per batch: a multiple of the model's batch size, about BATCH_BYTES of pixels."""
    return max(1, BATCH_BYTES // (int(np.prod(image_shape)) * model_batch)) * model_batch


def count_images(data: EvaluationData, cell: Cell) -> int:
    """Number of images of a cell."""
    return len(data.subset.clean_ids if cell.is_clean else data.subset.corrupted_ids)


def make_batch(data: EvaluationData, part: BatchSlice, *, threads: int = 1) -> CorruptedBatch:
    """Read or decode the images of a slice, corrupt them, and measure their distance from the clean ones."""
    subset = data.subset
    cell = part.cell
    all_ids, all_labels = (
        (subset.clean_ids, data.dataset.labels[subset.clean_ids])
        if cell.is_clean
        else (subset.corrupted_ids, subset.corrupted_labels)
    )
    positions = slice(part.start, part.stop)
    ids = all_ids[positions]

    def made(ids: np.ndarray) -> tuple[np.ndarray, ...]:
        """Images, with RMSE and SSIM if they are paired with clean ones."""
        clean = data.dataset.images[ids] if cell.is_clean or data.paired else None
        if cell.is_clean:
            zero = np.zeros(len(ids), np.float32)
            return np.asarray(clean), zero, zero + 1
        images = data.source.corrupted(clean, cell.corruption, cell.severity, ids)
        return (images,) if clean is None else (images, rmse(clean, images), ssim(clean, images))

    pieces = np.array_split(ids, min(threads, len(ids)))
    with ThreadPoolExecutor(len(pieces)) as pool:  # neither decoding nor corruptions depend on the batch
        images, *distances = (np.concatenate(parts) for parts in zip(*pool.map(made, pieces), strict=True))
    return CorruptedBatch(part, _tensor(images), ids, all_labels[positions], *distances)


@dataclass
class BatchStream:
    """Computes batches in the order of their slices.

    Attributes:
        data: of the study open in this process.
        study: the study, for worker processes.
        workers: number of processes that prepare batches ahead; 0 computes them in this process, on demand.
        threads: number of threads that compute a batch in this process.
        pinned: put images into page-locked memory, which a GPU copies from while computing.
    """

    data: Sequence[EvaluationData]
    study: Study
    workers: int = 0
    threads: int = 1
    pinned: bool = False

    def batches(self, slices: Iterable[BatchSlice]) -> Iterator[CorruptedBatch]:
        """Yield one batch per slice; slices are read up to PREFETCH_BATCHES per worker ahead.

        Raises:
            DataError: images cannot be read, or a worker process was killed.
        """
        if not self.workers:
            yield from (make_batch(self.data[part.data], part, threads=self.threads) for part in slices)
            return
        try:
            with interrupts_blocked():  # processes start here
                batches = iter(self._loader(slices))
            for batch in batches:
                if isinstance(batch, FailmodesError):
                    raise batch
                yield batch
        except (RuntimeError, OSError, EOFError) as error:
            if not _means_a_killed_worker(error):
                raise
            raise DataError(
                "a process that corrupts images was killed, most likely out of memory: set a smaller `workers` in "
                "[evaluation] and rerun the command to resume"
            ) from error

    def _loader(self, slices: Iterable[BatchSlice]) -> DataLoader[CorruptedBatch | FailmodesError]:
        return DataLoader(
            _WorkerBatches(pickle_study(self.study)),
            sampler=slices,
            batch_size=None,
            num_workers=self.workers,
            prefetch_factor=PREFETCH_BATCHES,
            collate_fn=identity_collate,
            pin_memory=self.pinned,
            worker_init_fn=_begin_worker,
            multiprocessing_context=process_context(),
        )


def limit_workers(requested: int, batch_bytes: int) -> int:
    """The number of workers whose batches fit into half of the free shared memory; all of them if none is mounted."""
    if not os.path.isdir(SHARED_MEMORY):
        return requested
    room = shutil.disk_usage(SHARED_MEMORY).free // 2
    return min(requested, int(room // (batch_bytes * (PREFETCH_BATCHES + 1))))


class _WorkerBatches(Dataset[CorruptedBatch | FailmodesError]):
    """The dataset of a worker process: opens the study once, then computes batches."""

    def __init__(self, pickled_study: bytes) -> None:
        self.pickled_study = pickled_study
        self.data: list[EvaluationData] | None = None

    def __getitem__(self, part: Any) -> CorruptedBatch | FailmodesError:
        try:
            if self.data is None:
                self.data = open_study_data(*open_pickled_study(self.pickled_study))
            return make_batch(self.data[part.data], part)
        except FailmodesError as error:
            return error  # returned, since the DataLoader would replace a raised error by the text of its traceback


def _means_a_killed_worker(error: Exception) -> bool:
    """Torch reports a killed worker in the message; if it died while passing a batch, a pipe or socket ends instead."""
    text = str(error)
    pipe_ended = isinstance(error, ConnectionError | FileNotFoundError | EOFError)
    return text.startswith("DataLoader worker (pid") or (pipe_ended and not text.startswith("Caught "))


def _tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.require(images, requirements=["C", "W"]))  # torch does not accept read-only memory maps


def _begin_worker(_worker: int) -> None:
    cv2.setNumThreads(1)  # each worker has one core
    keep_freed_memory()
    begin_worker()
