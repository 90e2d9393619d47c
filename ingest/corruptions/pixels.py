"""Between stored values (uint8, 0-255) and the unit range (float64, 0-1) in which recipes are written."""

import numpy as np
from numpy.typing import NDArray


def to_unit(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Values / 255."""
    return images / 255.0


def from_unit(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Clip to 0-1, times 255, truncated as the published generator does (not rounded). Overwrites `values`."""
    np.clip(values, 0, 1, out=values)
    values *= 255
    return values.astype(np.uint8)
