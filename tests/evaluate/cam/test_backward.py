"""Grad-CAM by a backward pass, in models of many endings, against the grad-cam package."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from cam_models import (
    CASES,
    CLOSED,
    CPU,
    NEUTRAL,
    Branches,
    difference,
    images_of,
    model_of,
    package_maps,
    two_targets,
)
from model_specs import ready_model
from pytorch_grad_cam import GradCAM
from torch import nn

from failmodes.evaluate.cam.method_selection import select_cam_method
from failmodes.evaluate.cam.methods.closed_form import IDENTITY_TOLERANCE


class Twice(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


def witness_of(name: str, module: nn.Module) -> tuple[nn.Module, str]:
    """The same model with a module that gives the map, runs once and is not written into, for the package to hook."""
    pool = {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    if name == "densenet121":
        layers = {"features": module.features, "last": nn.ReLU(), **pool, "classifier": module.classifier}
    elif name.startswith("user's odd ending"):
        layers = {"first": module.first, "act": nn.ReLU(), "second": module.second, "last": nn.ReLU(), **pool}
        layers["out"] = module.out
    elif name == "user's head over a flattened map":
        layers = {"conv": module.conv, "last": module.norm, "twice": Twice(), "relu": nn.ReLU()}
        layers |= {"flatten": nn.Flatten(), "head": module.head}
    else:
        return module, CASES[name].layer
    return nn.Sequential(OrderedDict(layers)), "last"


def compare(name: str, method: str, precision: str = "float32") -> float:
    """The largest relative difference of both targets' maps from the package's Grad-CAM in float32."""
    prepared = model_of(name, precision)
    inputs = prepared.inputs(images_of(name))
    output = select_cam_method(prepared, CASES[name].image, method=method)(inputs, two_targets)
    module, layer = witness_of(name, prepared.module)
    worst = 0.0
    for column in range(2):
        expected = package_maps(
            GradCAM, module, layer, CASES[name].reshape_transform, inputs, output.targets[:, column]
        )
        worst = max(worst, difference(output.maps[:, column], expected))
    return worst


@pytest.mark.parametrize("name", CASES)
def test_maps_of_two_targets_equal_the_packages(name: str) -> None:
    assert compare(name, "auto") < 1e-4


@pytest.mark.parametrize("name", [name for name in CLOSED if name != "densenet121"])
def test_backward_at_the_pooled_layer_equals_the_closed_form(name: str) -> None:
    prepared = model_of(name)
    inputs = prepared.inputs(images_of(name))
    closed, backward = (select_cam_method(prepared, CASES[name].image, method=w) for w in ("closed-form", "backward"))
    expected, found = closed(inputs, two_targets), backward(inputs, two_targets)
    assert float(expected.identity_error) < IDENTITY_TOLERANCE["float32"]
    assert backward.layer == closed.layer
    assert found.identity_error is None
    assert torch.allclose(found.logits, expected.logits, atol=1e-5)
    assert difference(found.maps.reshape(8, -1), expected.maps.reshape(8, -1).numpy()) < 1e-4


@pytest.mark.parametrize("name", ["resnet18", "torchvision convnext", "timm vit"])
def test_bfloat16_stays_near_float32(name: str) -> None:
    prepared, rough = model_of(name), model_of(name, "bfloat16")
    inputs = prepared.inputs(images_of(name))
    expected, found = (
        select_cam_method(one, CASES[name].image)(inputs, two_targets_of_first) for one in (prepared, rough)
    )
    assert found.maps.dtype == torch.float32
    assert difference(found.maps, expected.maps.numpy()) < 5e-2


def two_targets_of_first(logits: torch.Tensor) -> torch.Tensor:
    return torch.tensor([[0, 1]]).expand(len(logits), 2)


@pytest.mark.parametrize("name", ["torchvision efficientnet_b0", "torchvision convnext", "timm swin"])
def test_a_subset_of_the_outputs_has_the_maps_of_its_classes(name: str) -> None:
    everything, some = model_of(name), model_of(name, outputs=[5, 2])
    inputs = everything.inputs(images_of(name))
    full = select_cam_method(everything, CASES[name].image)(inputs, lambda logits: torch.tensor([[5, 2]]).expand(4, 2))
    part = select_cam_method(some, CASES[name].image)(inputs, two_targets_of_first)
    assert torch.equal(part.logits, full.logits[:, [5, 2]])
    assert torch.allclose(part.maps, full.maps, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ["torchvision convnext", "timm vit"])
def test_three_targets_need_a_backward_pass_each_only_where_they_differ(name: str, monkeypatch) -> None:
    prepared = model_of(name)
    cam_method, inputs = select_cam_method(prepared, CASES[name].image), prepared.inputs(images_of(name))
    passes = []
    real = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: passes.append(1) or real(*a, **k))
    alike = cam_method(inputs, lambda logits: logits.argmax(1, keepdim=True).expand(-1, 3))
    assert len(passes) == 1
    assert torch.equal(alike.maps[:, 0], alike.maps[:, 2])
    apart = cam_method(
        inputs, lambda logits: torch.cat([logits.argsort(1, descending=True)[:, :2], alike.targets[:, :1]], 1)
    )
    assert len(passes) == 3
    assert torch.equal(apart.maps[:, 0], apart.maps[:, 2])
    assert not torch.equal(apart.maps[:, 0], apart.maps[:, 1])


@pytest.mark.slow
def test_a_backward_pass_through_a_compiled_model_gives_the_same_maps() -> None:
    """Compiled for real, in batches of two sizes, with targets that differ."""
    torch.manual_seed(0)
    prepared = ready_model(Branches(), "branches", NEUTRAL, CPU, "float32")
    cam_method = select_cam_method(prepared, (16, 16))
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)

    def maps(count: int) -> torch.Tensor:
        return cam_method(prepared.inputs(images[:count]), lambda logits: logits.argsort(1)[:, -2:]).maps

    plain = [maps(count) for count in (5, 8, 3)]
    prepared.compile()
    for expected, count in zip(plain, (5, 8, 3), strict=True):
        torch.testing.assert_close(maps(count), expected, rtol=1e-4, atol=1e-6)
