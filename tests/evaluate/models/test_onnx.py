"""ONNX graphs: predictions of the exported module, layouts, dtypes, batches, outputs, external data."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from model_specs import CLASSES, dataset_of, model_spec
from onnx_graphs import (
    MEAN,
    NORMALIZATION,
    SIDE,
    STD,
    ChannelsLast,
    FromPixels,
    Several,
    Small,
    pixels,
    prepared,
    write_onnx,
)
from torch import nn

from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.study.study_file import check_study
from failmodes.runtime.errors import ModelError, StudyError

pytestmark = pytest.mark.test_all
CPU = torch.device("cpu")
IMAGES = pixels()


def loaded(path: Path, side: int = SIDE, classes: tuple[str, ...] = CLASSES, **keys) -> Model:
    dataset = dataset_of(side, classes)
    dataset.images = pixels(16, side)
    spec = model_spec(f"onnx:{path}", **({"normalization": NORMALIZATION} | keys))
    return load_model(spec, dataset).to(CPU)


def expected(module: nn.Module, images: np.ndarray = IMAGES):
    with torch.no_grad():
        return module.eval()(prepared(images))


@pytest.mark.parametrize("batch", [None, 1, 8], ids=["any batch", "batches of 1", "batches of 8"])
@pytest.mark.parametrize("channels_last", [False, True], ids=["NCHW", "NHWC"])
def test_logits_are_those_of_the_exported_module(tmp_path, batch, channels_last) -> None:
    made = ChannelsLast() if channels_last else Small()
    model = loaded(write_onnx(made, tmp_path / "net.onnx", batch=batch))
    torch.testing.assert_close(model.predict(IMAGES), expected(Small()), atol=1e-5, rtol=1e-5)
    assert model.predict(IMAGES[:3]).shape == (3, 3), "a padded batch returns only its images"
    said = model.assumptions()["model"]
    assert ("NHWC" if channels_last else "NCHW") in said
    assert ("batches of 8" in said) == (batch == 8)


@pytest.mark.parametrize(
    ("module", "precision", "tolerance"), [(Small(), "float32", 1e-5), (Small().half(), "float16", 0.1)]
)
def test_precision_comes_from_the_graph(tmp_path, module, precision: str, tolerance: float) -> None:
    model = loaded(write_onnx(module, tmp_path / "net.onnx")).to(CPU, "bfloat16")
    torch.testing.assert_close(model.predict(IMAGES), expected(Small()), atol=tolerance, rtol=tolerance)
    assert model.precision == precision
    assert precision in model.assumptions()["model"]


def test_uint8_graphs_receive_pixels(tmp_path) -> None:
    path = write_onnx(FromPixels(), tmp_path / "pixels.onnx")
    model = loaded(path, normalization=None)
    torch.testing.assert_close(model.predict(IMAGES), expected(Small()), atol=1e-4, rtol=1e-4)
    assert "uint8 pixels" in model.assumptions()["input"]
    with pytest.raises(StudyError, match="remove `normalization`"):
        loaded(path)
    larger = loaded(path, side=32, normalization=None, input_side_px=SIDE)
    assert larger.inputs(pixels(2, 32)).shape == (2, 3, SIDE, SIDE)
    assert larger.model_id != model.model_id


@pytest.mark.parametrize(
    "ending", [nn.Softmax(1), nn.Sequential(nn.Softmax(1), nn.Identity())], ids=["softmax", "more"]
)
def test_a_final_softmax_is_recognized(tmp_path, ending) -> None:
    model = loaded(write_onnx(Small(ending=ending), tmp_path / "net.onnx"))
    torch.testing.assert_close(model.predict(IMAGES).softmax(1), expected(Small()).softmax(1), atol=1e-5, rtol=1e-4)
    assert "probabilities" in model.assumptions()["outputs"]


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_a_single_output_is_the_second_class(tmp_path, kind) -> None:
    ending = nn.Sigmoid() if kind == "probabilities" else None
    model = loaded(write_onnx(Small(1, ending), tmp_path / "net.onnx"), classes=("cat", "dog"))
    found = model.predict(IMAGES).softmax(1)[:, 1]
    torch.testing.assert_close(found, expected(Small(1)).sigmoid()[:, 0], atol=1e-5, rtol=1e-4)
    assert "of dog (the second class) against cat" in model.assumptions()["outputs"]


def test_the_layout_of_a_graph_without_sizes_is_tried(tmp_path) -> None:
    """As tf2onnx writes them: no dimension of the input is stated."""
    for module in Small(), ChannelsLast():
        path = write_onnx(module, tmp_path / "net.onnx")
        graph = onnx.load(path)
        for number, size in enumerate(graph.graph.input[0].type.tensor_type.shape.dim):
            size.Clear()
            size.dim_param = f"d{number}"
        path.write_bytes(graph.SerializeToString())
        torch.testing.assert_close(loaded(path).predict(IMAGES), expected(Small()), atol=1e-5, rtol=1e-5)


def test_sigmoids_of_several_outputs_are_refused(tmp_path) -> None:
    with pytest.raises(StudyError, match="as after a sigmoid"):
        loaded(write_onnx(Small(3, nn.Sigmoid()), tmp_path / "net.onnx"))


def test_one_of_several_outputs_is_chosen(tmp_path) -> None:
    path = write_onnx(Several(), tmp_path / "net.onnx", names=("scores", "features"))
    with pytest.raises(StudyError, match="'scores' .*set `output_key`"):
        loaded(path)
    model = loaded(path, output_key="scores")
    torch.testing.assert_close(model.predict(IMAGES), expected(Several())[0], atol=1e-5, rtol=1e-5)


def with_external_data(path: Path, location: str = "weights.bin") -> Path:
    onnx.save_model(
        onnx.load(path), str(path), save_as_external_data=True, location=location, size_threshold=0,
        convert_attribute=False,
    )  # fmt: skip
    return path


def test_the_identity_is_that_of_graph_and_external_data(tmp_path) -> None:
    path = write_onnx(Small(), tmp_path / "net.onnx")
    first = loaded(path).model_id
    with_external_data(path)
    data = loaded(path)
    weights = bytearray((tmp_path / "weights.bin").read_bytes())
    weights[40] ^= 1
    (tmp_path / "weights.bin").write_bytes(weights)
    assert len({first, data.model_id, loaded(path).model_id}) == 3
    torch.testing.assert_close(data.predict(IMAGES), expected(Small()), atol=1e-5, rtol=1e-5)


def moved(path: Path, location: str) -> Path:
    """A graph whose external data are elsewhere."""
    graph = onnx.load_model(with_external_data(path), load_external_data=False)
    for tensor in graph.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = location
    path.write_bytes(graph.SerializeToString())
    return path


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "link.bin", "gone.bin", "a/../../secret.bin"])
def test_external_data_outside_the_folder_is_refused(tmp_path, location: str) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(10_000))
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = moved(write_onnx(Small(), folder / "net.onnx"), location)
    with pytest.raises(ModelError, match="is missing" if location == "gone.bin" else "outside its folder") as refused:
        loaded(path)
    assert "\n" not in str(refused.value)


def value(name: str, kind: int, shape: list):
    return onnx.helper.make_tensor_value_info(name, kind, shape)


INPUTS = {
    "gray": ([value("x", onnx.TensorProto.FLOAT, ["n", 1, 8, 8])], "three channels"),
    "a table": ([value("x", onnx.TensorProto.FLOAT, ["n", 8])], r"expected images \(N, 3, H, W\)"),
    "integers": ([value("x", onnx.TensorProto.INT64, ["n", 3, 8, 8])], "tensor.int64"),
    "two": ([value(name, onnx.TensorProto.FLOAT, ["n", 3, 8, 8]) for name in "xy"], "has 2 inputs"),
}


@pytest.mark.parametrize("case", INPUTS)
def test_other_inputs_are_refused(tmp_path, case: str) -> None:
    inputs, said = INPUTS[case]
    node = onnx.helper.make_node("Flatten", ["x"], ["out"])
    output = value("out", inputs[0].type.tensor_type.elem_type, None)
    graph = onnx.helper.make_graph([node], "g", inputs, [output])
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "net.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(ModelError, match=said):
        loaded(tmp_path / "net.onnx")


def test_keys_of_other_sources_are_refused(tmp_path) -> None:
    path = write_onnx(Small(), tmp_path / "net.onnx")
    with pytest.raises(StudyError, match="`options` does not apply to models of onnx"):
        loaded(path, options={"a": 1})
    with pytest.raises(StudyError, match="expected onnx:FILE.onnx"):
        loaded(path.rename(tmp_path / "net.bin"))


def test_the_path_is_relative_to_the_study(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "my study"
    (folder / "models (1)").mkdir(parents=True)
    write_onnx(Small(), folder / "models (1)/net ü.onnx")
    model = {"label": "A", "architecture": "onnx:models (1)/net ü.onnx", "normalization": NORMALIZATION}
    content = {"name": "s", "output": "out", "dataset": {"kind": "digits"}, "models": [model]}
    study = check_study(content, folder)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    made = load_model(study.models[0], dataset_of(SIDE))
    assert (made.architecture, made.row()["checkpoint"]) == ("onnx:net ü.onnx", "net ü.onnx")
    assert (made.preprocessing.normalization.mean, made.preprocessing.normalization.std) == (MEAN, STD)
