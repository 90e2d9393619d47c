"""Small models of this process, and the models of a benchmark that they become."""

import copy
from pathlib import Path

import numpy as np
import torch
from torch import nn

from failmodes.evaluate.benchmark import Benchmark, model_specs
from failmodes.evaluate.models.live import live_model
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.options import Options
from failmodes.evaluate.study.study_schema import ModelSpec
from failmodes.ingest.datasets.dataset import Dataset

HALF = ([0.5] * 3, [0.5] * 3)
NAMES = ("cat", "dog", "owl")
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
PIXELS = torch.from_numpy(IMAGES).permute(0, 3, 1, 2)
CPU = torch.device("cpu")


class Net(nn.Module):
    """A small model with all that a benchmark could change: mode, gradients, statistics of batches."""

    def __init__(self, outputs: int = 3, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(4, outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.norm(self.conv(images)).relu().mean((2, 3))))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)
        self.two.weight = self.one.weight

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.two(self.one(images.mean((2, 3))))


class Predictor:
    def __call__(self, images: np.ndarray) -> np.ndarray:
        return images.mean((1, 2))


def dataset(names: tuple[str, ...] = NAMES) -> Dataset:
    return Dataset("arrays", "photographs", "test", IMAGES, np.arange(len(IMAGES)) % len(names), names)


def spec_of(given, label: str = "Net A", *, normalization=None, class_names=None, **options) -> ModelSpec:
    asked = Benchmark(
        models={label: given}, images=None, labels=None, to=Path(), normalization=normalization,
        class_names=class_names, options=Options(**options),
    )  # fmt: skip
    return model_specs(asked)[label]


def live(given, label: str = "Net A", *, preprocess=None, version: str | None = None, **more) -> Model:
    """The model of an object, before it meets a data set."""
    spec = spec_of(given, label, **more)
    return live_model(given, spec, IMAGES[:2], preprocess=preprocess, version=version)


def as_model(given, label: str = "Net A", names: tuple[str, ...] = NAMES, **more) -> Model:
    model = live(given, label, **more)
    return load_model(model.spec.with_live(model), dataset(names))


def logits(model: Model) -> torch.Tensor:
    return model.to(CPU).predict(IMAGES)


def state(module: nn.Module) -> dict[str, object]:
    """All of a module that a benchmark might change."""
    return {
        "tensors": {name: tensor.clone() for name, tensor in module.state_dict().items()},
        "types": {name: (tensor.dtype, tensor.device, tensor.stride()) for name, tensor in module.state_dict().items()},
        "gradients": {name: (p.requires_grad, copy.deepcopy(p.grad)) for name, p in module.named_parameters()},
        "modes": [part.training for part in module.modules()],
        "hooks": [[dict(part._forward_hooks), dict(part._forward_pre_hooks)] for part in module.modules()],
        "ids": [id(part) for part in (*module.modules(), *module.parameters(), *module.buffers())],
        "attributes": [sorted(vars(part)) for part in module.modules()],
    }  # fmt: skip


def assert_equal(one: dict[str, object], other: dict[str, object]) -> None:
    torch.testing.assert_close(one.pop("tensors"), other.pop("tensors"), rtol=0, atol=0)
    torch.testing.assert_close(one.pop("gradients"), other.pop("gradients"), rtol=0, atol=0)
    assert one == other
