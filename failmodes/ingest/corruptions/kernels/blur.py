"""Blur: motion (as ImageMagick makes it, also of snow), zoom, glass, Gaussian (as SciPy makes it) and defocus."""

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corruptions.corruption import corruption
from failmodes.ingest.corruptions.pixels import (
    Float,
    Float32Array,
    FloatArray,
    Images,
    Parameters,
    from_unit,
    to_unit,
    to_unit32,
)
from failmodes.ingest.corruptions.sampling import uint32, uniform

if TYPE_CHECKING:
    from scipy import sparse

DEPTH = 257  # steps of ImageMagick's 16 bits in one of 8
MIN_WEIGHT = 1e-8  # a lighter tap moves no value by more than 0.000003 of 255
ANGLE_RANGE_DEG = (-45.0, 45.0)
MAX_ITERATIONS = 3  # of any recipe: sampling never depends on severity
SMALL_DISK_PX = 8
GAUSSIAN_REACH = 4.0  # standard deviations at which scikit-image truncates a Gaussian

ANGLE = {"unit_angles": uniform(lambda size: ())}


@corruption(
    order=6,
    group="blur",
    samples=ANGLE,
    levels={
        "cifar-c": ((6, 0), (6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        "imagenet-c": ((10, 0), (10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    },
)
def motion_blur(images: Images, parameters: Parameters, *, unit_angles: Float32Array) -> Images:
    """Blur each image along its own angle by a streak of radius and sigma, pixels.

    `unit_angles` (N,) 0-1 stand for -45 to 45 degrees.
    """
    return apply_motion_kernel(images, parameters, angles_deg(unit_angles, *ANGLE_RANGE_DEG))


def angles_deg(unit_angles: Float32Array, low: float, high: float) -> NDArray[np.float64]:
    """Uniform 0-1 to angles between `low` and `high`, degrees."""
    return low + unit_angles.astype(np.float64) * (high - low)


def apply_motion_kernel(images: Images, parameters: Parameters, angles_deg: NDArray[np.float64]) -> Images:
    """One-sided Gaussian streak along each image's own angle; edges replicated.

    The result is rounded to ImageMagick's 16 bits and from these truncated to 8, as the published images were.

    Args:
        images: (N, H, W, C) uint8.
        parameters: radius and sigma of the streak, pixels.
        angles_deg: (N,) degrees.
    """
    weights = motion_kernel(*parameters)
    reach = len(weights) - 1
    height, width = images.shape[1:3]
    edges = ((0, 0), (reach, reach), (reach, reach), (0, 0))
    padded = np.pad(images, edges, mode="edge").astype(np.float32)
    taps = np.arange(len(weights))
    angles = np.radians(angles_deg)[:, None]
    across = reach + np.ceil(taps * np.cos(angles) - 0.5).astype(int)
    down = reach + np.ceil(taps * np.sin(angles) - 0.5).astype(int)
    blurred = np.zeros(images.shape, np.float32)
    for image, result, left, top in zip(padded, blurred, across, down, strict=True):
        for weight, x, y in zip(weights, left, top, strict=True):
            result += image[y : y + height, x : x + width] * weight
    return (np.rint(blurred * DEPTH).astype(np.int32) // DEPTH).astype(np.uint8)


def motion_kernel(radius: float, sigma: float) -> NDArray[np.float32]:
    """Weights of a one-sided Gaussian, of sum 1, without taps too light to matter."""
    taps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(taps**2) / (2 * sigma**2))
    weights /= weights.sum()
    return weights[weights >= MIN_WEIGHT].astype(np.float32)


@corruption(
    order=7,
    group="blur",
    between="images",
    levels={
        "cifar-c": (None, (1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        "imagenet-c": (None, (1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    },
)
def zoom_blur(images: Images, parameters: Parameters) -> Images:
    """Mean of the image and of its zooms about the center.

    Parameters: up to which factor from 1, exclusive, and by which step.

    Zooms are summed one by one in float32, as published: a sum in another order or precision differs by 1 in up to a
    third of the values of an image of one color, since truncation follows.
    """
    height, width = images.shape[1:3]
    zooms = _zooms(height, width, *parameters)
    unit = to_unit32(images).transpose(1, 2, 0, 3).reshape(height * width, -1)
    exact = unit.astype(np.float64)
    total = np.zeros_like(unit)
    for zoom in zooms:
        total += (zoom @ exact).astype(np.float32)
    total += unit
    total /= np.float32(len(zooms) + 1)
    return np.ascontiguousarray(from_unit(total).reshape(height, width, -1, 3).transpose(2, 0, 1, 3))


@lru_cache(maxsize=6)
def _zooms(height: int, width: int, end: float, step: float) -> "tuple[sparse.csr_array, ...]":
    """A zoom of the whole image by each factor, as a sparse matrix (H·W, H·W)."""
    from scipy import sparse  # here: it takes .06 s, and what only names corruptions does not need it

    factors = np.arange(1, end, step)  # floating point decides how many: 1.11 by 0.01 gives 12
    pairs = ((_zoom_matrix(height, factor), _zoom_matrix(width, factor)) for factor in factors)
    return tuple(sparse.kron(*pair, format="csr") for pair in pairs)  # pyright: ignore[reportReturnType]


def clipped_zoom(values: FloatArray, factor: float) -> FloatArray:
    """Each of (N, H, W) zoomed by a factor of at least 1 about its center, linearly; a copy."""
    for axis in (1, 2):
        left, right, share = zoom_taps(values.shape[axis], factor)
        along = share.astype(np.float32).reshape((-1, 1) if axis == 1 else (1, -1))
        values = values.take(left, axis) * (1 - along) + values.take(right, axis) * along
    return values


def zoom_taps(side: int, factor: float) -> tuple[NDArray[np.int_], NDArray[np.int_], FloatArray]:
    """What each of `side` values is interpolated from: two neighbors and the share of the second.

    As the published code does it with SciPy's `zoom`: crop the center, zoom it, trim the surplus.
    """
    cropped = int(np.ceil(side / factor))
    first = (side - cropped) // 2
    enlarged = round(cropped * factor)
    trim = (enlarged - side) // 2
    position = np.arange(trim, trim + side) * ((cropped - 1) / max(enlarged - 1, 1))
    left = np.clip(np.floor(position).astype(int), 0, max(cropped - 2, 0))
    right = np.minimum(left + 1, cropped - 1)
    return first + left, first + right, position - left


def _zoom_matrix(side: int, factor: float) -> "sparse.csr_array":
    """`zoom_taps` as a matrix (side, side)."""
    from scipy import sparse

    left, right, share = zoom_taps(side, factor)
    rows = np.tile(np.arange(side), 2)
    weights = np.concatenate([1 - share, share])
    return sparse.csr_array((weights, (rows, np.concatenate([left, right]))), shape=(side, side))


@corruption(
    order=5,
    group="blur",
    samples={"uint32s": uint32(lambda size: (MAX_ITERATIONS, *size))},
    dose_ordered=False,
    switch="its offsets and iterations are whole numbers",
    levels={
        "cifar-c": (None, (0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        "imagenet-c": (None, (0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    },
)
def glass_blur(images: Images, parameters: Parameters, *, uint32s: NDArray[np.uint32]) -> Images:
    """Smooth by sigma (to stored values, truncated), shuffle, smooth again.

    Args:
        images: (N, H, W, 3) uint8.
        parameters: sigma in pixels, largest offset in pixels, iterations.
        uint32s: (N, iterations, H, W); the upper 16 bits decide a pixel's offset down, the lower its offset across.
    """
    sigma = parameters[0]
    reach = int(parameters[1])
    iterations = int(parameters[2])
    smoothed = smoothed_pixels(images, sigma)
    count, height, width = images.shape[:3]
    source = np.broadcast_to(np.arange(height * width, dtype=np.int32), (count, height * width))
    for iteration in range(iterations):
        moved = _shuffle(uint32s[:, iteration], reach)
        source = np.take_along_axis(source, moved, axis=1)
    shuffled = np.take_along_axis(smoothed.reshape(count, -1, 3), source[..., None], axis=1)
    return smoothed_pixels(shuffled.reshape(images.shape), sigma)


def _shuffle(uint32s: NDArray[np.uint32], reach: int) -> NDArray[np.int32]:
    """Where each pixel's value comes from after one pass, (N, H·W) flat indices.

    The published pass visits pixels from the bottom right and copies onto each the pixel at its offset, in -reach …
    reach-1 both ways (its "swap" overwrites the other half of the exchange). A copied pixel that was visited already
    has itself a copy, so sources form chains; doubling follows all of them at once.
    """
    count, height, width = uint32s.shape
    offsets = np.uint32(2 * reach)
    down = ((uint32s >> np.uint32(16)) * offsets >> np.uint32(16)).astype(np.int32) - reach
    across = ((uint32s & np.uint32(0xFFFF)) * offsets >> np.uint32(16)).astype(np.int32) - reach
    here = np.arange(height * width, dtype=np.int32).reshape(height, width)
    visited = np.zeros((height, width), bool)
    visited[reach + 1 : height - reach + 1, reach + 1 : width - reach + 1] = True
    source = np.where(visited, here + down * width + across, here).reshape(count, -1)
    if reach == 1:
        return source  # offsets are -1 or 0: what is copied has not been visited yet
    return _followed(source, here.ravel(), visited.ravel())


def _followed(source: NDArray[np.int32], here: NDArray[np.int32], visited: NDArray[np.bool_]) -> NDArray[np.int32]:
    # A link goes on where its source was visited before: later in reading order, and not itself
    goes_on = (source > here) & visited[source]
    link = np.where(goes_on, source, here)
    while True:
        further = np.take_along_axis(link, link, axis=1)
        if (further == link).all():
            break
        link = further
    return np.take_along_axis(source, link, axis=1)


@corruption(
    order=17,
    group="blur",
    levels={
        "cifar-c": ((0,), (0.4,), (0.6,), (0.7,), (0.8,), (1,)),
        "imagenet-c": ((0,), (1,), (2,), (3,), (4,), (6,)),
    },
)
def gaussian_blur(images: Images, parameters: Parameters) -> Images:
    """Blur by a Gaussian of sigma pixels; edges replicated."""
    (sigma,) = parameters
    return smoothed_pixels(images, sigma)


@corruption(
    order=4,
    group="blur",
    between="images",
    levels={
        "cifar-c": (None, (0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        "imagenet-c": (None, (3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    },
)
def defocus_blur(images: Images, parameters: Parameters) -> Images:
    """Blur by a disk of a radius and with a blur of sigma, pixels; edges reflected about the border pixel."""
    import cv2

    kernel = disk(*parameters)
    unit = to_unit(images)
    blurred = np.empty_like(unit)
    for image, result in zip(unit, blurred, strict=True):
        cv2.filter2D(image, -1, kernel, dst=result)
    return from_unit(blurred)


@lru_cache(maxsize=16)
def disk(radius: float, sigma: float) -> NDArray[np.float32]:
    """A disk of sum 1, blurred a little against aliasing; published on a wider grid, here without its empty rim."""
    import cv2

    wide = SMALL_DISK_PX if radius <= SMALL_DISK_PX else int(radius)
    window = (3, 3) if radius <= SMALL_DISK_PX else (5, 5)
    taps = np.arange(-wide, wide + 1)
    inside = (taps[:, None] ** 2 + taps**2 <= radius**2).astype(np.float32)
    kernel = cv2.GaussianBlur(inside / inside.sum(), ksize=window, sigmaX=sigma)
    reach = max(1, int(np.abs(np.argwhere(kernel) - wide).max()))
    return np.ascontiguousarray(kernel[wide - reach : wide + reach + 1, wide - reach : wide + reach + 1])


def gaussian_filter(values: NDArray[Float], sigma: float) -> NDArray[Float]:
    """Gaussian smoothing of each image of (N, H, W) or (N, H, W, C), edges replicated.

    SciPy's, as in scikit-image's `gaussian`: in another order of sums, up to a third of the values of an image of one
    color would be truncated to a neighbor.
    """
    from scipy.ndimage import correlate1d

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
