"""Training images: augmentation, the same batches for any number of workers, one line where a worker dies."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from failmodes.evaluate.study.study_schema import TrainingSpec
from failmodes.evaluate.training_images import (
    image_seed,
    random_crop_and_flip,
    training_batches,
)
from failmodes.ingest.datasets.dataset import Dataset

CLASSES = ("one", "two")


def dataset_of(images) -> Dataset:
    labels = np.arange(len(images)) % 2
    return Dataset("folder", "Noise", "train", images, labels, CLASSES)


@pytest.fixture
def noise() -> Dataset:
    return dataset_of(np.random.default_rng(1).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8))


def augmented(images: np.ndarray, augmentation: str, seed: int, epoch: int, image_ids: np.ndarray) -> np.ndarray:
    """Those of the images (N, H, W, 3) in one batch of a single process: (M, 3, H, W)."""
    ((found, _),) = training_batches(dataset_of(images), augmentation, seed, [(epoch, image_ids)], 0)
    return found


def epochs_of(dataset: Dataset, augmentation: str, workers: int) -> list[np.ndarray]:
    order = np.arange(20)[::-1]
    wanted = [(epoch, order[start : start + 6]) for epoch in (0, 1) for start in (0, 6, 12)]
    read = list(training_batches(dataset, augmentation, 7, iter(wanted), workers))
    for (_, image_ids), (_, labels) in zip(wanted, read, strict=True):
        np.testing.assert_array_equal(labels, dataset.labels[image_ids])
    return [np.concatenate([images for images, _ in batches]) for batches in (read[:3], read[3:])]


@pytest.mark.parametrize("augmentation", ["augmix", "trivialaugment"])
def test_batches_do_not_depend_on_workers(noise: Dataset, augmentation: str) -> None:
    ids = np.arange(20)[::-1][:18]
    expected = [augmented(noise.images, augmentation, 7, epoch, ids) for epoch in (0, 1)]
    assert not np.array_equal(*expected)
    for workers in (0, 2):
        np.testing.assert_array_equal(epochs_of(noise, augmentation, workers), expected)


def test_augmentation_shifts_and_flips_each_image_and_nothing_else() -> None:
    images = torch.rand(64, 3, 8, 8) + 1
    recipe = TrainingSpec(crop_padding_px=2, flip=True)
    found = random_crop_and_flip(images, recipe, torch.Generator().manual_seed(0))
    flipped = shifted = 0
    for before, after in zip(images, found, strict=True):
        padded = torch.nn.functional.pad(before, (2, 2, 2, 2))
        crops = [padded[:, y : y + 8, x : x + 8] for y in range(5) for x in range(5)]
        matches = [
            (i, f) for i, crop in enumerate(crops) for f in (0, 1) if torch.equal(after, crop.flip(2) if f else crop)
        ]
        assert len(matches) == 1
        flipped += matches[0][1]
        shifted += matches[0][0] != 12
    assert 16 < flipped < 48
    assert shifted > 40
    plain = TrainingSpec(crop_padding_px=0, flip=False)
    assert torch.equal(random_crop_and_flip(images, plain, torch.Generator()), images)


SIDE = 8
PER_IMAGE = {"augmix": v2.AugMix, "trivialaugment": v2.TrivialAugmentWide}


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", PER_IMAGE)
def test_each_image_is_what_torchvision_gives_for_its_seed(images, name: str) -> None:
    found = augmented(images, name, 5, 3, np.arange(12))
    assert (found.dtype, found.shape) == (np.uint8, (12, 3, SIDE, SIDE))
    before = images.transpose(0, 3, 1, 2)
    for image_id, result in enumerate(found):
        torch.manual_seed(image_seed(5, 3, image_id))
        assert torch.equal(torch.from_numpy(result), PER_IMAGE[name]()(torch.from_numpy(before[image_id].copy())))
    assert (found != before).any(axis=(1, 2, 3)).sum() > 8


@pytest.mark.parametrize("name", PER_IMAGE)
def test_a_draw_follows_from_seed_epoch_and_image_alone_and_leaves_the_random_state(images, name: str) -> None:
    state = torch.get_rng_state()
    same = np.repeat(images[:1], 12, axis=0)
    ids = np.arange(12)
    found = augmented(same, name, 1, 3, ids)
    assert len({image.tobytes() for image in found}) > 6
    backwards = augmented(same, name, 1, 3, ids[4::-1])
    np.testing.assert_array_equal(backwards, found[4::-1])
    for seed, epoch in ((1, 4), (2, 3)):
        other = augmented(same, name, seed, epoch, ids)
        assert (other != found).any(axis=(1, 2, 3)).sum() > 6
    assert torch.equal(torch.get_rng_state(), state)
