"""Studies that are run once for all tests of the engine."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from built_once import built_once
from tiny_study import CELLS, hashes, run_study, write_tiny_study

MODEL = """
import torch
from torch import nn
class Twelve(nn.Module):
    normalization = {"mean": [0.5] * 3, "std": [0.25] * 3}
    class_names = ["zero", "one", "two", "three", "dog", "five", "six", "seven", "cat", "nine", "four", "eight"]
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.conv, self.pool, self.fc = nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(4), nn.Linear(128, 12)
        nn.init.normal_(self.fc.weight)
    def forward(self, x):
        return self.fc(self.pool(self.conv(x).relu()).flatten(1))
"""
STUDY = """
name = "twelve"
output = "out"
[dataset]
kind = "digits"
images = 40
[corruptions]
names = ["contrast"]
severities = [1, 5]
[[models]]
label = "Twelve"
architecture = "{module}:Twelve"
{keys}
"""


@pytest.fixture(scope="session")
def two_models(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A finished study of two models, and the hashes of all that it published."""

    def build(folder: Path) -> dict[str, str]:
        assert run_study(write_tiny_study(folder, models=2)).written == 2 * CELLS
        return hashes(folder / "out")

    folder, expected = built_once(tmp_path_factory, "two", build)
    return folder / "study.toml", expected


@pytest.fixture
def two_trained_models(two_models, tmp_path) -> tuple[Path, Path, dict[str, str]]:
    """The same study with its trained models and nothing evaluated; its output; the hashes that are expected."""
    shutil.copytree(two_models[0].parent / "out" / "checkpoints", tmp_path / "out" / "checkpoints")
    return write_tiny_study(tmp_path, models=2), tmp_path / "out", two_models[1]


@pytest.fixture
def trained_model(tiny_run, tmp_path) -> tuple[Path, Path]:
    """The tiny study with its trained model and nothing evaluated; its output."""
    shutil.copytree(tiny_run[1].output / "checkpoints", tmp_path / "out" / "checkpoints")
    return write_tiny_study(tmp_path), tmp_path / "out"


@pytest.fixture(scope="session")
def two_models_output(two_models) -> tuple[Path, dict[str, str]]:
    """The output of the finished study, and its hashes."""
    return two_models[0].parent / "out", two_models[1]


@pytest.fixture
def study_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Writes a study of a model of twelve outputs, ten of them classes; further keys of the model may follow."""
    module = f"twelve_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(MODEL)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(keys: str) -> Path:
        (tmp_path / "study.toml").write_text(STUDY.format(module=module, keys=keys))
        return tmp_path / "study.toml"

    yield write
    sys.modules.pop(module, None)
