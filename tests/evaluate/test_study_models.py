"""The models of a study: given, trained, published or a user's own, side by side in one run."""

import sys

import pytest
import torch
from tiny_study import rows_of, write_tiny_study

from failmodes.evaluate.engine.run import evaluate_study
from failmodes.evaluate.study.study_file import read_study
from failmodes.evaluate.study_models import load_study_models, study_models, train_missing
from failmodes.ingest.datasets.opening import open_dataset

NET = """
from torch import nn
class Net(nn.Module):
    normalization = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    def __init__(self, num_classes):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, num_classes)
    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))
"""

MODELS = """
[[models]]
label = "Mine"
architecture = "MODULE:Net"
[[models]]
label = "MobileNet"
architecture = "mobilenet_v3_small"
checkpoint = "mobile.pt"
normalization = { mean = [0.5, 0.5, 0.5], std = [0.5, 0.5, 0.5] }
class_map = { zero = 10, one = 9, two = 8, three = 7, four = 6, five = 5, six = 4, seven = 3, eight = 2, nine = 1 }
[evaluation]
attention = "none"
"""


@pytest.fixture
def study_of(tmp_path, monkeypatch):
    """Reads a study with the given models' tables, in a folder with a user's module and two checkpoints."""
    module = f"zoo_{tmp_path.name}"
    monkeypatch.setattr(sys, "path", list(sys.path))

    def read(extra: str):
        (tmp_path / f"{module}.py").write_text(NET)
        torch.manual_seed(0)
        from torchvision.models import mobilenet_v3_small

        tensors = {f"module.{n}": t for n, t in mobilenet_v3_small(num_classes=11).state_dict().items()}
        torch.save({"state_dict": tensors}, tmp_path / "mobile.pt")
        return read_study(write_tiny_study(tmp_path, images=10, models=0, extra=extra.replace("MODULE", module)))

    yield read
    sys.modules.pop(module, None)


def test_models_of_every_kind_run_in_one_study(study_of) -> None:
    study = study_of(MODELS)
    dataset = open_dataset(study.dataset, study.cache)
    assert train_missing(study, dataset) == []
    _, mobile = load_study_models(study, dataset)
    assert mobile.prefix == "module."
    assert mobile.class_outputs == list(range(10, 0, -1))
    evaluate_study(study, dataset)
    rows = rows_of(study.output)
    assert rows.num_rows == 2 * 5 * 10
    assert set(rows["predicted"].to_pylist()) <= set(range(10))


def test_a_trained_model_is_found_again_by_what_its_weights_depend_on(study_of) -> None:
    def file(extra: str) -> str:
        study = study_of(extra)
        return next(study_models(study, open_dataset(study.dataset, study.cache))).path.name

    model = '[[models]]\nlabel = "A"\narchitecture = "{architecture}"\ntraining = {{ epochs = 1{more} }}\n'
    ours = model.format(architecture="resnet18", more="")
    first = file(ours)
    assert file(ours + "attention = 'none'\nwidth = 64\n") == first  # the default, said
    assert file(ours + "width = 16\n") != first
    assert file(model.format(architecture="resnet18", more=", flip = false")) != first
