"""The supplied checkpoint meets our corrupted images as it met the published generator's."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.study.study_schema import ModelSpec, Normalization
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset

# What draws nothing equals the published outputs pixel by pixel (test_corruptions_witness): minutes saved here
RANDOM = [name for name in CORRUPTIONS if CORRUPTIONS[name].samples]
TOLERANCE = 25  # of 1,000 images; one draw of the random ones differs from another by about 10


@pytest.fixture(scope="module")
def witness(real_data, tmp_path_factory):
    dataset = open_dataset(DatasetSpec(kind="cifar10", path=real_data / "cifar10"), tmp_path_factory.mktemp("cache"))
    path = real_data / "checkpoints" / "resnet18-cifar10jpeg.safetensors"
    normalization = Normalization(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
    spec = ModelSpec(label="x", architecture="resnet18", checkpoint=path, normalization=normalization)
    models = {}
    for precision in ("float32", "bfloat16"):
        models[precision] = load_model(spec, dataset, path).to(torch.device("cpu"), precision)
    expected = json.loads((real_data / "corruption_witness" / "accuracy.json").read_text())["correct_of_1000"]
    return models, np.asarray(dataset.images[:1000]), dataset.labels[:1000], expected


def correct_of(model, images: np.ndarray, labels: np.ndarray) -> int:
    parts = [model.predict(images[i : i + 50]).argmax(1) for i in range(0, len(images), 50)]
    return int((torch.cat(parts).numpy() == labels).sum())


@pytest.mark.test_all
def test_clean_accuracy_is_the_recorded_one(witness) -> None:
    models, images, labels, expected = witness
    assert correct_of(models["float32"], images, labels) == expected["clean"]


@pytest.mark.test_all
@pytest.mark.parametrize("severity", [pytest.param(3, marks=pytest.mark.nightly), 5])
@pytest.mark.parametrize("corruption", RANDOM)
def test_accuracy_is_that_of_the_published_corruption(witness, corruption: str, severity: int) -> None:
    models, images, labels, expected = witness  # bfloat16 takes half the time
    found = correct_of(models["bfloat16"], corrupt(images, corruption, severity, seed=0), labels)
    assert abs(found - expected[f"{corruption}/{severity}"]) <= TOLERANCE
