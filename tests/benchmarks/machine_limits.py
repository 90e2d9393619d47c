"""How fast a machine multiplies in float32, by every way at hand: matrix products, and a model's own layers alone."""

from collections.abc import Callable

import numpy as np
import torch
from measure import seconds
from torch import nn
from torch.nn.functional import conv2d
from torch.utils.flop_counter import FlopCounterMode

SIDES = (1024, 2048)
RUNS = 5  # the fastest counts: a limit is what was reached once


def product_rates(device: torch.device) -> dict[str, float]:
    """Operations a second of square matrix products, by library, the best of SIDES; a multiply-add counts as two."""
    return {
        name: max(2 * side**3 / _least_s(make(side, device)) for side in SIDES)
        for name, make in _products(device).items()
    }


def layer_rates(module: nn.Module, inputs: torch.Tensor) -> dict[str, float]:
    """Operations a second of each convolution and linear layer of a model, alone on inputs of its own shape."""
    given: dict[str, tuple[nn.Module, torch.Tensor]] = {}

    def see(layer: nn.Module, arguments: tuple[torch.Tensor, ...], _output: object) -> None:
        (values,) = arguments
        weight, groups = tuple(layer.weight.shape), getattr(layer, "groups", 1)
        shape = f"{type(layer).__name__} {'×'.join(map(str, weight))} on {'×'.join(map(str, values.shape))}"
        given.setdefault(shape + (f", {groups} groups" if groups > 1 else ""), (layer, values.clone()))

    layers = [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(see) for layer in layers]
    with torch.inference_mode():
        module(inputs)
        for handle in handles:
            handle.remove()
        return {name: _operations(*one) / _least_s(_alone(*one)) for name, one in given.items()}


def _products(device: torch.device) -> dict[str, Callable[[int, torch.device], Callable[[], object]]]:
    if device.type != "cpu":
        return {"PyTorch's product": _torch_product}
    library = np.__config__.CONFIG["Build Dependencies"]["blas"]["name"]
    own = "MKL" if torch.backends.mkl.is_available() else "its BLAS"
    return {
        f"PyTorch's product ({own})": _torch_product,
        "oneDNN's (a 1×1 convolution)": _convolution,
        f"NumPy's ({library})": _numpy_product,
    }


def _torch_product(side: int, device: torch.device) -> Callable[[], object]:
    one, other = torch.rand(2, side, side, device=device)
    return lambda: (one @ other)[0, 0].item()


def _convolution(side: int, device: torch.device) -> Callable[[], object]:
    values = torch.rand(1, side, side // 32, 32, device=device).to(memory_format=torch.channels_last)
    weight = torch.rand(side, side, 1, 1, device=device).to(memory_format=torch.channels_last)

    def run() -> None:
        with torch.inference_mode():
            conv2d(values, weight)[0, 0, 0, 0].item()

    return run


def _numpy_product(side: int, _device: torch.device) -> Callable[[], object]:
    one, other = np.random.default_rng(0).random((2, side, side), np.float32)
    return lambda: one @ other


def _operations(layer: nn.Module, values: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        layer(values)
    return counter.get_total_flops()


def _alone(layer: nn.Module, values: torch.Tensor) -> Callable[[], object]:
    return lambda: layer(values).flatten()[0].item()


def _least_s(action: Callable[[], object]) -> float:
    action()
    return min(seconds(action) for _ in range(RUNS))
