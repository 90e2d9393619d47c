"""Specifications of models, and modules of a user's own models."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from failmodes.evaluate.models.model import Model, OutputMap
from failmodes.evaluate.models.preprocessing import Preprocessing
from failmodes.evaluate.study.study_schema import ModelSpec

CLASSES = ("a", "b", "c")


def checkpoint_spec(path, **changes) -> ModelSpec:
    return ModelSpec(**({"label": "A", "architecture": "resnet18", "width": 8, "checkpoint": path} | changes))


BUILDERS_MODULE = """
from torch import nn
class Flat(nn.Module):
    def __init__(self, num_classes=3, hidden=4):
        super().__init__()
        self.flat = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, hidden))
        self.fc = nn.Linear(hidden, num_classes)
    def forward(self, x):
        return self.fc(self.flat(x))
def fixed(): return Flat(5)
def any_argument(**kwargs): return Flat(**kwargs)
def nothing(): return 3
def broken(num_classes): raise RuntimeError("no such luck\\nat all")
instance = Flat()
"""


def untrained_spec(architecture: str, **changes) -> ModelSpec:
    return ModelSpec(**({"label": "A", "architecture": architecture, "training": {}} | changes))


USER_MODULE = """
import torch
from torch import nn
class Net(nn.Module):
    normalization = {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]}
    input_side_px = 8
    def __init__(self, num_classes=3):
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, num_classes)
    def forward(self, x):
        return self.fc(self.bn(self.conv(x)).mean((2, 3)))
class Named(Net):
    class_names = ["c", "a", "b", "d"]
    def __init__(self): super().__init__(4)
class Silent(Net):
    normalization = input_side_px = None
class Wrong(Net):
    normalization = {"mean": 0.5}
class Layer(Silent):
    def __init__(self):
        super().__init__()
        self.normalization = nn.Identity()
class Many(Silent):
    def __init__(self): super().__init__(1000)
class Maps(Silent):
    def forward(self, x): return x
class Both(Silent):
    def forward(self, x): return super().forward(x), super().forward(x)
"""


def dataset_of(side: int, class_names: tuple[str, ...] = CLASSES) -> SimpleNamespace:
    images = np.zeros((2, side, side, 3), np.uint8)
    return SimpleNamespace(images=images, name="folder", label="photographs", class_names=class_names)


def model_spec(architecture: str, **changes) -> ModelSpec:
    return ModelSpec(**({"label": "A", "architecture": architecture} | changes))


def ready_model(
    module: nn.Module,
    architecture: str,
    normalization,
    device: torch.device,
    precision,
    *,
    label: str = "model",
    input_side_px: int | None = None,
    outputs: list[int] | None = None,
) -> Model:
    """A module of a test where it runs, without classes."""
    return Model(
        module=module, spec=model_spec("tests:net", label=label), architecture=architecture,
        output_map=OutputMap() if outputs is None else OutputMap(tuple(outputs), count=max(outputs) + 2),
        preprocessing=Preprocessing(normalization, input_side_px),
    ).to(device, precision)  # fmt: skip
