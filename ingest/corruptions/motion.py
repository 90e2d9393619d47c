"""Motion blur as ImageMagick makes it, of images and of snow."""

import math

import numpy as np
from numpy.typing import NDArray

from ingest.corruptions.pixels import Images, Plane
from ingest.corruptions.recipes import Parameters

DEPTH = 257  # steps of ImageMagick's 16 bits in one of 8
LEAST_WEIGHT = 1e-8  # a lighter tap moves no value by more than 0.000003 of 255
ANGLE_RANGE_DEG = (-45.0, 45.0)


def motion_blur(images: Images, parameters: Parameters, *, turns: Plane) -> Images:
    """Blur each image along its own angle: `turns` (N,) 0-1 stand for -45 to 45 degrees."""
    return streaked(images, parameters, angles_deg(turns, *ANGLE_RANGE_DEG))


def angles_deg(turns: Plane, low: float, high: float) -> NDArray[np.float64]:
    """Uniform 0-1 to angles between `low` and `high`, degrees."""
    return low + turns.astype(np.float64) * (high - low)


def streaked(images: Images, parameters: Parameters, angles_deg: NDArray[np.float64]) -> Images:
    """One-sided Gaussian streak along each image's own angle; edges replicated.

    The result is rounded to ImageMagick's 16 bits and from these truncated to 8, as the published images were.

    Images are sorted by angle, so that those whose tap falls on the same whole-pixel offset are one slice.

    Args:
        images: (N, H, W, C) uint8.
        parameters: radius and sigma of the streak, pixels.
        angles_deg: (N,) degrees.
    """
    weights = streak(*parameters)
    reach = len(weights) - 1
    height, width = images.shape[1:3]
    order = np.argsort(angles_deg, kind="stable")
    edges = ((0, 0), (reach, reach), (reach, reach), (0, 0))
    padded = np.pad(images[order], edges, mode="edge").astype(np.float32)
    angles = np.radians(angles_deg[order])
    blurred = np.zeros(images.shape, np.float32)
    tapped = np.empty_like(blurred)
    for tap, weight in enumerate(weights):
        across = np.ceil(tap * np.cos(angles) - 0.5).astype(int)
        down = np.ceil(tap * np.sin(angles) - 0.5).astype(int)
        for rows in _runs(across, down):
            y, x = reach + down[rows.start], reach + across[rows.start]
            np.multiply(padded[rows, y : y + height, x : x + width], weight, out=tapped[rows])
        blurred += tapped
    blurred *= DEPTH
    np.rint(blurred, out=blurred)
    result = np.empty_like(images)
    result[order] = blurred.astype(np.int32) // DEPTH
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
