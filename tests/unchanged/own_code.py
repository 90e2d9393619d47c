"""Models, preprocessing and corruptions of a user's own code, in versions that differ in one part."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

OBJECTS = """
import types
import numpy as np
import torch
from torch import nn

SHIFT = 1.0
TABLE = np.arange(12.0).reshape(3, 4)
settings = types.ModuleType("settings")
settings.LEVEL = 1.0

def helper(values):
    return values * 2.0

def classify(images, offset=0.0, *, gain=1.0):
    means = images.mean((1, 2)) / 255  # of the channels
    return (helper(means @ TABLE) * gain + offset + SHIFT + settings.LEVEL).astype("float32") * 0.5

classify.tag = 1

def scaled(factor):
    def classify_scaled(images):
        return classify(images) * np.float32(factor)
    return classify_scaled

class Base(nn.Module):
    power = 1.0
    def rescaled(self, x):
        return x * 1.5

class Activation(nn.Module):
    def forward(self, x):
        return x.relu()

class Net(Base):
    def __init__(self, stride, slope, steps, mask):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=stride)
        self.activation = Activation()
        self.fc = nn.Linear(4, 4)
        self.slope = slope
        self.register_buffer("steps", torch.tensor(steps))
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x):
        x = self.activation(self.conv(x)).mean((2, 3)) * self.mask
        return self.rescaled(self.fc(x)) * self.slope + self.steps.sum() * self.power - 0.25

def network():
    net = Net(stride=2, slope=0.5, steps=[1, 2], mask=torch.ones(4))
    with torch.no_grad():
        for number, parameter in enumerate(net.parameters(), 1):
            parameter.copy_(torch.arange(parameter.numel()).reshape(parameter.shape) % 7 / 8 - number / 16)
        net.fc.bias[0] += 0.0
    net.activation.register_forward_hook(lambda module, inputs, output: output * 2.0)
    return net

def prepared(factor):
    def prepare(images):
        return images.float() / 255 * factor
    return prepare

def prepare_one(image):
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255

def veil(images, parameters):
    return (images // 2 + 60).astype("uint8")
"""
FUNCTION = {  # of classify
    "function.constant": ("* 0.5\n\nclassify.tag", "* 0.75\n\nclassify.tag"),
    "function.default": ("offset=0.0", "offset=0.5"),
    "function.keyword_default": ("gain=1.0", "gain=1.5"),
    "function.global": ("SHIFT = 1.0", "SHIFT = 2.0"),
    "function.array": ("np.arange(12.0)", "np.arange(1.0, 13.0)"),
    "function.helper": ("values * 2.0", "values * 3.0"),
    "function.attribute": ("classify.tag = 1", "classify.tag = 2"),
    "function.own_module": ("settings.LEVEL = 1.0", "settings.LEVEL = 2.0"),
}
MODULE = {  # of network()
    "module.weight": ("fc.bias[0] += 0.0", "fc.bias[0] += 0.5"),
    "module.constant": ("self.power - 0.25", "self.power - 0.5"),
    "module.attribute": ("slope=0.5", "slope=0.75"),
    "module.class_attribute": ("power = 1.0", "power = 1.5"),
    "module.base": ("x * 1.5", "x * 2.5"),
    "module.child": ("x.relu()", "x.sigmoid()"),
    "module.layer": ("stride=2", "stride=1"),
    "module.whole_numbers": ("[1, 2]", "[1, 3]"),
    "module.buffer": ("torch.ones(4)", "torch.ones(4) / 2"),
    "module.hook": ("output * 2.0", "output * 3.0"),
}
COMMENT = "  # of the channels", "  # red, green and blue\n"
NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, scale=1.0, shift=0.0):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 4, 3, stride=2)
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(4, num_classes)
        self.scale, self.shift = scale, shift

    def forward(self, x):
        x = self.conv2(self.conv1(x * self.scale + self.shift).relu()).relu()
        return self.fc(self.pool(x).flatten(1))

class Two(Net):
    def forward(self, x):
        logits = super().forward(x)
        return {"logits": logits, "other": logits * 2}

class Soft(Net):
    def forward(self, x):
        return super().forward(x).softmax(1)

def build(num_classes, **options):
    return Net(num_classes, **options)

def built(num_classes):
    return Net(num_classes)
"""
HAZE = """
import numpy as np

def haze(images, parameters):
    return (images * 0.75 + 10 * parameters[0]).astype(np.uint8)
"""
HAZE_OF = """
from failmodes import CustomCorruption
from haze1 import haze

HAZE = CustomCorruption("haze", haze, {keys})
"""

PACKAGE = """
__version__ = "{version}"

def halved(values):
    return values / 2
"""
OF_PACKAGE = """
import numpy as np
from uncommon import halved

def classify(images):
    return halved(images.mean((1, 2)) @ np.eye(3, 4)).astype("float32")
"""


def write(folder: Path) -> None:
    """Write the modules that studies name."""
    (folder / "nets.py").write_text(NETS)
    (folder / "haze1.py").write_text(HAZE)
    (folder / "haze2.py").write_text(HAZE.replace("+ 10", "+ 11"))
    for name, keys in (("levels", "levels=((1,), (2,), (3,), (4,), (6,))"), ("clean", "clean=None")):
        (folder / f"haze_{name}.py").write_text(HAZE_OF.format(keys=keys))


def of_package(folder: Path, version: int) -> Any:
    """A function that calls one of an installed package, which is written first."""
    package = folder / f"version{version}/site-packages"
    package.mkdir(parents=True)
    (package / "uncommon.py").write_text(PACKAGE.format(version=version))
    sys.path.insert(0, str(package))
    return _run(OF_PACKAGE).classify


def objects(old: str = "", new: str = "") -> Any:
    """The names that OBJECTS defines, with one of its texts replaced."""
    assert not old or OBJECTS.count(old) == 1, old
    return _run(OBJECTS.replace(old, new) if old else OBJECTS)


def _run(text: str) -> Any:
    names = {"__name__": "own"}
    exec(compile(text, "own.py", "exec"), names)
    return SimpleNamespace(**names)
