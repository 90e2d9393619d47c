"""Batch sizes: a power of two that follows from a model's largest activation and the device's budget."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from model_specs import ready_model
from torch import nn

from failmodes.evaluate.devices import ACTIVATION_BYTES, BATCH_SIZE, GPU_SHARE, activation_budget
from failmodes.evaluate.engine.cell import choose_batch_size, largest_activation
from failmodes.evaluate.study.study_schema import Normalization

CPU = torch.device("cpu")


def prepared_net(channels: int):
    module = nn.Sequential(nn.Conv2d(3, channels, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))
    return ready_model(module, "x", Normalization(mean=(0.5,) * 3, std=(0.25,) * 3), CPU, "float32")


def test_the_largest_activation_is_that_of_the_widest_layer_or_the_image() -> None:
    assert largest_activation(prepared_net(16), (20, 30, 3)) == 4 * 16 * 20 * 30
    assert largest_activation(prepared_net(2), (20, 30, 3)) == 4 * 3 * 20 * 30


def test_a_look_at_a_model_leaves_no_hook_and_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepared_net(4)
    monkeypatch.setattr(prepared.module, "_compiled_call_impl", lambda *_: pytest.fail("compiled"))
    assert choose_batch_size(prepared, (8, 8, 3)) == BATCH_SIZE["cpu"]
    assert not any(module._forward_hooks for module in prepared.module.modules())


@pytest.mark.parametrize(("channels", "expected"), [(8, 32), (16, 16), (64, 4), (640, 1)])
def test_the_batch_is_the_largest_power_of_two_within_the_budget(channels: int, expected: int) -> None:
    assert choose_batch_size(prepared_net(channels), (256, 256, 3)) == expected
    assert expected * channels * 4 * 256 * 256 <= ACTIVATION_BYTES or expected == 1


def test_a_gpu_gives_its_share_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu: Any = SimpleNamespace(total_memory=64 << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: gpu)
    assert activation_budget(torch.device("cuda")) == (64 << 30) // GPU_SHARE
    assert activation_budget(torch.device("mps")) == ACTIVATION_BYTES


def test_what_a_model_raises_at_the_first_look_is_left_to_the_run() -> None:
    prepared = prepared_net(16)
    assert choose_batch_size(prepared, (256, 256, 4)) == BATCH_SIZE["cpu"]  # it takes three channels
    assert not any(module._forward_hooks for module in prepared.module.modules())
