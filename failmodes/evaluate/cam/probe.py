"""A probe: a few random images through a model while every module is watched, to find out how it is built."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.outputs import describe_forward_error
from failmodes.warehouse.errors import ModelError

PROBE_IMAGES = 3
PROBE_SEED = 0

# name, input, output → output to go on with
ActivationHook = Callable[[str, torch.Tensor, torch.Tensor], torch.Tensor | None]


def probe_inputs(prepared: Model, image_shape: tuple[int, int]) -> torch.Tensor:
    """Inputs (3, 3, h, w) of seeded random images of this height and width, the same on every call."""
    pixels = np.random.default_rng(PROBE_SEED).integers(0, 256, (PROBE_IMAGES, *image_shape, 3), dtype=np.uint8)
    return prepared.inputs(pixels)


def run_probe(prepared: Model, inputs: torch.Tensor, watch: ActivationHook) -> torch.Tensor:
    """The module's own output (N, outputs) in float32, without autocast; `watch` sees every module's output.

    Raises:
        ModelError: the model does not run on such images, or gives something else than logits.
    """
    with _watched(prepared.module, watch):
        try:
            output = prepared.module(inputs)
        except Exception as error:  # whatever a model's own code raises
            seen = f"{inputs.shape[2]}×{inputs.shape[3]} px"
            raise ModelError(f"{prepared.label} {describe_forward_error(error, seen)}") from error
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        found = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ModelError(
            f"{prepared.label} gives {found} for {len(inputs)} images instead of one tensor of logits (images, "
            "classes): wrap it in a module that returns the logits alone"
        )
    return output


def watchable_modules(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """All modules but the root that PyTorch lets one look into, by name; TorchScript's take no hooks."""
    for name, part in module.named_modules():
        if name and not isinstance(part, torch.jit.ScriptModule):
            yield name, part


def are_equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two tensors are equal; NaN, as a diverged model outputs, equals NaN."""
    return first.shape == second.shape and torch.equal(first.nan_to_num(), second.nan_to_num())


@contextmanager
def _watched(module: nn.Module, watch: ActivationHook) -> Iterator[None]:
    """Hooks on every module but the root; they see outputs that are one float tensor, and are removed afterwards."""

    def hook(name: str) -> Callable[..., torch.Tensor | None]:
        def see(_module: nn.Module, given: tuple[object, ...], output: object) -> torch.Tensor | None:
            if not isinstance(output, torch.Tensor) or not output.is_floating_point():
                return None
            source = given[0] if given and isinstance(given[0], torch.Tensor) else output
            return watch(name, source, output)

        return see

    handles = [part.register_forward_hook(hook(name)) for name, part in watchable_modules(module)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
