"""Checkpoints and modules of a user's models."""

import importlib
import json
import sys
from importlib.util import find_spec

import pytest
import torch
from model_specs import BUILDERS_MODULE, USER_MODULE

from failmodes.evaluate.models.checkpoints import save_checkpoint
from failmodes.evaluate.models.sources.builtin import ARCHITECTURES

OF_LIBRARIES = {"onnx": "onnxruntime", "open_clip": "open_clip", "hugging_face": "transformers"}
collect_ignore = [f"test_{name}.py" for name, library in OF_LIBRARIES.items() if find_spec(library) is None]
NEUTRAL = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    module = ARCHITECTURES["resnet18"](3, 8)
    path = tmp_path / "a.safetensors"
    metadata = {"architecture": "resnet18", "normalization": json.dumps(NEUTRAL), "clean_accuracy": "0.5", "seed": "7"}
    save_checkpoint(path, module, metadata)
    return path, module


@pytest.fixture
def write_module(tmp_path, monkeypatch):
    """Writes a module of a user's models to where it can be imported; gives its name."""
    name = f"nets_{tmp_path.name}"
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return name

    yield write
    sys.modules.pop(name, None)


@pytest.fixture
def builders_module(write_module) -> str:
    return write_module(BUILDERS_MODULE)


@pytest.fixture
def user_module(write_module) -> str:
    return write_module(USER_MODULE)


@pytest.fixture
def four_outputs(tmp_path):
    module = ARCHITECTURES["resnet18"](4, 8)
    metadata = {"architecture": "resnet18", "normalization": json.dumps(NEUTRAL)}
    metadata["class_names"] = json.dumps(["c", "a", "b", "d"])
    save_checkpoint(tmp_path / "four.safetensors", module, metadata)
    return tmp_path / "four.safetensors", module
