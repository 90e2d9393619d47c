"""Training images: AugMix or TrivialAugment in worker processes ahead of time; then crop and flip by the batch."""

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Items
from torchvision.transforms import v2

from failmodes.evaluate.child_processes import begin_worker, deaf_to_interrupts, identity_collate
from failmodes.evaluate.study.study_schema import Augmentation, TrainingSpec
from failmodes.ingest.datasets.dataset import Dataset, ImageArray
from failmodes.warehouse.errors import ModelError

MAX_WORKERS = 8
AugmentationPolicy = Callable[[torch.Tensor], torch.Tensor]  # one uint8 image (3, H, W), augmented

POLICIES: dict[Augmentation, Callable[[], AugmentationPolicy]] = {
    "augmix": v2.AugMix,
    "trivialaugment": v2.TrivialAugmentWide,
}


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
            worker_init_fn=begin_worker,
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
            with deaf_to_interrupts():  # the first epoch starts the workers
                made = iter(self._loader)
            yield from zip(batches, made, strict=True)
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
    """0 on a CPU of two cores or fewer, which the model needs; else one per core but one, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if device.type == "cpu" and cores <= 2 else min(MAX_WORKERS, cores - 1)


def augmentation_policy(augmentation: Augmentation) -> AugmentationPolicy | None:
    """What augments one uint8 image (3, H, W) before crop and flip; None where there is nothing else.

    Both are torchvision's, with its settings. AugMix is the augmentation chain of Hendrycks et al. 2020
    (arXiv:1912.02781), all operations, without the paper's Jensen–Shannon loss: each image is seen once an epoch and
    learnt by cross-entropy. TrivialAugment is the wide space of Müller & Hutter 2021 (arXiv:2103.10158).
    """
    return POLICIES[augmentation]() if augmentation in POLICIES else None


def apply_policy(
    images: NDArray[np.uint8], image_ids: NDArray[np.int64], policy: AugmentationPolicy, seed: int, epoch: int
) -> NDArray[np.uint8]:
    """Augment each image by random numbers that follow from (seed, epoch, image) alone.

    Args:
        images: (N, H, W, 3) uint8.
        image_ids: (N,) the images' indices in the data set.
        policy: augments one image.
        seed: the training seed.
        epoch: number of the epoch, from 0.

    Returns:
        (N, H, W, 3) uint8; the caller's random state is as before.
    """
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    with torch.random.fork_rng(devices=[]):
        for row, image_id in enumerate(image_ids.tolist()):
            # torchvision's transforms take no generator: they draw from torch's default one
            torch.default_generator.manual_seed(image_seed(seed, epoch, image_id))
            pixels[row] = policy(pixels[row])
    return pixels.permute(0, 2, 3, 1).contiguous().numpy()


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
        padded = functional.pad(images, (pad, pad, pad, pad))
        top = torch.randint(0, 2 * pad + 1, (count, 1), generator=generator)
        left = torch.randint(0, 2 * pad + 1, (count, 1), generator=generator)
        rows = (top + torch.arange(height)).to(images.device)
        columns = (left + torch.arange(width)).to(images.device)
        index = torch.arange(count, device=images.device)[:, None, None]
        images = padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if recipe.flip:
        flipped = (torch.rand(count, generator=generator) < 0.5).to(images.device)
        images = torch.where(flipped[:, None, None, None], images.flip(3), images)
    return images
