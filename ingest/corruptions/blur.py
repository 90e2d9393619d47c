"""Blur by a Gaussian and by a disk."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from ingest.corruptions.pixels import Float, Images, from_unit, to_unit
from ingest.corruptions.recipes import Parameters

GAUSSIAN_REACH = 4.0  # deviations at which scikit-image cuts a Gaussian off
SMALL_DISK_PX = 8


def gaussian_blur(images: Images, parameters: Parameters) -> Images:
    """Blur by a Gaussian of sigma pixels; edges replicated."""
    (sigma,) = parameters
    return from_unit(smooth(to_unit(images), sigma))


def smooth(values: NDArray[Float], sigma: float) -> NDArray[Float]:
    """Gaussian smoothing of each image of (N, H, W) or (N, H, W, C), edges replicated.

    SciPy's, as in scikit-image's `gaussian`: in another order of sums, up to a third of the values of an image of one
    colour would be truncated to a neighbour.
    """
    weights = gaussian_weights(sigma, GAUSSIAN_REACH)
    if len(weights) == 1:
        return values
    along_rows = correlate1d(values, weights, axis=1, mode="nearest")
    return np.asarray(correlate1d(along_rows, weights, axis=2, mode="nearest"))


def gaussian_weights(sigma: float, reach: float) -> NDArray[np.float64]:
    """Weights of a Gaussian cut off at `reach` deviations, of sum 1, as SciPy makes them."""
    radius = int(reach * sigma + 0.5)
    taps = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / sigma**2 * taps**2) if radius else np.ones(1)  # sigma may be 0
    return weights / weights.sum()


def defocus_blur(images: Images, parameters: Parameters) -> Images:
    """Blur by a disk; edges reflected about the border pixel."""
    kernel = disk(*parameters)
    unit = to_unit(images)
    blurred = np.empty_like(unit)
    for image, result in zip(unit, blurred, strict=True):
        cv2.filter2D(image, -1, kernel, dst=result)
    return from_unit(blurred)


@lru_cache(maxsize=16)
def disk(radius: float, sigma: float) -> NDArray[np.float32]:
    """A disk of sum 1, blurred a little against aliasing; published on a wider grid, whose empty rim is cut off."""
    wide = SMALL_DISK_PX if radius <= SMALL_DISK_PX else int(radius)
    window = (3, 3) if radius <= SMALL_DISK_PX else (5, 5)
    taps = np.arange(-wide, wide + 1)
    inside = (taps[:, None] ** 2 + taps**2 <= radius**2).astype(np.float32)
    kernel = cv2.GaussianBlur(inside / inside.sum(), ksize=window, sigmaX=sigma)
    reach = max(1, int(np.abs(np.argwhere(kernel) - wide).max()))
    return np.ascontiguousarray(kernel[wide - reach : wide + reach + 1, wide - reach : wide + reach + 1])
