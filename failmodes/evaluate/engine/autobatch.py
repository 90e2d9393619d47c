"""How many images go through a model at once: the largest power of two whose activations fit a memory budget.

Rows depend on the batch size by rounding (about 1e-6). The rule depends on the model, the image size and the device
alone, so that a run that is killed and goes on takes the same batches. What the rule cannot see, such as memory that
another program takes, ends in an error of the allocator, and the batch is halved (`cell_evaluation.ModelRun`).
"""

from contextlib import ExitStack
from typing import Any

import numpy as np
import torch

from failmodes.evaluate.devices import BATCH_SIZE, activation_budget
from failmodes.evaluate.models.model import Model


def choose_batch_size(prepared: Model, image_shape: tuple[int, ...]) -> int:
    """The largest power of two within the budget of the model's device, and at most the device's BATCH_SIZE.

    Args:
        prepared: one image goes through it, of zeros.
        image_shape: (H, W, 3) of the data set's images.
    """
    most = BATCH_SIZE[prepared.device.type]
    try:
        image_bytes = largest_activation(prepared, image_shape)
    except Exception:  # whatever a user's model raises: it will again in the run, which says in which cell and batch
        return most
    fitting = max(1, activation_budget(prepared.device) // image_bytes)
    return min(most, 1 << fitting.bit_length() - 1)


def largest_activation(prepared: Model, image_shape: tuple[int, ...]) -> int:
    """Bytes, in float32, of the largest tensor that any layer of a model returns for one image, its input included."""
    found = [4 * int(np.prod(image_shape))]

    def measure(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            found.append(4 * output.numel())

    with ExitStack() as hooks, torch.inference_mode():
        for module in prepared.module.modules():
            hooks.callback(module.register_forward_hook(measure).remove)
        image = np.zeros((1, *image_shape), np.uint8)
        prepared.module.forward(prepared.inputs(image))  # a call might compile it, with these hooks
    return max(found)
