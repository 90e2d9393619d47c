"""The models of a study: checkpoints, trained, published and a user's models in one run."""

from pathlib import Path

import pytest
import torch
from tiny_study import rows_of, write_tiny_study
from torchvision.models import mobilenet_v3_small

from failmodes.evaluate.engine.run import evaluate_study
from failmodes.evaluate.study.study_file import read_study
from failmodes.evaluate.study.study_schema import Study
from failmodes.evaluate.study_models import load_study_models, study_models, train_missing
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.layout import open_dataset

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
architecture = "zoo_of_one:Net"
[[models]]
label = "MobileNet"
architecture = "mobilenet_v3_small"
checkpoint = "mobile.pt"
normalization = { mean = [0.5, 0.5, 0.5], std = [0.5, 0.5, 0.5] }
class_map = { zero = 10, one = 9, two = 8, three = 7, four = 6, five = 5, six = 4, seven = 3, eight = 2, nine = 1 }
[evaluation]
attention = "none"
"""


def study_of(folder: Path, models: str) -> tuple[Study, Dataset]:
    study = read_study(write_tiny_study(folder, images=10, models=0, extra=models))
    return study, open_dataset(study.dataset, study.cache)


@pytest.mark.test_all
def test_models_of_every_kind_run_in_one_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "zoo_of_one.py").write_text(NET)
    torch.manual_seed(0)
    tensors = {f"module.{n}": t for n, t in mobilenet_v3_small(num_classes=11).state_dict().items()}
    torch.save({"state_dict": tensors}, tmp_path / "mobile.pt")
    study, dataset = study_of(tmp_path, MODELS)
    assert train_missing(study, dataset) == []
    _, mobile = load_study_models(study, dataset)
    assert (mobile.checkpoint_note, mobile.output_map.class_outputs) == (
        "prefix 'module.' stripped",
        list(range(10, 0, -1)),
    )
    evaluate_study(study, dataset)
    rows = rows_of(study.output)
    assert rows.num_rows == 2 * 5 * 10
    assert set(rows["predicted"].to_pylist()) <= set(range(10))


def test_a_trained_model_is_found_again_by_what_its_weights_depend_on(tmp_path: Path) -> None:
    def file(keys: str = "", more: str = "") -> str:
        training = f"training = {{ epochs = 1{more} }}\n"
        model = f'[[models]]\nlabel = "A"\narchitecture = "resnet18"\n{training}{keys}'
        return next(study_models(*study_of(tmp_path, model))).path.name

    assert file('attention = "none"\nwidth = 64\n') == file()  # the default, said
    assert len({file(), file("width = 16\n"), file(more=", flip = false")}) == 3
