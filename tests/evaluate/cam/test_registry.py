"""CAM methods are found by their files: names, what results call them, and a method that one new file adds."""

from pathlib import Path

import numpy as np
import pytest
from package_copies import package_with, run_python
from tiny_study import rows_of, write_tiny_study

from failmodes.evaluate.cam.registry import cam_class, method_meanings, parse_method
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.schema import EVALUATIONS
from failmodes.warehouse.shards.format import list_results_files, read_verified

IN_RESULTS = {
    "closed-form": "grad-cam (closed form)",
    "backward": "grad-cam (backward)",
    "gradcam++": "gradcam++ (grad-cam package)",
    "hirescam": "hirescam (grad-cam package)",
    "xgradcam": "xgradcam (grad-cam package)",
    "gradcamelementwise": "gradcamelementwise (grad-cam package)",
    "layercam": "layercam (grad-cam package)",
    "eigencam": "eigencam (grad-cam package)",
    "eigengradcam": "eigengradcam (grad-cam package)",
    "scorecam": "scorecam (grad-cam package)",
}  # they are part of identities
MODULE = """
import torch
from torch import nn
class Net(nn.Module):
    normalization = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(3, 4, 3, stride=4), nn.Linear(4, 10)
    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))
"""


def test_each_method_has_its_name_in_results_and_a_study_may_give_either() -> None:
    assert set(method_meanings()) == {"auto", "none", "grad-cam", *IN_RESULTS}
    assert {name: cam_class(name).method for name in IN_RESULTS} == IN_RESULTS
    for name, in_results in IN_RESULTS.items():
        assert parse_method(f" {name.upper()} ") == parse_method(in_results) == name
    with pytest.raises(StudyError, match="'layercm' .*'layercam'"):
        parse_method("layercm")


@pytest.mark.slow
def test_one_new_file_adds_a_method(tmp_path: Path) -> None:
    package = package_with(tmp_path, "cam/methods")
    (tmp_path / "nets.py").write_text(MODULE)
    models = '[[models]]\nlabel = "Net"\narchitecture = "nets:Net"\n[evaluation]\nattention = "activation-mean"\n'
    study = write_tiny_study(tmp_path, images=10, models=0, extra=models)
    run_python(package, "-m", "failmodes", "evaluate", str(study), folder=tmp_path)
    (stored,) = list_results_files(tmp_path / "out", EVALUATIONS)
    (row,) = read_verified(stored).rows.to_pylist()
    assert (row["attention_method"], row["attention_layer"]) == ("activation-mean", "conv")
    mass = np.array(rows_of(tmp_path / "out", "attention")["mass"])
    assert len(mass) == 2 * 5 * 10
    assert np.all(mass > 0)
    assert np.array_equal(mass[::2], mass[1::2])  # of both targets, for the map has none
