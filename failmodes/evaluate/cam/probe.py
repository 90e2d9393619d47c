"""A probe: a few random images through a model with hooks on every module, to find out its structure."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import nn

from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.trial import describe_forward_error
from failmodes.runtime.errors import ModelError

PROBE_IMAGES = 3
PROBE_SEED = 0

# name, input, output → replacement of the output, or None
ActivationHook = Callable[[str, torch.Tensor, torch.Tensor], torch.Tensor | None]


def probe_inputs(model: Model, image_shape: tuple[int, int]) -> torch.Tensor:
    """Inputs (3, 3, h, w) of seeded random images of this height and width."""
    pixels = np.random.default_rng(PROBE_SEED).integers(0, 256, (PROBE_IMAGES, *image_shape, 3), dtype=np.uint8)
    return model.inputs(pixels)


def run_probe(model: Model, inputs: torch.Tensor, watch: ActivationHook) -> torch.Tensor:
    """Run the module in float32, without autocast; returns the logits (N, outputs) of all outputs.

    `watch` is called with the output of every module that returns one float tensor, except the root and TorchScript
    modules, which take no hooks.

    Raises:
        ModelError: the model does not run on such images, or does not return logits.
    """
    named = [(name, part) for name, part in model.torch_module.named_modules() if name]
    watched = [(name, part) for name, part in named if not isinstance(part, torch.jit.ScriptModule)]
    handles = [part.register_forward_hook(partial(_show, watch, name)) for name, part in watched]
    try:
        with torch.compiler.set_stance("force_eager"):  # hooks would be compiled, too
            output = model.all_logits(inputs)
    except Exception as error:  # any error of a model
        seen = f"{inputs.shape[2]}×{inputs.shape[3]} px"  # a single image worked when the model was loaded
        raise ModelError(f"{model.label} {describe_forward_error(error, seen, len(inputs))}") from error
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        returned = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ModelError(
            f"{model.label} returns {returned} for {len(inputs)} images instead of one tensor of logits (images, "
            "classes): wrap it in a module that returns only the logits"
        )
    return output


def _show(
    watch: ActivationHook, name: str, _module: nn.Module, inputs: tuple[object, ...], output: object
) -> torch.Tensor | None:
    if not isinstance(output, torch.Tensor) or not output.is_floating_point():
        return None
    source = inputs[0] if inputs and isinstance(inputs[0], torch.Tensor) else output
    return watch(name, source, output)
