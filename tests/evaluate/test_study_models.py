"""The models of a study: given, trained, published or a user's own, side by side in one run."""

import json
import sys
from pathlib import Path

import pytest
import torch
from tiny_study import rows_of, write_tiny_study

from failmodes.evaluate.engine.run import evaluate_study
from failmodes.evaluate.models.checkpoints import save_checkpoint
from failmodes.evaluate.models.sources.builtin import ARCHITECTURES
from failmodes.evaluate.study.study_file import read_study
from failmodes.evaluate.study_models import load_study_models, study_models, train_missing
from failmodes.evaluate.training import state_file
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.warehouse.errors import StudyError

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

    def read(extra: str, models: int = 0):
        (tmp_path / f"{module}.py").write_text(NET)
        torch.manual_seed(0)
        from torchvision.models import mobilenet_v3_small

        tensors = {f"module.{n}": t for n, t in mobilenet_v3_small(num_classes=11).state_dict().items()}
        torch.save({"state_dict": tensors}, tmp_path / "mobile.pt")
        return read_study(write_tiny_study(tmp_path, images=10, models=models, extra=extra.replace("MODULE", module)))

    yield read
    sys.modules.pop(module, None)


@pytest.mark.slow
def test_models_of_every_kind_run_in_one_study(study_of) -> None:
    study = study_of(MODELS)
    dataset = open_dataset(study.dataset, study.cache)
    assert train_missing(study, dataset) == []
    mine, mobile = load_study_models(study, dataset)
    assert mobile.prefix == "module."
    assert mobile.class_outputs == list(range(10, 0, -1))
    evaluate_study(study, dataset)
    rows = rows_of(study.output)
    assert rows.num_rows == 2 * 5 * 10
    assert set(rows["predicted"].to_pylist()) <= set(range(10))
    assert mine.row()["checkpoint"] is None


def test_a_trained_model_is_found_again_by_what_its_weights_depend_on(study_of) -> None:
    def file(extra: str) -> str:
        study = study_of(extra)
        return next(study_models(study, open_dataset(study.dataset, study.cache))).path.name

    model = '[[models]]\nlabel = "A"\narchitecture = "{architecture}"\ntraining = {{ epochs = 1{more} }}\n'
    ours = model.format(architecture="resnet18", more="")
    first = file(ours)
    assert file(ours + "attention = 'none'\n") == first
    assert file(ours + "width = 64\n") == first  # the default, said
    assert file(ours + "width = 16\n") != first
    assert file(model.format(architecture="resnet18", more=", flip = false")) != first


def test_an_unknown_name_is_said_before_anything_is_trained(study_of) -> None:
    extra = '[[models]]\nlabel = "B"\narchitecture = "resnet81"\ntraining = { epochs = 1 }\n'
    study = study_of(extra, models=1)
    with pytest.raises(StudyError, match="unknown architecture 'resnet81': did you mean"):
        train_missing(study, open_dataset(study.dataset, study.cache))
    assert not (study.output / "checkpoints").exists()


def test_a_checkpoint_whose_names_are_not_the_data_sets_stops_before_the_first_batch(study_of, tmp_path) -> None:
    names = ["null", "eins", "zwei", "drei", "vier", "fuenf", "sechs", "sieben", "acht", "neun"]
    metadata = {"architecture": "resnet18", "class_names": json.dumps(names)}
    metadata["normalization"] = '{"mean": [0, 0, 0], "std": [1, 1, 1]}'
    save_checkpoint(tmp_path / "other.safetensors", ARCHITECTURES["resnet18"](10, 8), metadata)
    study = study_of(
        '[[models]]\nlabel = "A"\narchitecture = "resnet18"\nwidth = 8\ncheckpoint = "other.safetensors"\n'
    )
    with pytest.raises(StudyError, match="no output for 'zero', 'one', 'two' and 7 more"):
        evaluate_study(study, open_dataset(study.dataset, study.cache))
    assert not list(study.output.rglob("predictions/**/*.parquet"))


def test_what_a_training_left_that_was_killed_at_its_end_is_removed(tmp_path: Path) -> None:
    path = write_tiny_study(tmp_path)
    study = read_study(path)
    dataset = open_dataset(study.dataset, study.cache)
    (checkpoint,) = train_missing(study, dataset)
    state_file(checkpoint).write_bytes(b"of the last epoch")
    assert train_missing(study, dataset) == []
    assert [entry.name for entry in checkpoint.parent.iterdir()] == [checkpoint.name]
