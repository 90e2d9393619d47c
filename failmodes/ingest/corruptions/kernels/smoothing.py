"""Gaussian smoothing as SciPy and scikit-image do it."""

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corruptions.pixels import Float, Images, from_unit, to_unit

GAUSSIAN_REACH = 4.0  # standard deviations at which scikit-image truncates a Gaussian


def gaussian_filter(values: NDArray[Float], sigma: float) -> NDArray[Float]:
    """Gaussian smoothing of each image of (N, H, W) or (N, H, W, C), edges replicated.

    SciPy's, as in scikit-image's `gaussian`: in another order of sums, up to a third of the values of an image of one
    color would be truncated to a neighbor.
    """
    from scipy.ndimage import correlate1d  # here: the names of corruptions alone need no SciPy

    weights = gaussian_weights(sigma, GAUSSIAN_REACH)
    if len(weights) == 1:
        return values
    along_rows = correlate1d(values, weights, axis=1, mode="nearest")
    return np.asarray(correlate1d(along_rows, weights, axis=2, mode="nearest"), values.dtype)


def gaussian_weights(sigma: float, reach: float) -> NDArray[np.float64]:
    """Weights of a Gaussian truncated at `reach` standard deviations, of sum 1, as SciPy makes them."""
    radius = int(reach * sigma + 0.5)
    taps = np.arange(-radius, radius + 1)
    weights: NDArray[np.float64] = np.exp(-0.5 / sigma**2 * taps**2) if radius else np.ones(1)  # sigma may be 0
    return np.asarray(weights / weights.sum())


def smoothed_pixels(images: Images, sigma: float) -> Images:
    """Images (N, H, W, 3) uint8 smoothed, to stored values: `gaussian_filter` of values / 255, times 255, truncated."""
    return from_unit(gaussian_filter(to_unit(images), sigma))
