"""Training: augmentation, measured normalization, a recipe that learns, and what the checkpoint says of it."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.study.study_schema import ModelSpec, TrainingSpec
from failmodes.evaluate.training.loop import channel_mean_std, measure_accuracy, train_model
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import DatasetSpec

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return tuple(open_dataset(DatasetSpec(kind="digits"), cache, split) for split in ("train", "test"))


def test_normalization_is_that_of_the_training_pixels(digits) -> None:
    train_set, _ = digits
    ids = np.arange(1100)
    found = channel_mean_std(train_set, ids)
    pixels = np.asarray(train_set.images[ids]).reshape(-1, 3) / 255
    np.testing.assert_allclose(found.mean, pixels.mean(0), atol=1e-4)
    np.testing.assert_allclose(found.std, pixels.std(0), atol=1e-4)


@pytest.mark.slow
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
    checkpoint = load_model(spec, test_set.class_names, path)
    measured = measure_accuracy(checkpoint.to(CPU), test_set)
    assert measured > 0.6
    assert float(metadata["clean_accuracy"]) == pytest.approx(measured, abs=1e-4)
    assert json.loads(metadata["class_names"]) == list(test_set.class_names)
    assert [p.name for p in tmp_path.iterdir()] == ["small.safetensors"]
