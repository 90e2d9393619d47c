"""Training images: AugMix or TrivialAugment in worker processes ahead of time; then crop and flip by the batch."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Items
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from failmodes.evaluate.child_processes import begin_worker, deaf_to_interrupts, identity_collate
from failmodes.evaluate.study.study_schema import Augmentation, TrainingSpec
from failmodes.ingest.datasets.dataset import Dataset, ImageArray
from failmodes.warehouse.errors import ModelError

MAX_WORKERS = 8
AugmentationPolicy = Callable[[torch.Tensor], torch.Tensor]  # one uint8 image (3, H, W), augmented
BatchIndices = tuple[int, NDArray[np.int64]]  # the epoch from 0, and the indices (N,) of images in the data set
Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]  # augmented images (N, 3, H, W), and their labels (N,)

# Augmentation of an image before crop and flip, by torchvision with its settings. AugMix is the augmentation chain of
# Hendrycks et al. 2020 (arXiv:1912.02781), all operations, without the paper's Jensen–Shannon loss: each image is seen
# once an epoch and learnt by cross-entropy. TrivialAugment is the wide space of Müller & Hutter 2021 (arXiv:2103.10158)
POLICIES: dict[Augmentation, AugmentationPolicy] = {"augmix": v2.AugMix(), "trivialaugment": v2.TrivialAugmentWide()}


class _AugmentedImages(Items[Batch]):
    """Images of a batch, each augmented by random numbers that follow from (seed, epoch, image) alone.

    Each worker has a copy. The random state of its process is as before.
    """

    def __init__(self, images: ImageArray, labels: NDArray[np.int64], augmentation: Augmentation, seed: int) -> None:
        self.images, self.labels, self.policy, self.seed = images, labels, POLICIES.get(augmentation), seed

    def __getitem__(self, batch: BatchIndices) -> Batch:
        epoch, image_ids = batch
        pixels = np.ascontiguousarray(self.images[image_ids].transpose(0, 3, 1, 2))
        if self.policy is not None:
            with torch.random.fork_rng(devices=[]):
                for image, image_id in zip(torch.from_numpy(pixels), image_ids.tolist(), strict=True):
                    # torchvision's transforms take no generator: they draw from torch's default one
                    torch.default_generator.manual_seed(image_seed(self.seed, epoch, image_id))
                    image.copy_(self.policy(image))
        return pixels, self.labels[image_ids]


def training_batches(
    dataset: Dataset, augmentation: Augmentation, seed: int, indices: Iterable[BatchIndices], workers: int
) -> Iterator[Batch]:
    """Augmented images (N, 3, H, W) and labels (N,) of each batch; the same ones for any number of workers.

    Args:
        dataset: the images to learn from.
        augmentation: what each image gets before crop and flip.
        seed: seed of the random augmentation.
        indices: the batches of all epochs in turn.
        workers: processes that prepare batches; none where images are only read.

    Raises:
        ModelError: a worker died.
    """
    workers = workers if augmentation in POLICIES else 0
    loader: DataLoader[Any] = DataLoader(
        _AugmentedImages(dataset.images, dataset.labels, augmentation, seed),
        batch_size=None,
        sampler=indices,
        num_workers=workers,
        collate_fn=identity_collate,
        worker_init_fn=begin_worker,
        # a forked worker shares a memory map; elsewhere than on Linux forking is not safe
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        generator=torch.Generator(),  # else it would draw from torch's default one
    )
    try:
        with deaf_to_interrupts():  # it starts the workers
            batches = iter(loader)
        yield from batches
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise ModelError(
            "a process that augments training images was killed, most likely for want of memory: free some and"
            " train again, which goes on from the last whole epoch"
        ) from error


def default_workers(device: torch.device) -> int:
    """0 on a CPU of two cores or fewer, which the model needs; else one per core but one, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if device.type == "cpu" and cores <= 2 else min(MAX_WORKERS, cores - 1)


def image_seed(seed: int, epoch: int, image_id: int) -> int:
    """Seed of one image's augmentation, 32 bits, mixed so that adjacent values give independent seeds."""
    return int(np.random.SeedSequence((seed, epoch, image_id)).generate_state(1)[0])


def random_crop_and_flip(images: torch.Tensor, recipe: TrainingSpec, generator: torch.Generator) -> torch.Tensor:
    """Random crop after padding, then a horizontal flip with probability ½, sampled for each image.

    Args:
        images: (N, 3, H, W) normalized floats; they are padded with 0, the mean pixel.
        recipe: padding in pixels, and whether to flip.
        generator: random numbers, on the CPU so that they are the same for every device.
    """
    count, _, height, width = images.shape
    pad = recipe.crop_padding_px
    if pad:
        top, left = (torch.randint(0, 2 * pad + 1, (count,), generator=generator).tolist() for _ in range(2))
        padded = functional.pad(images, [pad])
        crops = zip(padded, top, left, strict=True)
        images = torch.stack([functional.crop(image, y, x, height, width) for image, y, x in crops])
    if recipe.flip:
        flipped = (torch.rand(count, generator=generator) < 0.5).to(images.device)
        images = torch.where(flipped[:, None, None, None], functional.horizontal_flip(images), images)
    return images
