"""A model in memory that a library builds under a name is that architecture; an altered one is not."""

import copy
from pathlib import Path

import pytest
import torch
from live_models import HALF, NAMES, as_model, dataset
from torch import nn
from torch.nn.utils.prune import random_unstructured
from torchvision import models

from failmodes.evaluate.benchmark.recognition import recognize_architecture
from failmodes.evaluate.models.loading import check_model_outputs, load_model
from failmodes.evaluate.study.study_schema import ModelSpec, Normalization

TORCHVISION = (
    "resnet18", "resnet34", "resnext50_32x4d", "wide_resnet50_2", "shufflenet_v2_x0_5", "squeezenet1_0",
    "squeezenet1_1", "mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5", "regnet_x_400mf", "densenet121", "vit_b_32",
    "swin_t", "swin_v2_t", "convnext_tiny", "efficientnet_b0",
)  # fmt: skip
TIMM = (
    "resnet18", "resnetblur18", "test_vit", "test_convnext", "test_efficientnet", "swin_tiny_patch4_window7_224",
    "vit_relpos_small_patch16_224", "levit_128s",
)  # fmt: skip
QUICK = {"resnet18", "shufflenet_v2_x0_5", "mobilenet_v3_small", "regnet_x_400mf", "test_vit", "levit_128s"}


def params(names: tuple[str, ...]) -> list:
    return [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", params(TORCHVISION))
def test_models_of_torchvision_are_recognized(name: str) -> None:
    module = models.get_model(name, weights=None, num_classes=3)
    assert recognize_architecture(module, 3) == f"torchvision:{name}"


@pytest.mark.parametrize("name", params(TIMM))
def test_models_of_timm_are_recognized(name: str) -> None:
    timm = pytest.importorskip("timm")
    assert recognize_architecture(timm.create_model(name, num_classes=3), 3) == f"timm:{name}"


def test_a_model_with_another_number_of_outputs_is_recognized_by_it() -> None:
    module = models.shufflenet_v2_x0_5(num_classes=3)
    assert recognize_architecture(module, 3) == "torchvision:shufflenet_v2_x0_5"
    assert recognize_architecture(module, 4) is None


def test_nothing_is_drawn_from_the_callers_random_numbers() -> None:
    module = models.shufflenet_v2_x0_5(num_classes=3)
    before = torch.get_rng_state()
    recognize_architecture(module, 3)
    assert torch.equal(torch.get_rng_state(), before)


class Mine(models.ShuffleNetV2):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images) * 2


def replace_head(module: nn.Module) -> None:
    module.fc = nn.Sequential(nn.Dropout(0.5), nn.Linear(1024, 3))


def replace_activation(module: nn.Module) -> None:
    module.conv1[2] = nn.LeakyReLU()


def alter_stride(module: nn.Module) -> None:
    module.conv1[0].stride = (1, 1)


def alter_epsilon(module: nn.Module) -> None:
    module.conv1[1].eps = 1e-3


def add_attribute(module: nn.Module) -> None:
    module.temperature = 2.0


def add_hook(module: nn.Module) -> None:
    module.conv5.register_forward_hook(lambda module, given, output: output * 2)


def replace_forward(module: nn.Module) -> None:
    module.forward = lambda images: images.mean((2, 3))


def add_buffer(module: nn.Module) -> None:
    module.register_buffer("scale", torch.ones(1), persistent=False)


def prune(module: nn.Module) -> None:
    random_unstructured(module.fc, "weight", 0.5)


def make_mine(module: nn.Module) -> None:
    module.__class__ = Mine


ALTERED = (
    replace_head, replace_activation, alter_stride, alter_epsilon, add_attribute, add_hook, replace_forward,
    add_buffer, prune, make_mine,
)  # fmt: skip


@pytest.mark.parametrize("alter", ALTERED, ids=[alter.__name__ for alter in ALTERED])
def test_an_altered_model_is_not_recognized(alter) -> None:
    module = models.shufflenet_v2_x0_5(num_classes=3).eval()
    module(torch.ones(1, 3, 32, 32))
    assert recognize_architecture(copy.deepcopy(module), 3) == "torchvision:shufflenet_v2_x0_5"
    alter(module)
    assert recognize_architecture(module, 3) is None


def test_a_model_whose_class_was_patched_is_not_recognized(monkeypatch) -> None:
    module = models.shufflenet_v2_x0_5(num_classes=3)
    monkeypatch.setattr(models.ShuffleNetV2, "_forward_impl", lambda self, images: images.mean((2, 3)))
    assert recognize_architecture(module, 3) is None


def test_models_of_nobody_are_not_recognized() -> None:
    assert recognize_architecture(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), 3) is None
    assert recognize_architecture(nn.Linear(12, 3), 3) is None


def test_a_timm_model_whose_hidden_tensor_was_altered_is_not_recognized() -> None:
    timm = pytest.importorskip("timm")
    module = timm.create_model("levit_128s", num_classes=3)
    next(tensor for name, tensor in module.named_buffers() if name not in module.state_dict())[0, 0] += 1
    assert recognize_architecture(module, 3) is None


@pytest.mark.parametrize("name", ["torchvision:shufflenet_v2_x0_5", "timm:test_vit"])
def test_a_recognized_model_is_the_one_that_a_study_names(tmp_path: Path, name: str) -> None:
    """Same model_id, row and logits, whatever mode the caller's model was in."""
    library, _, builder = name.partition(":")
    torch.manual_seed(0)
    make = models.get_model if library == "torchvision" else pytest.importorskip("timm").create_model
    module = make(builder, num_classes=3).train()
    made = as_model(module, tmp_path, label="Mine", normalization=HALF, input_side_px=160)
    assert made.note is None
    (file,) = (tmp_path / "models").iterdir()
    spec = ModelSpec(
        label="Mine", architecture=name, checkpoint=file, input_side_px=160,
        normalization=Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    )  # fmt: skip
    named = check_model_outputs(load_model(spec, NAMES, file), dataset())
    assert made.model.model_id() == named.model_id()
    assert made.model.row() == named.row()
    assert made.model.spec == spec


def test_preprocessing_or_a_version_of_ones_own_is_no_study_s_model(tmp_path: Path) -> None:
    module = models.shufflenet_v2_x0_5(num_classes=3)
    for more in ({"version": "1"}, {"preprocess": lambda images: images / 255}):
        made = as_model(module, tmp_path, label="Mine", **more)
        assert "a ShuffleNetV2 of the program that called this benchmark" in made.note
        assert made.model.architecture == "torchvision.models.shufflenetv2:ShuffleNetV2"
