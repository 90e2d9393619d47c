"""Gaussian smoothing as SciPy and scikit-image do it; of stored values in less time, to the same pixels."""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from failmodes.ingest.corruptions.pixels import Float, Images, from_unit, to_unit

GAUSSIAN_REACH = 4.0  # standard deviations at which scikit-image truncates a Gaussian
FLOAT32_STEP = 2.0**-24  # half a unit in the last place: by how much an operation in float32 rounds, relatively
LEAST_VALUES = 1 << 14  # of an image: smaller ones, as of 32 px, take SciPy no longer
WINDOW_VALUES = 1 << 18  # copied at a time to be summed again
# Share of an image's values, times the taps: where more are uncertain, the whole image is smoothed exactly
UNCERTAIN_SHARE = 0.25


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
    """Images (N, H, W, 3) uint8 smoothed, to stored values: `gaussian_filter` of values / 255, times 255, truncated.

    OpenCV smooths in float32, several times faster than SciPy in float64 and with an error below a known share: a value
    further than that from a whole number is truncated to the same pixel. The others, a few in a thousand, are
    summed again as SciPy sums.
    """
    import cv2

    weights = gaussian_weights(sigma, GAUSSIAN_REACH)
    per_image = math.prod(images.shape[1:])
    if len(weights) == 1 or per_image < LEAST_VALUES:
        return from_unit(gaussian_filter(to_unit(images), sigma))
    blurred = np.empty(images.shape, np.float32)
    single = weights.astype(np.float32)
    for image, result in zip(images, blurred, strict=True):
        cv2.sepFilter2D(image, cv2.CV_32F, single, single, dst=result, borderType=cv2.BORDER_REPLICATE)
    bound = relative_error_bound(len(weights))
    pixels = (blurred * np.float32(1 + bound)).astype(np.uint8)
    uncertain = pixels != (blurred * np.float32(1 - bound)).astype(np.uint8)
    most = UNCERTAIN_SHARE * per_image / len(weights)
    for image, result, at in zip(images, pixels, uncertain, strict=True):
        if np.count_nonzero(at) > most:
            _settle_many(image, sigma, result, at, most)
    if uncertain.any():
        places = np.flatnonzero(uncertain)
        pixels.ravel()[places] = _smoothed_at(images, weights, places) * 255
    return pixels


def relative_error_bound(taps: int) -> float:
    """The largest error of a separable filter in float32 whose weights, of so many taps, are positive, as a share.

    Of each of the two passes: every weight and every product is rounded once, and sums of what is not negative grow to
    the value itself, from the middle outwards or from one end to the other, so that half a unit of all taps is lost
    at most. Two more for rounding the bounds.
    """
    return (taps + 10) * FLOAT32_STEP


def _settle_many(image: Images, sigma: float, result: Images, uncertain: NDArray[np.bool_], most: float) -> None:
    """Make sure of the pixels of one image (H, W, 3) where many are unsure; both of the last two are overwritten.

    Even areas, as of a white ground, look their pixels up; where more than `most` others are left, as of a gradient
    along one axis, the whole image is smoothed as SciPy does it.
    """
    import cv2

    window = np.ones((len(gaussian_weights(sigma, GAUSSIAN_REACH)),) * 2, np.uint8)
    least, largest = (smallest(image, window, borderType=cv2.BORDER_REPLICATE) for smallest in (cv2.erode, cv2.dilate))
    even = uncertain & (least == largest)
    values = np.arange(256, dtype=np.uint8).reshape(256, 1, 1)  # smoothed among values that are the same
    result[even] = (gaussian_filter(to_unit(values), sigma) * 255).astype(np.uint8).ravel()[image[even]]
    uncertain[even] = False
    if np.count_nonzero(uncertain) > most:
        result[:] = gaussian_filter(to_unit(image[None]), sigma)[0] * 255
        uncertain[:] = False


def _smoothed_at(images: Images, weights: NDArray[np.float64], places: NDArray[np.int_]) -> NDArray[np.float64]:
    """Values / 255 of images (N, H, W, C) smoothed at some flat indices (K,) alone, in SciPy's order of sums: (K,)."""
    reach, taps = len(weights) // 2, len(weights)
    image, down, across, channel = np.unravel_index(places, images.shape)
    edges = ((0, 0), (0, 0), (reach, reach), (reach, reach))
    planes = np.pad(np.ascontiguousarray(images.transpose(0, 3, 1, 2)), edges, mode="edge")
    windows = sliding_window_view(to_unit(planes), (taps, taps), axis=(2, 3))
    found = np.empty(len(places))
    at_once = max(1, WINDOW_VALUES // taps**2)
    for start in range(0, len(places), at_once):
        part = slice(start, start + at_once)
        around = windows[image[part], channel[part], down[part], across[part]]
        found[part] = _folded(_folded(around.transpose(1, 0, 2), weights).T, weights)
    return found


def _folded(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weighted sum over the first axis, as `correlate1d` has it: the middle value, then pairs from the ends in."""
    reach = len(weights) // 2
    total = values[reach] * weights[reach]
    for tap in range(reach, 0, -1):
        pair = values[reach - tap] + values[reach + tap]
        pair *= weights[reach + tap]
        total += pair
    return np.asarray(total)
