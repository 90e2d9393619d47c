"""Programs of torch.export: predictions of the eager module, identity, malformed files."""

import os
from pathlib import Path

import pytest
import torch
from model_specs import CLASSES, dataset_of, model_spec
from onnx_graphs import NORMALIZATION, SIDE, Several, Small, pixels, prepared, write_program
from torch import nn

from failmodes.evaluate.cam.method_selection import select_cam_method
from failmodes.evaluate.models.checkpoints import read_checkpoint
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.models.model import CamUnavailable, Model
from failmodes.warehouse.errors import FailmodesError, ModelError, StudyError

CPU = torch.device("cpu")
IMAGES = pixels()


def loaded(path: Path, side: int = SIDE, classes: tuple[str, ...] = CLASSES, **keys) -> Model:
    dataset = dataset_of(side, classes)
    dataset.images = pixels(16, side)
    spec = model_spec(f"export:{path}", **({"normalization": NORMALIZATION} | keys))
    return load_model(spec, dataset).to(CPU)


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


def test_the_program_states_its_size_and_has_no_attention(tmp_path) -> None:
    path = write_program(Small(), tmp_path / "net.pt2")
    model = loaded(path)
    found = select_cam_method(model, (SIDE, SIDE))
    assert isinstance(found, CamUnavailable)
    assert "exported program" in found.reason
    with pytest.raises(StudyError, match=f"set `input_side_px = {SIDE}`"):
        loaded(path, side=32)
    assert loaded(path, side=32, input_side_px=SIDE).predict(pixels(3, 32)).shape == (3, 3)
    with pytest.raises(StudyError, match="normalization = { mean"):
        loaded(path, normalization=None)


def test_a_fixed_batch_is_one_line(tmp_path) -> None:
    with pytest.raises(ModelError, match=r"1 image .*export it with a dynamic batch dimension") as refused:
        loaded(write_program(Small(), tmp_path / "net.pt2", batch=4))
    assert "\n" not in str(refused.value)


def test_the_identity_is_that_of_the_file(tmp_path) -> None:
    path = write_program(Small(), tmp_path / "net.pt2")
    first = loaded(path).model_id
    (tmp_path / "folder").mkdir()
    moved = path.rename(tmp_path / "folder/net.pt2")
    assert loaded(moved).model_id == first
    other = Small()
    other.head.bias.data += 1
    assert loaded(write_program(other, path)).model_id != first


MALFORMED = {
    "bytes": lambda path: path.write_bytes(b"no archive" * 99),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(write_program(Small(), path).read_bytes()[:-2000]),
    "a pipe": os.mkfifo,
    "weights": lambda path: torch.save(Small().state_dict(), path),
    "nothing": lambda path: None,
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_one_line(tmp_path, case: str) -> None:
    MALFORMED[case](tmp_path / "net.pt2")
    with pytest.raises(FailmodesError, match=r"net\.pt2") as refused:
        loaded(tmp_path / "net.pt2")
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
