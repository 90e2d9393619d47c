"""The trial before a run: several outputs, probabilities, randomness, batch statistics and errors."""

import importlib
import math

import numpy as np
import pytest
import torch
from model_specs import dataset_of, model_spec
from sklearn.metrics import log_loss

from failmodes.evaluate.cam.method_selection import select_cam_method
from failmodes.evaluate.engine.statistics import prediction_statistics
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.outputs import are_probabilities, fill_zeros, log_probabilities
from failmodes.evaluate.probabilities import FLOOR
from failmodes.runtime.errors import ModelError, StudyError

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
class Fault(Base):
    def forward(self, x): raise KeyError("backbone")
class Side(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * 8 * 8, 3)
    def forward(self, x): return self.fc(x.flatten(1))
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
class ManyZeros(Base):
    def forward(self, x): return (9000 * self.logits(x)).softmax(1)
class Percent(Base):
    def forward(self, x): return 100 * self.logits(x).softmax(1)
class Index(Base):
    def forward(self, x): return self.logits(x).argmax(1)
class Features(Base):
    def __init__(self):
        super().__init__()
        self.classifier = nn.Sequential(nn.Dropout(), nn.Identity())
    def forward(self, x): return self.classifier(self.conv(x).relu().mean((2, 3)))
class Scaled(Base):
    def __init__(self):
        super().__init__()
        self.head, self.out = nn.Identity(), nn.Identity()
    def forward(self, x): return self.out(20 * self.head(self.logits(x)))
class Backbone(Base):
    def forward(self, x): return {"last_hidden_state": self.conv(x), "pooler_output": self.logits(x)}
class MultiLabel(Base):
    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(problem_type="multi_label_classification")
class Seldom(Base):
    passes = 0
    def forward(self, x):
        Seldom.passes += 1
        return self.logits(x) + (Seldom.passes % 3 == 0)
class Seeded(Base):
    def forward(self, x):
        torch.manual_seed(0)
        return self.fc(F.dropout(self.conv(x).mean((2, 3))))
def sure_sigmoid(): return SureSigmoid()
def votes(): return Votes()
class Votes(nn.Module):
    def forward(self, x): return (x.mean((2, 3)) > 0.49).float()
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


def logits(model: Model) -> torch.Tensor:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    return model.to(torch.device("cpu")).predict(pixels)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("HuggingFace", {}),
        ("Dictionary", {}),
        ("Pair", {}),
        ("Odd", {"output_key": "scores"}),
        ("Named", {"output_key": "main"}),
    ],
)
def test_the_logits_among_several_outputs_are_found(models: str, name: str, keys: dict) -> None:
    model, plain = tried(models, name, **keys), tried(models, "Base")
    torch.testing.assert_close(logits(model), logits(plain))
    cam = select_cam_method(model.to(torch.device("cpu")), (16, 16))
    assert (cam.method, cam.layer) == ("grad-cam (closed form)", "conv")


REFUSED = {
    "which are the logits": ("Odd", {}, StudyError, r"'scores' \(1, 3\), 'features' \(1, 768\)"),
    "no such output": ("Odd", {"output_key": "score"}, StudyError, "did you mean 'scores'"),
    "probabilities": ("Softmax", {}, StudyError, 'output_kind = "probabilities"'),
    "no probabilities": ("Base", {"output_kind": "probabilities"}, StudyError, "does not return probabilities"),
    "one number": (
        "OneOutput",
        {},
        StudyError,
        "returns one number .* the dataset has 3 classes: expected two classes",
    ),
    "random": ("Dropout", {}, ModelError, "in a second pass .*deterministic = false"),
    "of its batch": ("Training", {}, ModelError, "in another batch .*deterministic = false"),
    "seldom random": ("Seldom", {}, ModelError, "in a second pass .*draws random numbers"),
    "random with a seed": ("Seeded", {}, ModelError, "in another batch .*random numbers with a seed"),
    "percentages": ("Percent", {}, StudyError, 'percentages: .*divide them by 100 and set `output_kind = "prob'),
    "said to be probabilities": ("Percent", {"output_kind": "probabilities"}, StudyError, "divide them by 100"),
    "class index": ("Index", {}, StudyError, "one whole number for an image, such as .*index of a class"),
    "features": ("Features", {}, StudyError, "4 features, not logits: its last layer is an Identity"),
    "a backbone": ("Backbone", {}, StudyError, "features .last_hidden_state, pooler_output., not logits"),
    "several labels": ("MultiLabel", {}, StudyError, "multi-label model"),
    "another side": ("Side", {}, ModelError, "does not accept images of 16×16 px: .*input_side_px"),
    "an error of its own": ("Fault", {}, ModelError, r"raised KeyError .*'backbone' \(nets_.*\.py:\d+\)$"),
}


@pytest.mark.parametrize(("name", "keys", "error", "said"), REFUSED.values(), ids=REFUSED)
def test_a_model_without_logits_is_refused_before_a_run(models: str, name: str, keys: dict, error, said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        tried(models, name, **keys)
    assert "\n" not in str(caught.value)


def test_declared_probabilities_are_not_softmaxed_again(models: str) -> None:
    model, plain = tried(models, "Softmax", output_kind="probabilities"), tried(models, "Base")
    torch.testing.assert_close(logits(model).softmax(1), logits(plain).softmax(1))
    assert model.model_id != tried(models, "Softmax", output_kind="logits").model_id
    assert tried(models, "Dropout", deterministic=False).output_count == 3


@pytest.mark.parametrize("name", ["Sigmoid", "sure_sigmoid"])
@pytest.mark.parametrize("keys", [{}, {"output_kind": "probabilities"}])
def test_sigmoid_outputs_are_refused_unless_declared_as_logits(models: str, name: str, keys: dict) -> None:
    with pytest.raises(StudyError, match="as after a sigmoid"):
        tried_on_noise(models, name, **keys)
    assert "logarithm" not in tried_on_noise(models, name, output_kind="logits").assumptions()["outputs"]


@pytest.mark.parametrize("name", ["Percent", "Features", "MultiLabel"])
def test_what_is_stated_to_be_logits_is_accepted(models: str, name: str) -> None:
    keys = {"class_map": {"a": 0, "b": 1, "c": 2}} if name == "Features" else {}
    assert tried(models, name, output_kind="logits", **keys).assumptions()["outputs"].startswith("logits;")
    assert tried(models, "Backbone", output_key="pooler_output").output_count == 3


def test_logits_that_pass_through_an_identity_are_no_features(models: str) -> None:
    torch.testing.assert_close(logits(tried(models, "Scaled")), 20 * logits(tried(models, "Base")))


@pytest.mark.parametrize("name", ["GatedInUnitRange", "votes"])
def test_logits_in_0_to_1_by_chance_are_accepted(models: str, name: str) -> None:
    assert tried_on_noise(models, name).assumptions()["outputs"].startswith("logits;")


def test_the_loss_of_a_models_zeros_is_that_of_log_loss_in_single_precision(models: str) -> None:
    model = tried(models, "ManyZeros", output_kind="probabilities")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    p = importlib.import_module(models).ManyZeros().eval()(model.inputs(pixels)).detach()
    assert (p == 0).any()
    assert not ((p > 0) & (p < FLOOR)).any()  # which log_loss would clip
    labels = p.argmin(1).numpy()
    loss = prediction_statistics(logits(model), labels)["loss_nats"]
    assert float(loss.mean()) == pytest.approx(log_loss(labels, p.numpy(), labels=range(3)), rel=1e-5)


def test_zeros_keep_the_ranks_and_pass_no_gradient() -> None:
    p = torch.tensor([[0.0, 1.0, 1e-30], [-1e-9, 0.5, 0.5], [0.0, 0.0, 0.0], [torch.nan, 0.0, 1.0]], requires_grad=True)
    filled = fill_zeros(log_probabilities(p), math.log(FLOOR))
    torch.testing.assert_close(filled[0], torch.tensor([0.5e-30, 1, 1e-30]).log())
    torch.testing.assert_close(filled[1:3], torch.tensor([[FLOOR, 0.5, 0.5], [FLOOR] * 3]).log())
    assert filled[3].isnan().any()
    filled[:3].log_softmax(1).diagonal().sum().backward()
    assert p.grad is not None
    assert p.grad[:3].isfinite().all()


def test_what_counts_as_probabilities() -> None:
    assert are_probabilities(torch.tensor([[0.2, 0.8], [1, 0]]))
    assert not are_probabilities(torch.tensor([[0.2, 0.8], [1, 0.1]]))
    assert not are_probabilities(torch.tensor([[-0.2, 1.2]]))
    assert not are_probabilities(torch.tensor([[1.0]]))
