"""Blur: motion blur as ImageMagick makes it."""

import math

import numpy as np
from numpy.typing import NDArray

DEPTH = 257  # steps of ImageMagick's 16 bits in one of 8
LEAST_WEIGHT = 1e-8  # a lighter tap moves no value by more than 0.000003 of 255


def motion_blur(
    images: NDArray[np.uint8], parameters: tuple[float, ...], angles_deg: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """One-sided Gaussian streak along each image's own angle; edges replicated.

    The result is rounded to ImageMagick's 16 bits and from these truncated to 8, as the published images were.

    Images are sorted by angle, so that those whose tap falls on the same whole-pixel offset are one slice.

    Args:
        images: (N, H, W, 3) uint8.
        parameters: radius and sigma of the streak, pixels.
        angles_deg: (N,) degrees.
    """
    radius, sigma = parameters
    weights = streak(radius, sigma)
    reach = len(weights) - 1
    height, width = images.shape[1:3]
    order = np.argsort(angles_deg, kind="stable")
    padded = np.pad(images[order], ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
    angles = np.radians(angles_deg[order])
    blurred = np.zeros(images.shape, np.float32)
    for tap, weight in enumerate(weights):
        across = np.ceil(tap * np.cos(angles) - 0.5).astype(int)
        down = np.ceil(tap * np.sin(angles) - 0.5).astype(int)
        for rows in _runs(across, down):
            y, x = reach + down[rows.start], reach + across[rows.start]
            blurred[rows] += weight * padded[rows, y : y + height, x : x + width]
    result = np.empty_like(images)
    result[order] = np.rint(blurred * DEPTH) // DEPTH
    return result


def streak(radius: float, sigma: float) -> NDArray[np.float32]:
    """Weights of a one-sided Gaussian, of sum 1, without taps too light to matter."""
    taps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(taps**2) / (2 * sigma**2))
    weights /= weights.sum()
    return weights[weights >= LEAST_WEIGHT].astype(np.float32)


def _runs(across: NDArray[np.int_], down: NDArray[np.int_]) -> list[slice]:
    breaks = np.flatnonzero((np.diff(across) != 0) | (np.diff(down) != 0)) + 1
    starts = [0, *breaks.tolist()]
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], len(across)], strict=True) if b > a]
