"""Programs of torch.export, and what they have in common with ONNX graphs: size, identity, malformed files."""

import os
import re
from pathlib import Path

import pytest
import torch
from model_specs import CLASSES, dataset_of, model_spec
from onnx_graphs import NORMALIZATION, SIDE, Several, Small, pixels, prepared, write_onnx, write_program
from torch import nn

from failmodes.evaluate.cam.cam_method import CamUnavailable
from failmodes.evaluate.cam.method_selection import select_cam_method
from failmodes.evaluate.models.checkpoints import read_checkpoint
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.models.model import Model
from failmodes.runtime.errors import FailmodesError, ModelError, StudyError

CPU = torch.device("cpu")
IMAGES = pixels()


def loaded(path: Path, side: int = SIDE, **keys) -> Model:
    dataset = dataset_of(side, CLASSES)
    dataset.images = pixels(16, side)
    source = "onnx" if path.suffix == ".onnx" else "export"
    spec = model_spec(f"{source}:{path}", **({"normalization": NORMALIZATION} | keys))
    return load_model(spec, dataset).to(CPU)


@pytest.fixture(params=["net.pt2", pytest.param("net.onnx", marks=pytest.mark.test_all)])
def write(request, tmp_path):
    """Writes a model as a program or as a graph, always to the same file."""
    writer = write_program if request.param == "net.pt2" else write_onnx
    return lambda module: writer(module, tmp_path / request.param)


@pytest.mark.parametrize(
    ("module", "keys", "tolerance"),
    [
        (Small(), {}, 0),
        (Small().bfloat16(), {}, 0),
        (Several(), {"output_key": "0"}, 0),
        (Small(ending=nn.Softmax(1)), {"output_kind": "probabilities"}, 1e-5),
    ],
    ids=["plain", "bfloat16", "several outputs", "probabilities"],
)
def test_logits_are_those_of_the_eager_module(tmp_path, module, keys, tolerance) -> None:
    model = loaded(write_program(module, tmp_path / "net.pt2"), **keys)
    with torch.no_grad():
        expected = module.eval()(prepared(IMAGES).to(next(module.parameters()).dtype))
    expected = expected[0] if isinstance(expected, tuple) else expected
    found = model.predict(IMAGES)
    if "output_kind" in keys:
        found = found.exp()
    torch.testing.assert_close(found, expected.float(), atol=max(tolerance, 2e-6), rtol=1e-5)


def test_a_file_states_its_size_and_the_study_the_normalization(write) -> None:
    path = write(Small())
    with pytest.raises(StudyError, match=f"set `input_side_px = {SIDE}`"):
        loaded(path, side=32)
    assert loaded(path, side=32, input_side_px=SIDE).predict(pixels(3, 32)).shape == (3, 3)
    with pytest.raises(StudyError, match="normalization = { mean"):
        loaded(path, normalization=None)


def test_there_is_no_attention_and_the_reason_is_given(write) -> None:
    model = loaded(write(Small()))
    found = select_cam_method(model, (SIDE, SIDE))
    assert isinstance(found, CamUnavailable)
    assert re.search("exported program|ONNX Runtime computes no gradients", found.reason)
    with pytest.raises(StudyError, match=found.reason):
        select_cam_method(model, (SIDE, SIDE), "backward")


def test_a_fixed_batch_is_one_line(tmp_path) -> None:
    with pytest.raises(ModelError, match=r"1 image .*export it with a dynamic batch dimension") as refused:
        loaded(write_program(Small(), tmp_path / "net.pt2", batch=4))
    assert "\n" not in str(refused.value)


def test_the_identity_is_that_of_the_file(write, tmp_path) -> None:
    path = write(Small())
    first = loaded(path).model_id
    (tmp_path / "folder").mkdir()
    moved = path.rename(tmp_path / "folder" / path.name)
    assert loaded(moved).model_id == first
    other = Small()
    other.head.bias.data += 1
    assert loaded(write(other)).model_id != first


MALFORMED = {
    "bytes": lambda path: path.write_bytes(b"\x08\x07no archive" * 99),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "weights": lambda path: torch.save(Small().state_dict(), path),
    "nothing": lambda path: None,
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_one_line(write, case: str) -> None:
    path = write(Small())
    if case != "cut":
        path.unlink()
    MALFORMED[case](path)
    with pytest.raises(FailmodesError, match=path.name) as refused:
        loaded(path)
    assert "\n" not in str(refused.value)


def test_a_program_of_other_inputs_is_refused(tmp_path) -> None:
    class Table(nn.Module):
        def forward(self, values):
            return values * 2

    torch.export.save(torch.export.export(Table(), (torch.zeros(2, 3),)), tmp_path / "net.pt2")
    with pytest.raises(ModelError, match=r"takes \(2, 3\): expected one batch of images"):
        loaded(tmp_path / "net.pt2")


def test_a_program_is_no_checkpoint(tmp_path) -> None:
    with pytest.raises(ModelError, match='set architecture = "export:net.pt2"'):
        read_checkpoint(write_program(Small(), tmp_path / "net.pt2"))
