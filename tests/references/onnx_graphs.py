"""ONNX graphs and exported programs of small models, written by torch."""

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
NORMALIZATION = {"mean": list(MEAN), "std": list(STD)}
SIDE = 16


class Small(nn.Module):
    """A small classifier; `ending` is called on its logits."""

    def __init__(self, outputs: int = 3, ending=None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, outputs)
        self.ending = ending or nn.Identity()

    def forward(self, images: torch.Tensor):
        return self.ending(20 * self.head(self.norm(self.conv(images)).relu().mean((2, 3))))


class ChannelsLast(Small):
    """Takes (N, H, W, 3)."""

    def forward(self, images: torch.Tensor):
        return super().forward(images.permute(0, 3, 1, 2))


class FromPixels(ChannelsLast):
    """Takes uint8 pixels (N, H, W, 3)."""

    def forward(self, images: torch.Tensor):
        return super().forward((images.float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD))


class Several(Small):
    """Returns logits and features."""

    def forward(self, images: torch.Tensor):
        return super().forward(images), images.mean((2, 3))


def pixels(count: int = 200, side: int = SIDE) -> np.ndarray:
    """Images (count, side, side, 3), uint8."""
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def prepared(images: np.ndarray) -> torch.Tensor:
    """Images (N, 3, H, W), normalized."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std


def example_of(module: nn.Module, batch: int = 2, side: int = SIDE) -> torch.Tensor:
    """An input of a model."""
    shape = (batch, side, side, 3) if isinstance(module, ChannelsLast) else (batch, 3, side, side)
    values = torch.zeros(shape, dtype=torch.uint8 if isinstance(module, FromPixels) else torch.float32)
    return values.to(next(module.parameters()).dtype) if values.is_floating_point() else values


def write_onnx(
    module: nn.Module, path: Path, *, batch: int | None = None, names: tuple[str, ...] = ("out",), side: int = SIDE
) -> Path:
    """Export a model; without `batch` the batch size is dynamic."""
    free = None if batch else {"images": {0: "n"}} | {name: {0: "n"} for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), (example_of(module, batch or 2, side),), str(path), dynamo=False, input_names=["images"],
            output_names=list(names), dynamic_axes=free,
        )  # fmt: skip
    return path


def write_program(module: nn.Module, path: Path, *, batch: int | None = None, side: int = SIDE) -> Path:
    """Export a model by torch.export; without `batch` the batch size is dynamic."""
    free = None if batch else ({0: torch.export.Dim("n")},)
    example = example_of(module, batch or 2, side)
    torch.export.save(torch.export.export(module.eval(), (example,), dynamic_shapes=free), path)
    return path
