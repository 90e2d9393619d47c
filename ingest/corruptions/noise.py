"""Noise."""

import numpy as np
from numpy.typing import NDArray

from ingest.corruptions.pixels import from_unit, to_unit


def gaussian_noise(
    images: NDArray[np.uint8], parameters: tuple[float, ...], normals: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Add `normals` (N, H, W, 3) times sigma."""
    (sigma,) = parameters
    noisy = normals * sigma
    noisy += to_unit(images)
    return from_unit(noisy)
