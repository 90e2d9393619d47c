"""Shared by kernels: types of images and parameters, and conversion between stored values and the unit range.

Stored values are uint8, 0-255; the published parameters are for values in the unit range, float, 0-1.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.floating[Any]]
Float = TypeVar("Float", np.float32, np.float64)
Parameters = tuple[float, ...]

# By severity: [1] … [5] are published; [0] is their limit at 0, None if nothing is interpolated
Levels = tuple[Parameters | None, Parameters, Parameters, Parameters, Parameters, Parameters]
RecipeLevels = dict[str, Levels]  # by recipe: cifar-c, imagenet-c


def to_unit(images: Images) -> NDArray[np.float64]:
    """Values / 255 in float64, for kernels where the last bit decides the truncated value."""
    return images / 255.0


def to_unit32(images: Images) -> Float32Array:
    """Values / 255 in float32, half the memory, for kernels whose samples or published code are float32."""
    return np.divide(images, np.float32(255), dtype=np.float32)


def from_unit(values: NDArray[Float]) -> Images:
    """Clip to 0-1, times 255, truncated as the published generator does (not rounded). Overwrites `values`."""
    np.clip(values, 0, 1, out=values)
    values *= 255
    return values.astype(np.uint8)
