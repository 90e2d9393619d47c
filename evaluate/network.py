"""A network ready to run: weights on a device, normalisation on the device, the last feature map at hand."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate

from evaluate.architectures import ARCHITECTURES
from evaluate.specification import Normalisation, Precision


class Forward(NamedTuple):
    """One batch through the network, in float32 whatever the network's precision.

    Attributes:
        logits: (N, C).
        features: (N, K, h, w), the rectified last feature map, or None where it was not asked for.
    """

    logits: torch.Tensor
    features: torch.Tensor | None


@dataclass(frozen=True, eq=False)
class Network:
    """A module with all that its forward pass needs; build it with `prepare`."""

    module: nn.Module
    architecture: str
    device: torch.device
    precision: Precision
    mean: torch.Tensor
    std: torch.Tensor
    input_side_px: int | None = None

    @property
    def head(self) -> nn.Linear:
        """The linear layer after global average pooling."""
        layer = self.module.get_submodule(ARCHITECTURES[self.architecture].head)
        assert isinstance(layer, nn.Linear)
        return layer

    @torch.inference_mode()
    def forward(self, images: np.ndarray, *, features: bool) -> Forward:
        """Run uint8 images (N, H, W, 3); they cross to the device as bytes and are normalised there."""
        captured: list[torch.Tensor] = []
        layer = self.module.get_submodule(ARCHITECTURES[self.architecture].attention_layer)
        hook = layer.register_forward_hook(lambda _m, _i, output: captured.append(output)) if features else None
        try:
            with torch.autocast(self.device.type, self.autocast_type, enabled=self.precision != "float32"):
                logits = self.module(self._input(images))
        finally:
            if hook is not None:
                hook.remove()
        # torchvision's DenseNet rectifies after `features`, in place on some devices: rectify here in every case
        # (it changes nothing where it was done), or the map would depend on the device.
        maps = captured[0].float().relu() if captured else None
        return Forward(logits.float(), maps)

    @property
    def autocast_type(self) -> torch.dtype:
        """The dtype of autocast."""
        return torch.float16 if self.precision == "float16" else torch.bfloat16

    def _input(self, images: np.ndarray) -> torch.Tensor:
        writable = np.require(images, requirements=["C", "W"])  # torch takes no read-only memory map
        batch = torch.from_numpy(writable).to(self.device, non_blocking=True)
        # (N, H, W, 3) memory seen as (N, 3, H, W) is channels_last already: nothing is moved
        values = batch.permute(0, 3, 1, 2).float()
        side = self.input_side_px
        if side is not None and values.shape[2:] != (side, side):
            values = interpolate(values, (side, side), mode="bilinear", antialias=True)
        return values.div_(255).sub_(self.mean).div_(self.std)


def prepare(
    module: nn.Module,
    architecture: str,
    normalisation: Normalisation,
    device: torch.device,
    precision: Precision,
    *,
    input_side_px: int | None = None,
) -> Network:
    """Put a module on its device, channels_last, in evaluation mode; images are resized to `input_side_px` if given."""
    module = channels_last(module, device).eval().requires_grad_(False)

    def channels(values: tuple[float, float, float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device).view(1, 3, 1, 1)

    mean, std = channels(normalisation.mean), channels(normalisation.std)
    return Network(module, architecture, device, precision, mean, std, input_side_px)


def channels_last(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a module to its device and lay its kernels out as (N, H, W, C), which is how images arrive."""
    module.to(device)
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this form
