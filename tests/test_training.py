"""Training: augmentation, measured normalisation, a recipe that learns, and what the checkpoint says of it."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from failmodes.evaluate.models.architectures import ARCHITECTURES
from failmodes.evaluate.models.checkpoints import load_checkpoint
from failmodes.evaluate.study.study_schema import ModelSpec, TrainingSpec
from failmodes.evaluate.training.augmentation import random_crop_and_flip
from failmodes.evaluate.training.loop import channel_mean_std, measure_accuracy, train_model
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import DatasetSpec

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return tuple(open_dataset(DatasetSpec(kind="digits"), cache, split) for split in ("train", "test"))


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


def test_normalisation_is_that_of_the_training_pixels(digits) -> None:
    train_set, _ = digits
    ids = np.arange(1100)
    found = channel_mean_std(train_set, ids)
    pixels = np.asarray(train_set.images[ids]).reshape(-1, 3) / 255
    np.testing.assert_allclose(found.mean, pixels.mean(0), atol=1e-4)
    np.testing.assert_allclose(found.std, pixels.std(0), atol=1e-4)


def test_a_recipe_learns_and_its_checkpoint_says_how(digits, tmp_path) -> None:
    train_set, test_set = digits
    recipe = TrainingSpec(epochs=3, batch_size=64, crop_padding_px=2, flip=False)
    spec = ModelSpec(label="Small", architecture="resnet18", width=8, training=recipe, seeds=[3])
    epochs = []
    path = train_model(
        spec, 3, train_set=train_set, test_set=test_set, path=tmp_path / "small.safetensors", device=CPU,
        on_epoch=epochs.append,
    )  # fmt: skip
    assert [e.number for e in epochs] == [1, 2, 3]
    assert epochs[-1].loss_nats < epochs[0].loss_nats
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert TrainingSpec.model_validate_json(metadata["recipe"]) == recipe
    assert metadata["seed"] == "3"
    checkpoint = load_checkpoint(path, spec, test_set.class_names)
    measured = measure_accuracy(checkpoint.module, spec, checkpoint.normalisation, test_set, CPU)
    assert measured > 0.6
    assert float(metadata["clean_accuracy"]) == pytest.approx(measured, abs=1e-4)
    assert json.loads(metadata["class_names"]) == list(test_set.class_names)
    assert [p.name for p in tmp_path.iterdir()] == ["small.safetensors"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("width", [16, 64])
def test_networks_keep_resolution_at_the_stem_and_scale_with_width(architecture: str, width: int) -> None:
    module = ARCHITECTURES[architecture].build(7, width).eval()
    seen = []
    module.get_submodule({"resnet18": "layer4", "densenet121": "features"}[architecture]).register_forward_hook(
        lambda _m, _i, output: seen.append(tuple(output.shape[2:]))
    )
    with torch.inference_mode():
        assert module(torch.zeros(1, 3, 32, 32)).shape == (1, 7)
    assert seen == [(4, 4)]
    if width == 64:  # torchvision's own count for 1,000 classes, less the larger stem and the larger head
        published = {"resnet18": 11_689_512, "densenet121": 7_978_856}[architecture]
        channels = {"resnet18": 512, "densenet121": 1024}[architecture]
        expected = published - 3 * 64 * (7 * 7 - 3 * 3) - (channels + 1) * (1000 - 7)
        assert sum(p.numel() for p in module.parameters()) == expected
