"""Augmentation: AugMix and TrivialAugment image by image, as bytes; then crop and flip by the batch, on the device."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torchvision.transforms import v2

from failmodes.evaluate.study.study_schema import Augmentation, TrainingSpec

AugmentationPolicy = Callable[[torch.Tensor], torch.Tensor]  # one uint8 image (3, H, W), augmented

POLICIES: dict[Augmentation, Callable[[], AugmentationPolicy]] = {
    "augmix": v2.AugMix,
    "trivialaugment": v2.TrivialAugmentWide,
}


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
    """Seed of one image's augmentation, 32 bits, mixed so that adjacent values of any of the three give independent seeds."""
    return int(np.random.SeedSequence((seed, epoch, image_id)).generate_state(1)[0])


def random_crop_and_flip(images: torch.Tensor, recipe: TrainingSpec, generator: torch.Generator) -> torch.Tensor:
    """Random crop after padding, then a horizontal flip with probability ½, sampled for each image.

    Args:
        images: (N, 3, H, W) normalised floats; they are padded with 0, the mean pixel.
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
