"""Training: augmentation, measured normalization, a recipe that learns, and what the checkpoint says of it."""

import itertools

import numpy as np
import pytest
import torch
from torchvision import transforms as v1
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from failmodes.evaluate.study.study_schema import TrainingSpec
from failmodes.evaluate.training.data import apply_policy, augmentation_policy, image_seed, random_crop_and_flip


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
    again = random_crop_and_flip(images, recipe, torch.Generator().manual_seed(0))
    assert torch.equal(found, again)
    assert torch.equal(
        random_crop_and_flip(images, TrainingSpec(crop_padding_px=0, flip=False), torch.Generator()), images
    )


SIDE = 8
PER_IMAGE = {"augmix": v2.AugMix, "trivialaugment": v2.TrivialAugmentWide}


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, SIDE, SIDE, 3), dtype=np.uint8)


def channels_first(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1).contiguous()


@pytest.mark.parametrize("name", PER_IMAGE)
def test_each_image_is_what_torchvision_gives_for_its_seed(images, name: str) -> None:
    ids = np.arange(100, 112)
    found = apply_policy(images, ids, augmentation_policy(name), seed=5, epoch=2)
    assert (found.dtype, found.shape) == (np.uint8, images.shape)
    for image, image_id, result in zip(images, ids, found, strict=True):
        torch.manual_seed(image_seed(5, 2, int(image_id)))
        assert torch.equal(channels_first(result), PER_IMAGE[name]()(channels_first(image)))
    assert (found != images).any(axis=(1, 2, 3)).sum() > 8


def wide_space(image: torch.Tensor) -> dict[str, torch.Tensor]:
    """Every result of the wide space (Müller & Hutter 2021, table 6), by torchvision's functions."""
    found = {"identity": image, "autocontrast": F.autocontrast(image), "equalize": F.equalize(image)}
    for level, sign in itertools.product(range(31), (1, -1)):
        part = sign * level / 30
        strength, shear, shift = 1 + 0.99 * part, float(np.degrees(np.arctan(0.99 * part))), int(32 * part)
        for axis in (0, 1):
            shears, shifts = ([shear, 0.0], [shift, 0]) if axis == 0 else ([0.0, shear], [0, shift])
            found[f"shear {axis} {part}"] = F.affine(image, 0.0, [0, 0], 1.0, shears, center=[0, 0])
            found[f"translate {axis} {part}"] = F.affine(image, 0.0, shifts, 1.0, [0.0, 0.0])
        found[f"rotate {part}"] = F.rotate(image, 135 * part)
        found[f"brightness {part}"] = F.adjust_brightness(image, strength)
        found[f"color {part}"] = F.adjust_saturation(image, strength)
        found[f"contrast {part}"] = F.adjust_contrast(image, strength)
        found[f"sharpness {part}"] = F.adjust_sharpness(image, strength)
        found[f"posterize {level}"] = F.posterize(image, 8 - round(level / 5))
        found[f"solarize {level}"] = F.solarize(image, 255 * (1 - level / 30))
    return found


@pytest.mark.slow
def test_trivialaugment_is_one_operation_of_the_wide_space_an_image(images) -> None:
    found = apply_policy(images, np.arange(12), augmentation_policy("trivialaugment"), seed=0, epoch=0)
    names = set()
    for image, result in zip(images, found, strict=True):
        space = wide_space(channels_first(image)).items()
        distances = {name: int((channels_first(result).int() - other.int()).abs().max()) for name, other in space}
        best = min(distances, key=lambda name: distances[name])
        assert distances[best] <= 1  # magnitudes here are float64, torchvision's float32: a value may round otherwise
        names.add(best.split()[0])
    assert len(names) >= 5


def test_augmix_is_that_of_the_first_torchvision_interface_for_equal_draws(images, monkeypatch) -> None:
    # The two draw an operation's sign by other means, so it is drawn alike here. Their sharpness and autocontrast
    # round otherwise, by one step, which a later posterize may enlarge in a few pixels.
    monkeypatch.setattr(torch, "rand", lambda _size: 1 - torch.randint(2, (1,)))
    differences, changes = [], []
    for number, image in enumerate(images):
        pixels = channels_first(image)
        torch.manual_seed(number)
        new = augmentation_policy("augmix")(pixels).int()
        torch.manual_seed(number)
        differences.append((new - v1.AugMix()(pixels).int()).abs())
        changes.append((new - pixels.int()).abs())
    assert (torch.stack(differences) <= 1).float().mean() > 0.99
    assert torch.stack(changes).float().mean() > 5


@pytest.mark.parametrize("name", PER_IMAGE)
def test_a_draw_follows_from_seed_epoch_and_image_alone(images, name: str) -> None:
    policy = augmentation_policy(name)
    same = np.repeat(images[:1], 12, axis=0)
    ids = np.arange(12)
    found = apply_policy(same, ids, policy, seed=1, epoch=3)
    assert len({image.tobytes() for image in found}) > 6
    backwards = apply_policy(same[:5], ids[4::-1], policy, seed=1, epoch=3)
    np.testing.assert_array_equal(backwards, found[4::-1])
    for seed, epoch in ((1, 4), (2, 3)):
        other = apply_policy(same, ids, policy, seed=seed, epoch=epoch)
        assert (other != found).any(axis=(1, 2, 3)).sum() > 6


def test_augmenting_leaves_images_and_random_state_as_they_were(images) -> None:
    before, state = images.copy(), torch.get_rng_state()
    apply_policy(images, np.arange(12), augmentation_policy("augmix"), seed=0, epoch=0)
    np.testing.assert_array_equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_no_two_draws_of_a_small_run_share_a_seed() -> None:
    seeds = {image_seed(*key) for key in itertools.product(range(3), range(10), range(100))}
    assert len(seeds) == 3000
