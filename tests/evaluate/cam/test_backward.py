"""Grad-CAM by a backward pass, for models with various heads, against the grad-cam package."""

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
    difference_from_package,
    images_of,
    model_of,
    with_marks,
)
from model_specs import ready_model
from torch import nn

from failmodes.evaluate.cam.method_selection import select_cam_method


@pytest.mark.parametrize("name", with_marks(name for name in CASES if name not in CLOSED))
def test_the_layer_is_found_and_maps_of_two_targets_equal_the_packages(name: str) -> None:
    prepared, case = model_of(name), CASES[name]
    cam_method = select_cam_method(prepared, case.image)
    assert (cam_method.method, cam_method.layer) == ("grad-cam (backward)", case.layer)
    assert cam_method.target.reshape_transform == case.reshape_transform
    assert difference_from_package(prepared, name, images_of(name)) < 1e-4


def first_two(logits: torch.Tensor) -> torch.Tensor:
    return torch.tensor([[0, 1]]).expand(len(logits), 2)


def test_bfloat16_stays_near_float32() -> None:
    name = "torchvision convnext"
    prepared, rough = model_of(name), model_of(name, "bfloat16")
    inputs = prepared.inputs(images_of(name))
    expected, found = (select_cam_method(one, CASES[name].image)(inputs, first_two) for one in (prepared, rough))
    assert difference(found.maps, expected.maps.numpy()) < 5e-2


@pytest.mark.parametrize("name", ["resnet18", "torchvision convnext"])
def test_a_subset_of_the_outputs_has_the_maps_of_its_classes(name: str) -> None:
    everything, some = model_of(name), model_of(name, outputs=[5, 2])
    of_all, of_some = (select_cam_method(model, CASES[name].image) for model in (everything, some))
    assert of_some.method == of_all.method, "it still proves its maps by the logits"
    inputs = everything.inputs(images_of(name))
    full = of_all(inputs, lambda logits: torch.tensor([[5, 2]]).expand(4, 2))
    part = of_some(inputs, first_two)
    assert torch.equal(part.logits, full.logits[:, [5, 2]])
    assert torch.allclose(part.maps, full.maps, rtol=1e-5, atol=1e-8)


class Block(nn.Module):
    """Every token receives the mean of all, as by attention."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.values = nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.values(self.norm(x)).mean(1, keepdim=True).tanh()


class Blocks(nn.Module):
    """Two equal blocks and a class token, as in a vision transformer; the hook is in the second block."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.token = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.ones(1, 1, 8))
        self.blocks, self.head = nn.Sequential(Block(), Block()), nn.Linear(8, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        return self.head(self.blocks(torch.cat([self.token.expand(len(x), -1, -1), tokens], 1))[:, 0])


@pytest.mark.parametrize(
    "make", [pytest.param(Branches, marks=pytest.mark.nightly), pytest.param(Blocks, marks=pytest.mark.test_all)]
)
def test_a_backward_pass_through_a_compiled_model_gives_the_same_maps(make: type[nn.Module]) -> None:
    """Compiled for real, in batches of two sizes, with targets that differ."""
    torch.manual_seed(0)
    prepared = ready_model(make(), "net", NEUTRAL, CPU, "float32")
    cam_method = select_cam_method(prepared, (16, 16))
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)

    def maps(count: int) -> torch.Tensor:
        return cam_method(prepared.inputs(images[:count]), lambda logits: logits.argsort(1)[:, -2:]).maps

    plain = [maps(count) for count in (5, 8)]
    prepared.compile()
    for expected, count in zip(plain, (5, 8), strict=True):
        torch.testing.assert_close(maps(count), expected, rtol=1e-4, atol=1e-6)
