"""Wrapped and converted modules: predictions and identity of the module inside, and attention where it has layers."""

import warnings
from collections import OrderedDict
from dataclasses import dataclass

import pytest
import torch
from live_models import CPU, IMAGES, PIXELS, Net, as_model, logits
from model_specs import dataset_of, model_spec
from safetensors.torch import save_file
from torch import nn

from failmodes.evaluate.cam.cam_method import CamUnavailable
from failmodes.evaluate.cam.method_selection import QUANTIZED, TORCH_SCRIPT, select_cam_method
from failmodes.evaluate.models.load import load_model


@dataclass
class Output:
    logits: torch.Tensor
    loss: torch.Tensor | None = None


class Dictionary(Net):
    def forward(self, images):
        return OrderedDict(logits=super().forward(images), features=images.flatten(1))


class Several(Net):
    def forward(self, images):
        return super().forward(images), images


class Model(Net):
    def forward(self, images):
        return Output(super().forward(images))


class Averaged(Net):
    """A model with a metric and an optimizer in attributes, as in a training script."""

    def __init__(self) -> None:
        super().__init__()
        self.optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def lightning() -> nn.Module:
    from lightning import LightningModule

    class Task(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters({"rate": 0.1})
            self.model = Net()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.model(images)

        def training_step(self, batch, index):
            return self(batch[0]).sum()

    return Task()


def ema() -> nn.Module:
    return torch.optim.swa_utils.AveragedModel(Net())


SAME = {  # a module whose logits are those of Net, and the largest difference
    "compiled": (lambda: torch.compile(Net()), 1e-5),
    "compiled part": (lambda: _compiled_part(), 1e-5),
    "compiled in place": (lambda: _compiled_in_place(), 1e-5),
    "parallel": (lambda: nn.DataParallel(Net()), 1e-5),
    "parallel and compiled": (lambda: nn.DataParallel(torch.compile(Net())), 1e-5),
    "lightning": (lightning, 1e-5),
    "averaged": (ema, 1e-5),
    "channels last": (lambda: Net().to(memory_format=torch.channels_last), 1e-5),
    "bfloat16": (lambda: Net().bfloat16(), 2e-2),
    "double": (lambda: Net().double(), 1e-5),
    "dictionary": (Dictionary, 1e-5),
    "tuple": (Several, 1e-5),
    "model output": (Model, 1e-5),
    "with an optimizer": (Averaged, 1e-5),
}
SAME_IDENTITY = (
    "compiled",
    "compiled part",
    "compiled in place",
    "parallel",
    "parallel and compiled",
    "channels last",
    "double",
)


def _compiled_part() -> nn.Module:
    module = Net()
    module.conv = torch.compile(module.conv)
    return module


def _compiled_in_place() -> nn.Module:
    module = Net()
    module.compile()
    return module


def expected() -> torch.Tensor:
    with torch.no_grad():
        return Net().eval()(PIXELS / 255)


@pytest.mark.test_all
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.test_all] * (case == "lightning")) for case in SAME]
)
def test_a_wrapped_module_predicts_as_the_module_inside(case: str) -> None:
    make, tolerance = SAME[case]
    model = as_model(make())
    torch.testing.assert_close(logits(model), expected(), atol=tolerance, rtol=tolerance)
    cam, plain = (select_cam_method(one.to(CPU), (8, 8)) for one in (model, as_model(Net())))
    assert (cam.method, cam.layer.rpartition(".")[2]) == (plain.method, plain.layer)
    if tolerance < 1e-2:
        maps = [
            one(made.inputs(IMAGES), lambda scores: scores.argmax(1, keepdim=True)).maps
            for one, made in ((cam, model), (plain, as_model(Net()).to(CPU)))
        ]
        torch.testing.assert_close(*maps, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("case", SAME_IDENTITY)
def test_a_wrapper_is_not_part_of_the_identity(case: str) -> None:
    wrapped, plain = as_model(SAME[case][0]()), as_model(Net())
    assert (wrapped.model_id, wrapped.architecture) == (plain.model_id, plain.architecture)


MODULE = """
import torch
from live_models import Net
from torch import nn
def plain(): return Net()
def compiled(): return torch.compile(Net())
def parallel(): return nn.DataParallel(Net())
def both(): return torch.compile(nn.DataParallel(torch.compile(Net())))
def scripted(): return torch.jit.script(Net().eval())
def channels_last(): return Net().to(memory_format=torch.channels_last)
def half(): return Net().bfloat16()
def quantized():
    return torch.ao.quantization.quantize_dynamic(Net().eval(), {nn.Linear}, torch.qint8)
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", ["compiled", "parallel", "both", "scripted", "channels_last", "half", "quantized"])
def test_a_function_may_return_a_wrapped_module(write_module, name: str) -> None:
    module = write_module(MODULE)

    def loaded(function: str, **keys):
        spec = model_spec(f"{module}:{function}", normalization="none", **keys)
        return load_model(spec, dataset_of(8)).to(CPU)

    model, plain = loaded(name, **({"deterministic": False} if name == "quantized" else {})), loaded("plain")
    tolerance = {"half": 2e-2, "quantized": 2e-2}.get(name, 1e-5)
    torch.testing.assert_close(model.predict(IMAGES), plain.predict(IMAGES), atol=tolerance, rtol=tolerance)
    cam, of_plain = (select_cam_method(one, (8, 8)) for one in (model, plain))
    if name in ("scripted", "quantized"):
        assert isinstance(cam, CamUnavailable)
        assert cam.reason == (TORCH_SCRIPT if name == "scripted" else QUANTIZED)
    else:
        assert (cam.method, cam.layer) == (of_plain.method, of_plain.layer)
    if name in ("compiled", "parallel", "both"):
        assert type(model.module) is type(plain.module)
        assert list(model.module.state_dict()) == list(plain.module.state_dict())


def test_a_checkpoint_is_loaded_into_the_module_inside(write_module, tmp_path) -> None:
    module = write_module(MODULE)
    save_file(Net(seed=3).state_dict(), tmp_path / "net.safetensors")
    found = [
        load_model(spec, dataset_of(8), spec.checkpoint).to(CPU).predict(IMAGES)
        for name in ("plain", "both")
        for spec in [model_spec(f"{module}:{name}", normalization="none", checkpoint=tmp_path / "net.safetensors")]
    ]
    assert torch.equal(*found)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_statically_quantized_model_predicts_as_before_its_conversion() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = nn.Sequential(
            torch.ao.quantization.QuantStub(), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(4, 3), torch.ao.quantization.DeQuantStub(),
        ).eval()  # fmt: skip
        module.qconfig = torch.ao.quantization.get_default_qconfig(torch.backends.quantized.engine)
        prepared = torch.ao.quantization.prepare(module)
        prepared(PIXELS / 255)
        made = torch.ao.quantization.convert(prepared)
    model = as_model(made)
    torch.testing.assert_close(logits(model), made(PIXELS / 255), atol=1e-6, rtol=0)
    found = select_cam_method(model.to(CPU), (8, 8))
    assert isinstance(found, CamUnavailable)
    assert found.reason == QUANTIZED
