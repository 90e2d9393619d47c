"""The trial before a run: several outputs, probabilities, chance, statistics of a batch, and errors that fit."""

import importlib
import math

import numpy as np
import pytest
import torch
from model_specs import dataset_of, model_spec
from sklearn.metrics import log_loss
from torch import nn

from failmodes.evaluate.cam.method_selection import TORCH_SCRIPT, select_cam_method
from failmodes.evaluate.engine.statistics import prediction_statistics
from failmodes.evaluate.models.checkpoints import read_pickled
from failmodes.evaluate.models.live import live_model
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.outputs import FLOOR, are_probabilities, fill_zeros, log_probabilities
from failmodes.warehouse.errors import ModelError, StudyError

NEUTRAL = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
MODULE = """
from collections import namedtuple
from types import SimpleNamespace
import torch
from torch import nn
from torch.nn import functional as F
class Base(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)
    def logits(self, x): return self.fc(self.conv(x).relu().mean((2, 3)))
    def forward(self, x): return self.logits(x)
class HuggingFace(Base):
    def forward(self, x): return SimpleNamespace(loss=None, logits=self.logits(x), hidden=x.flatten(1))
class Dictionary(Base):
    def forward(self, x): return {"logits": self.logits(x), "features": x.flatten(1)}
class Odd(Base):
    def forward(self, x): return {"scores": self.logits(x), "features": x.flatten(1)}
class Pair(Base):
    def forward(self, x): return self.logits(x), x
class Named(Base):
    def forward(self, x): return namedtuple("Out", "aux main")(self.logits(-x), self.logits(x))
class Softmax(Base):
    def forward(self, x): return self.logits(x).softmax(1)
class Dropout(Base):
    def forward(self, x): return self.fc(F.dropout(self.conv(x).mean((2, 3))))
class Training(Base):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(4)
    def forward(self, x):
        self.train()
        return self.fc(self.bn(self.conv(x)).relu().mean((2, 3)))
class Gray(Base):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
class Fault(Base):
    def forward(self, x): raise KeyError("backbone")
class Side(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * 8 * 8, 3)
    def forward(self, x): return self.fc(x.flatten(1))
class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.jit.script(Base())
    def forward(self, x): return self.net(x)
class Sigmoid(Base):
    def forward(self, x): return self.logits(x).sigmoid()
class GatedInUnitRange(Base):
    def __init__(self):
        super().__init__()
        self.gate = nn.Sigmoid()
    def forward(self, x): return self.gate(self.logits(x)) * 0.5 + 0.1
class SureSigmoid(nn.Module):
    def forward(self, x): return 1 / (1 + (-400 * (x.mean((2, 3)) - x.mean((1, 2, 3))[:, None])).exp())
class OneOutput(Base):
    def forward(self, x): return self.logits(x)[:, :1]
class Squeezed(Base):
    def forward(self, x): return self.logits(x)[:, 0]
class TwoLogits(OneOutput):
    def forward(self, x):
        x = super().forward(x)
        return torch.cat([-x, x], 1) / 2
class ManyZeros(Base):
    def forward(self, x): return (9000 * self.logits(x)).softmax(1)
class Statistics(Base):
    def forward(self, x): raise ValueError("Expected more than 1 value per channel when training, got input size [1]")
class Within(Base):
    def forward(self, x): return nn.Conv2d(8, 3, 1)(self.conv(x))
class OfOne(Base):
    def forward(self, x): return self.fc(self.conv(x).mean((2, 3)).reshape(1, 4))
class OfEight(Base):
    def forward(self, x): raise AssertionError("Guard failed: x.size()[0] == 8")
def script(): return torch.jit.script(Base())
def sigmoid_module(): return nn.Sequential(Base(), nn.Sigmoid())
def means(): return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
def zeros(): return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Threshold(9, 0))
def sure_sigmoid(): return SureSigmoid()
def votes(): return Votes()
class Votes(nn.Module):
    def forward(self, x): return (x.mean((2, 3)) > 0.49).float()
def script_with_softmax(): return torch.jit.script(nn.Sequential(Base(), nn.Softmax(1)))
"""


@pytest.fixture
def models(write_module) -> str:
    return write_module(MODULE)


def tried(models: str, name: str, side: int = 16, **keys) -> Model:
    spec = model_spec(f"{models}:{name}", normalization=NEUTRAL, **keys)
    return load_model(spec, dataset_of(side))


def tried_on_noise(models: str, name: str, **keys) -> Model:
    """Tried on 16 images whose means differ, with values in 0 to 1."""
    spec = model_spec(f"{models}:{name}", normalization="none", **keys)
    dataset = dataset_of(16)
    dataset.images = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), np.uint8)
    return load_model(spec, dataset)


class Brightness(nn.Module):
    """Logits that lie in 0 to 1 for a black image and a white one, at both ends, and beyond for others."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean((2, 3))
        return mean + 3 * mean * (1 - mean) + torch.tensor([0, 0, 0.01]) * (1 - mean)


def logits(model: Model) -> torch.Tensor:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    return model.to(torch.device("cpu")).predict(pixels)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("HuggingFace", {}),
        ("Dictionary", {}),
        ("Pair", {}),
        ("Dictionary", {"output_key": "logits"}),
        ("Odd", {"output_key": "scores"}),
        ("Named", {"output_key": "main"}),
        ("Pair", {"output_key": "0"}),
    ],
)
def test_the_logits_among_several_outputs_are_taken(models: str, name: str, keys: dict) -> None:
    model, plain = tried(models, name, **keys), tried(models, "Base")
    torch.testing.assert_close(logits(model), logits(plain))
    assert "of several" in "; ".join(model.assumptions().values())
    cam = select_cam_method(model.to(torch.device("cpu")), (16, 16))
    assert (cam.method, cam.layer) == ("grad-cam (closed form)", "conv")


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        ("Odd", {}, r"gives a dict \('scores' \(1, 3\), 'features' \(1, 768\)\): say .* with `output_key`"),
        ("Named", {}, r"gives a Out \('aux' \(1, 3\), 'main' \(1, 3\)\)"),
        ("Odd", {"output_key": "score"}, "no tensor as output 'score': did you mean 'scores'"),
        ("Base", {"output_key": "0"}, "gives one tensor: leave `output_key` out"),
    ],
)
def test_outputs_that_do_not_say_which_are_the_logits_are_listed(models, name: str, keys: dict, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        tried(models, name, **keys)


@pytest.mark.parametrize("name", ["Softmax", "script_with_softmax"])
def test_probabilities_stop_until_they_are_said_to_be_and_are_never_softmaxed_again(models: str, name: str) -> None:
    with pytest.raises(StudyError, match='gives probabilities: .*after a softmax; say `output_kind = "probabilities"`'):
        tried(models, name)
    model, plain = tried(models, name, output_kind="probabilities"), tried(models, "Base")
    torch.testing.assert_close(logits(model).softmax(1), logits(plain).softmax(1))
    assert "probabilities, kept as their logarithm" in "; ".join(model.assumptions().values())
    assert "logarithm" not in "; ".join(tried(models, name, output_kind="logits").assumptions().values())
    assert model.model_id != tried(models, name, output_kind="logits").model_id


@pytest.mark.parametrize("name", ["Sigmoid", "sigmoid_module", "sure_sigmoid"])
@pytest.mark.parametrize("keys", [{}, {"output_kind": "probabilities"}])
def test_outputs_of_a_sigmoid_are_refused_until_said_to_be_logits(models: str, name: str, keys: dict) -> None:
    said = (
        r"gives values in 0 to 1 that do not sum to 1 \(a row sums to [\d.]+\), as after a sigmoid: expected logits; "
        'sigmoid outputs .* take the layer before the sigmoid; if these are logits, say `output_kind = "logits"`$'
    )
    with pytest.raises(StudyError, match=said):
        tried_on_noise(models, name, **keys)
    model = tried_on_noise(models, name, output_kind="logits")
    assert "logarithm" not in model.assumptions()["outputs"]


@pytest.mark.parametrize("name", ["GatedInUnitRange", "means", "zeros", "votes"])
def test_logits_that_lie_in_0_to_1_by_chance_are_taken(models: str, name: str) -> None:
    assert tried_on_noise(models, name).assumptions()["outputs"].startswith("logits;")


def test_logits_are_judged_by_more_than_two_images() -> None:
    spec, images = model_spec("tests:brightness"), np.zeros((16, 8, 8, 3), np.uint8)
    with pytest.raises(StudyError, match="as after a sigmoid"):
        live_model(Brightness(), spec, np.concatenate([images, 255 - images])[8:24])
    images[-1] = 128
    assert live_model(Brightness(), spec, images).output_count == 3


@pytest.mark.parametrize("classes", [("a", "b"), ("a",)])
@pytest.mark.parametrize(("name", "shape"), [("OneOutput", r"\(1, 1\)"), ("Squeezed", r"\(1,\)")])
def test_one_output_is_refused_with_the_two_logits_to_return(models, name: str, shape: str, classes) -> None:
    said = rf"gives one number for one image, of shape {shape}: expected the logits .* torch.cat\(\[-x, x\], 1\) / 2"
    spec = model_spec(f"{models}:{name}", normalization=NEUTRAL)
    with pytest.raises(ModelError, match=said):
        load_model(spec, dataset_of(16, classes))
    module = getattr(importlib.import_module(models), name)()
    with pytest.raises(ModelError, match=said):
        live_model(module, model_spec("tests:net"), np.zeros((2, 16, 16, 3), np.uint8))


def test_the_two_logits_have_the_sigmoid_as_their_softmax(models: str) -> None:
    module = importlib.import_module(models)
    x = torch.rand(5, 3, 16, 16)
    expected = module.OneOutput()(x).sigmoid()
    torch.testing.assert_close(module.TwoLogits()(x).softmax(1), torch.cat([1 - expected, expected], 1))


def test_the_loss_of_a_models_zeros_is_that_of_log_loss_in_single_precision(models: str) -> None:
    model = tried(models, "ManyZeros", output_kind="probabilities")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    p = importlib.import_module(models).ManyZeros().eval()(model.inputs(pixels)).detach()
    assert (p == 0).any()
    assert not ((p > 0) & (p < FLOOR)).any()  # which log_loss would clip
    labels = p.argmin(1).numpy()
    loss = prediction_statistics(logits(model), labels)["loss_nats"]
    assert float(loss.mean()) == pytest.approx(log_loss(labels, p.numpy(), labels=range(3)), rel=1e-5)
    assert (
        "probabilities, kept as their logarithm, those of 0 as 1.2e-07 at most; 3 classes"
        in (model.assumptions()["outputs"])
    )


def test_zeros_keep_the_ranks_and_pass_no_gradient() -> None:
    p = torch.tensor([[0.0, 1.0, 1e-30], [-1e-9, 0.5, 0.5], [0.0, 0.0, 0.0], [torch.nan, 0.0, 1.0]], requires_grad=True)
    filled = fill_zeros(log_probabilities(p), math.log(FLOOR))
    torch.testing.assert_close(filled[0].exp(), torch.tensor([0.5e-30, 1, 1e-30]))
    torch.testing.assert_close(filled[1:3].exp(), torch.tensor([[FLOOR, 0.5, 0.5], [FLOOR] * 3]))
    assert filled[3].isnan().any()
    filled[:3].log_softmax(1).diagonal().sum().backward()
    assert p.grad is not None
    assert p.grad[:3].isfinite().all()


def test_logits_that_are_said_to_be_probabilities_are_refused(models: str) -> None:
    with pytest.raises(StudyError, match='gives no probabilities: a row sums to .*; say `output_kind = "logits"`'):
        tried(models, "Base", output_kind="probabilities")


def test_what_counts_as_probabilities() -> None:
    assert are_probabilities(torch.tensor([[0.2, 0.8], [1, 0]]))
    assert not are_probabilities(torch.tensor([[0.2, 0.8], [1, 0.1]]))
    assert not are_probabilities(torch.tensor([[-0.2, 1.2]]))
    assert not are_probabilities(torch.tensor([[1.0]]))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Dropout", r"other outputs when it is asked again \(by [\d.e-]+, the largest .*random numbers .*dropout"),
        ("Training", r"other outputs in another batch \(by [\d.e-]+, the largest .*statistics of its batch"),
    ],
)
def test_outputs_that_change_are_an_error_with_their_size_until_accepted(models: str, name: str, said: str) -> None:
    with pytest.raises(ModelError, match=f"{said}.*deterministic = false"):
        tried(models, name)
    model = tried(models, name, deterministic=False)
    assert "may change from pass to pass, as accepted" in "; ".join(model.assumptions().values())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Side", "cannot take images of 16×16 px: .*set `input_side_px` to the side that it was made for"),
        ("Gray", "cannot take images of 16×16 px in three channels, RGB: .*convert them"),
        ("Statistics", "raised ValueError at its first images, of 16×16 px: Expected more than 1 value per channel"),
        ("Within", r"raised RuntimeError at its first images, .* to have 8 channels, but got 4 channels instead \("),
        (
            "OfEight",
            r"cannot take 1 image of 16×16 px at once: Guard failed: x.size\(\)\[0\] == 8; export it with a dynamic "
            'batch dimension; one for a single image runs with `batch_size = 1` and `attention = "none"`$',
        ),
        ("Fault", r"raised KeyError at its first images, of 16×16 px: 'backbone' \(nets_.*\.py:\d+\)$"),
    ],
)
def test_an_error_in_the_forward_pass_names_the_fix_that_fits_or_none(models: str, name: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        tried(models, name)


def test_a_model_of_one_image_at_a_time_is_told_of_the_batch_and_not_of_the_side(models: str) -> None:
    model = tried(models, "OfOne")
    with pytest.raises(ModelError, match="cannot take 3 images of 16×16 px at once: .* with `batch_size = 1`") as said:
        select_cam_method(model.to(torch.device("cpu")), (16, 16))
    assert "input_side_px" not in str(said.value)


@pytest.mark.parametrize("name", ["script", "Scripted"])
def test_torch_script_is_evaluated_without_attention_and_says_why(models: str, name: str) -> None:
    model = tried(models, name)
    torch.testing.assert_close(logits(model), logits(tried(models, "Base")))
    prepared = model.to(torch.device("cpu"))
    assert select_cam_method(prepared, (16, 16)) == (TORCH_SCRIPT,)
    with pytest.raises(StudyError, match="TorchScript, which PyTorch lets nobody look into, so there is no layercam"):
        select_cam_method(prepared, (16, 16), "layercam")


def test_the_order_of_unnamed_outputs_is_stated(models: str) -> None:
    assert "3 classes in the data set's order, for nothing names its outputs (a = 0, b = 1, c = 2)" in (
        "; ".join(tried(models, "Base").assumptions().values())
    )
    named = "; ".join(tried(models, "Base", class_names=["c", "a", "b"]).assumptions().values())
    assert "in the data set's order" not in named
    assert "a = 1, b = 2, c = 0" in named


def test_an_onnx_graph_and_a_torch_script_point_to_the_way_that_takes_them(tmp_path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"\x08\x07")
    with pytest.raises(ModelError, match="net.onnx is an ONNX graph, not weights: .* `failmodes import`"):
        read_pickled(tmp_path / "net.onnx")
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(tmp_path / "net.pt"))
    with pytest.raises(ModelError, match="TorchScript program, not weights: .*torch.jit.load") as caught:
        read_pickled(tmp_path / "net.pt")
    assert "weights_only" not in str(caught.value)
