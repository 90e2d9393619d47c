"""A model that does not look: its outputs are a hash of the pixels, so that a changed pixel changes its logits."""

import hashlib
from typing import Any

import numpy as np
import torch
from torch import nn


class PixelHash(nn.Module):
    """Takes values in [0, 1]; returns the 16-bit words of a hash of the uint8 pixels, from 0 to 64."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        return torch.from_numpy(hashed(pixels.contiguous().numpy(), self.outputs))


def pixel_hash(num_classes: int) -> nn.Module:
    """`architecture = "pixel_hash:pixel_hash"`, `normalization = "none"`."""
    return PixelHash(num_classes)


def imagenet() -> nn.Module:
    """The same with the outputs of ImageNet."""
    return PixelHash(1000)


def three(images: np.ndarray) -> np.ndarray:
    """A function for `failmodes.benchmark`: uint8 images (N, H, W, 3) to three outputs."""
    return hashed(images, 3)


def hashed(images: np.ndarray, outputs: int) -> np.ndarray:
    """Outputs (N, outputs); they are exact in float32, and in float16 for the most part."""
    digests = [hashlib.shake_256(np.ascontiguousarray(image).tobytes()).digest(2 * outputs) for image in images]
    return np.stack([np.frombuffer(digest, "<u2") for digest in digests]).astype(np.float32) / 1024


def digest(pixels: Any) -> int:
    """48 bits of a hash of pixels, as a number: all that change in a table are then one difference."""
    return int(hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()[:12], 16)
