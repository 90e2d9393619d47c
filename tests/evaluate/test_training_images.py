"""Training images: augmentation, the same batches for any number of workers, one line where a worker dies."""

import itertools
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torchvision import transforms as v1
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from failmodes.evaluate.study.study_schema import TrainingSpec
from failmodes.evaluate.training_images import (
    POLICIES,
    default_workers,
    image_seed,
    random_crop_and_flip,
    training_batches,
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
    for workers in (0, 1, 2):
        np.testing.assert_array_equal(epochs_of(noise, augmentation, workers), expected)


def test_standard_batches_are_the_images_as_they_are(noise: Dataset) -> None:
    for read in epochs_of(noise, "standard", 2):
        np.testing.assert_array_equal(read, noise.images[::-1][:18].transpose(0, 3, 1, 2))


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
        "from test_training_images import dataset_of, training_batches\n"
        "data = dataset_of(np.zeros((64, 32, 32, 3), np.uint8))\n"
        "batches = training_batches(data, 'trivialaugment', 0, [(0, np.arange(64))] * 50, 2)\n"
        "next(batches)\n"
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
    found = augmented(images, name, 5, 3, np.arange(12))
    assert (found.dtype, found.shape) == (np.uint8, (12, 3, SIDE, SIDE))
    before = images.transpose(0, 3, 1, 2)
    for image_id, result in enumerate(found):
        torch.manual_seed(image_seed(5, 3, image_id))
        assert torch.equal(torch.from_numpy(result), PER_IMAGE[name]()(torch.from_numpy(before[image_id].copy())))
    assert (found != before).any(axis=(1, 2, 3)).sum() > 8


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
    found = augmented(images, "trivialaugment", 0, 0, np.arange(12))
    names = set()
    for image, result in zip(images, found, strict=True):
        space = wide_space(channels_first(image)).items()
        distances = {name: int((torch.from_numpy(result).int() - other.int()).abs().max()) for name, other in space}
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
        new = POLICIES["augmix"](pixels).int()
        torch.manual_seed(number)
        differences.append((new - v1.AugMix()(pixels).int()).abs())
        changes.append((new - pixels.int()).abs())
    assert (torch.stack(differences) <= 1).float().mean() > 0.99
    assert torch.stack(changes).float().mean() > 5


@pytest.mark.parametrize("name", PER_IMAGE)
def test_a_draw_follows_from_seed_epoch_and_image_alone(images, name: str) -> None:
    same = np.repeat(images[:1], 12, axis=0)
    ids = np.arange(12)
    found = augmented(same, name, 1, 3, ids)
    assert len({image.tobytes() for image in found}) > 6
    backwards = augmented(same, name, 1, 3, ids[4::-1])
    np.testing.assert_array_equal(backwards, found[4::-1])
    for seed, epoch in ((1, 4), (2, 3)):
        other = augmented(same, name, seed, epoch, ids)
        assert (other != found).any(axis=(1, 2, 3)).sum() > 6


def test_augmenting_leaves_images_and_random_state_as_they_were(images) -> None:
    before, state = images.copy(), torch.get_rng_state()
    augmented(images, "augmix", 0, 0, np.arange(12))
    np.testing.assert_array_equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_no_two_draws_of_a_small_run_share_a_seed() -> None:
    seeds = {image_seed(*key) for key in itertools.product(range(3), range(10), range(100))}
    assert len(seeds) == 3000
