"""A model ready to run: weights on a device, normalization on the device, the outputs that are classes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from torch import nn
from torch._functorch import config as functorch_config
from torch.nn.functional import interpolate

from failmodes.evaluate.devices import make_exact
from failmodes.evaluate.study.study_schema import Normalization, Precision

UNIT_RANGE = Normalization(mean=(0, 0, 0), std=(1, 1, 1))  # values / 255 as they are


@dataclass(frozen=True, eq=False)
class PreparedModel:
    """A module with all that its forward pass needs; build it with `prepare_model`.

    Attributes:
        module: the model itself, in evaluation mode, its parameters without gradients.
        architecture: its name.
        label: its name in messages.
        device: where it runs.
        precision: of its forward pass; statistics are float32 in every case.
        scale: (1, 3, 1, 1): what values up to 255 are multiplied with to normalize them.
        shift: (1, 3, 1, 1): what is then added.
        input_side_px: the side that images are resized to; not resized if None.
        outputs: which of the module's outputs the logits are: the data set's classes, in their order, and then the
            others, if they take part; all if None.
        preprocess: a user's own way from uint8 tensors (N, 3, H, W) on the CPU to inputs, instead of all this.
        watchers: called with all of the module's outputs (N, outputs) of each forward pass.
    """

    module: nn.Module
    architecture: str
    label: str
    device: torch.device
    precision: Precision
    scale: torch.Tensor
    shift: torch.Tensor
    input_side_px: int | None = None
    outputs: torch.Tensor | None = None
    preprocess: Callable[[torch.Tensor], torch.Tensor] | None = None
    watchers: list[Callable[[torch.Tensor], None]] = field(default_factory=list)

    def inputs(self, images: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Normalized floats (N, 3, h, w) of uint8 images (N, H, W, 3), which cross to the device as bytes."""
        if isinstance(images, np.ndarray):
            images = torch.from_numpy(np.require(images, requirements=["C", "W"]))  # torch takes no read-only map
        if self.preprocess is not None:
            return self.preprocess(images.permute(0, 3, 1, 2).contiguous()).to(self.device)
        batch = images.to(self.device, non_blocking=True)
        # (N, H, W, 3) memory seen as (N, 3, H, W) is channels_last already: nothing is moved
        values = batch.permute(0, 3, 1, 2)
        side = self.input_side_px
        if side is not None and values.shape[2:] != (side, side):
            values = interpolate(values.float(), (side, side), mode="bilinear", antialias=True)
        return self._normalized(values.float())

    def _normalized(self, values: torch.Tensor) -> torch.Tensor:
        """(x / 255 − mean) / std of floats (N, 3, h, w) in channels_last, in place.

        Row by row of width × channels: over channels alone, three numbers wide, the same passes take ten times as long.
        """
        count, channels, height, width = values.shape
        rows = values.permute(0, 2, 3, 1).reshape(count, height, width * channels)
        scale, shift = (factor.flatten().repeat(width) for factor in (self.scale, self.shift))
        return rows.mul_(scale).add_(shift).view(count, height, width, channels).permute(0, 3, 1, 2)

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (N, C) float32 of `inputs`; whether gradients flow is the caller's choice."""
        dtype = torch.float16 if self.precision == "float16" else torch.bfloat16
        with torch.autocast(self.device.type, dtype, enabled=self.precision != "float32"):
            logits: torch.Tensor = self.module(inputs)
        for watch in self.watchers:
            watch(logits.detach())
        return (logits if self.outputs is None else logits[:, self.outputs]).float()

    @torch.inference_mode()
    def predict(self, images: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Logits (N, C) float32 of uint8 images (N, H, W, 3)."""
        return self.logits(self.inputs(images))


def prepare_model(
    module: nn.Module,
    architecture: str,
    normalization: Normalization | None,
    device: torch.device,
    precision: Precision,
    *,
    label: str = "model",
    input_side_px: int | None = None,
    outputs: list[int] | None = None,
    preprocess: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> PreparedModel:
    """Put a module on its device, channels_last, in evaluation mode; images are resized to `input_side_px` if given.

    Without a normalization, values stay in [0, 1].
    """
    module = to_channels_last(module, device).eval().requires_grad_(False)
    make_exact(device)
    given = normalization or UNIT_RANGE
    mean, std = (
        torch.tensor(values, dtype=torch.float32, device=device).view(1, 3, 1, 1) for values in (given.mean, given.std)
    )
    chosen = None if outputs is None else torch.tensor(outputs, device=device)
    scale, shift = 1 / (255 * std), -mean / std
    return PreparedModel(
        module, architecture, label, device, precision, scale, shift, input_side_px, chosen, preprocess
    )  # fmt: skip


def compile_model(prepared: PreparedModel) -> None:
    """Compile a model in place, with the hooks that it has by now."""
    functorch_config.donated_buffer = False  # a CAM method may run one backward pass twice
    prepared.module.compile()


def to_channels_last(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a module to its device and lay its kernels out as (N, H, W, C), which is how images arrive."""
    module.to(device)
    return cast(nn.Module, module.to(memory_format=torch.channels_last))  # type: ignore[call-overload]  # not in stubs
