"""Elastic transform: a random affine map, then a smooth random displacement."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from ingest.corruptions.blur import gaussian_weights
from ingest.corruptions.pixels import Images, Plane, from_unit, to_unit32
from ingest.corruptions.recipes import Parameters

SMOOTHING_REACH = 3.0  # deviations at which the published smoothing is cut off


def elastic_transform(images: Images, parameters: Parameters, *, corners: Plane, fields: Plane) -> Images:
    """Move three corners of a central square, then every pixel; both times interpolate linearly.

    Args:
        images: (N, H, W, 3) uint8.
        parameters: amplitude of the displacement, sigma of its smoothing, range of the corners' jitter; all relative
            to the shorter side.
        corners: (N, 3, 2) uniform 0-1: where the corners go, across and down.
        fields: (N, 2, H, W) uniform 0-1: displacement across and down before smoothing.
    """
    height, width = images.shape[1:3]
    amplitude, sigma, jitter = (value * min(height, width) for value in parameters)
    unit = to_unit32(images)
    if jitter:
        unit = _affine(unit, (corners.astype(np.float64) * 2 - 1) * jitter)
    if amplitude:
        unit = _displaced(unit, (fields * 2 - 1) * np.float32(amplitude), sigma)
    return from_unit(unit)


def _affine(images: Plane, moved: NDArray[np.float64]) -> Plane:
    """Map each image affinely, so that three corners of its central square move by `moved` (N, 3, 2)."""
    height, width = images.shape[1:3]
    rows, columns = _grid(height, width)
    inverse = _inverse_affine(height, width, moved)[..., None, None]
    x = inverse[:, 0, 0] * columns + inverse[:, 0, 1] * rows + inverse[:, 0, 2]
    y = inverse[:, 1, 0] * columns + inverse[:, 1, 1] * rows + inverse[:, 1, 2]
    return _sampled(images, y, x, about_border_pixel=True)


def _displaced(images: Plane, fields: Plane, sigma: float) -> Plane:
    """Move each pixel by smoothed `fields` (N, 2, H, W), pixels across and down."""
    rows, columns = _grid(*images.shape[1:3])
    smooth = _smoothed(fields, sigma)
    return _sampled(images, rows + smooth[:, 1], columns + smooth[:, 0], about_border_pixel=False)


def _grid(height: int, width: int) -> tuple[Plane, Plane]:
    return np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)


def _inverse_affine(height: int, width: int, moved: NDArray[np.float64]) -> Plane:
    """From each image's result back to its source, (N, 2, 3); `moved` (N, 3, 2) are the corners' displacements."""
    centre = np.array([height // 2, width // 2], np.float64)
    reach = min(height, width) // 3
    start = centre + np.array([(reach, reach), (reach, -reach), (-reach, -reach)])
    ends = np.concatenate([start + moved, np.ones((*moved.shape[:2], 1))], axis=2)
    inverse = np.linalg.solve(ends, np.broadcast_to(start, moved.shape))
    return np.asarray(np.swapaxes(inverse, 1, 2), np.float32)


def _smoothed(fields: Plane, sigma: float) -> Plane:
    """Gaussian smoothing of (N, 2, H, W), reflected beyond the borders."""
    height, width = fields.shape[2:]
    weights = gaussian_weights(sigma, SMOOTHING_REACH)
    if len(weights) // 2 >= min(height, width):  # reflected more than once: OpenCV stops there
        return np.asarray(_smoothing(height, sigma) @ fields @ _smoothing(width, sigma).T, np.float32)
    smooth = np.empty_like(fields)
    for pair, result in zip(fields, smooth, strict=True):
        for field, out in zip(pair, result, strict=True):
            cv2.sepFilter2D(field, -1, weights, weights, dst=out, borderType=cv2.BORDER_REFLECT)
    return smooth


@lru_cache(maxsize=8)
def _smoothing(side: int, sigma: float) -> Plane:
    """Gaussian smoothing of `side` values with reflected ends, as a matrix (side, side)."""
    matrix = gaussian_filter1d(np.eye(side), sigma, axis=0, mode="reflect", truncate=SMOOTHING_REACH)
    return np.asarray(matrix, np.float32)


def _sampled(images: Plane, rows: Plane, columns: Plane, *, about_border_pixel: bool) -> Plane:
    """Each image at the given places (N, H, W), linearly between its pixels, reflected beyond its borders."""
    count, height, width = images.shape[:3]
    top, left = np.floor(rows), np.floor(columns)
    down, across = (rows - top)[..., None], (columns - left)[..., None]
    first = (np.arange(count, dtype=np.int32) * (height * width))[:, None, None]
    y, x = top.astype(np.int32), left.astype(np.int32)
    upper, lower = (first + width * _reflected(place, height, about_border_pixel) for place in (y, y + 1))
    before, after = (_reflected(place, width, about_border_pixel) for place in (x, x + 1))
    pixels = images.reshape(-1, images.shape[3])

    def along(row: NDArray[np.int32]) -> Plane:
        start = pixels.take(row + before, axis=0)
        return start + (pixels.take(row + after, axis=0) - start) * across

    above = along(upper)
    return above + (along(lower) - above) * down


def _reflected(places: NDArray[np.int32], side: int, about_border_pixel: bool) -> NDArray[np.int32]:
    """Whole places brought inside 0 … side-1: `dcb|abcd|cba` about the border pixel, else `dcba|abcd|dcba`."""
    period = 2 * side - 2 if about_border_pixel else 2 * side
    last = period if about_border_pixel else period - 1
    if places.size and (places.min() <= -side or places.max() >= 2 * side - 1):
        places = places % period  # slow, and rarely needed
    places = np.where(places < 0, last - period - places, places)
    return np.where(places >= side, last - places, places)
