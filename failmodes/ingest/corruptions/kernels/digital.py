"""Digital corruptions: contrast, elastic transform, pixelate and JPEG compression."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from failmodes.ingest.corruptions.corruption import corruption
from failmodes.ingest.corruptions.kernels.blur import gaussian_weights
from failmodes.ingest.corruptions.pixels import (
    Float32Array,
    FloatArray,
    Images,
    Parameters,
    from_unit,
    to_unit32,
)
from failmodes.ingest.corruptions.sampling import uniform

OBJECT_SHARE = 0.5  # of a pixel that the object must cover
SMOOTHING_REACH = 3.0  # deviations at which the published smoothing is cut off


def move_masks(
    masks: NDArray[np.bool_], parameters: Parameters, *, corners: Float32Array, fields: Float32Array
) -> NDArray[np.bool_]:
    """Object masks (N, H, W) moved as `elastic_transform` moves images: pixels of which half or more are object."""
    values = masks[..., None].astype(np.float32)
    return np.asarray(_moved(values, parameters, corners, fields)[..., 0] >= OBJECT_SHARE)


# Relative to the image's shorter side. ImageNet-C's unit is 244 px where images have 224: the published mistake
@corruption(
    order=13,
    group="digital",
    samples={"corners": uniform(lambda size: (3, 2)), "fields": uniform(lambda size: (2, *size))},
    dose_ordered=False,
    moves=move_masks,
    levels={
        "cifar-c": (
            (0, 0, 0),
            (0, 0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ),
        "imagenet-c": (
            (0, 244 / 224 * 0.7, 0),
            (244 / 224 * 2, 244 / 224 * 0.7, 244 / 224 * 0.1),
            (244 / 224 * 2, 244 / 224 * 0.08, 244 / 224 * 0.2),
            (244 / 224 * 0.05, 244 / 224 * 0.01, 244 / 224 * 0.02),
            (244 / 224 * 0.07, 244 / 224 * 0.01, 244 / 224 * 0.02),
            (244 / 224 * 0.12, 244 / 224 * 0.01, 244 / 224 * 0.02),
        ),
    },
)
def elastic_transform(images: Images, parameters: Parameters, *, corners: Float32Array, fields: Float32Array) -> Images:
    """Move three corners of a central square, then every pixel; both times interpolate linearly.

    Args:
        images: (N, H, W, 3) uint8.
        parameters: amplitude of the displacement, sigma of its smoothing, range of the corners' jitter; all relative
            to the shorter side.
        corners: (N, 3, 2) uniform 0-1: where the corners go, across and down.
        fields: (N, 2, H, W) uniform 0-1: displacement across and down before smoothing.
    """
    return from_unit(_moved(to_unit32(images), parameters, corners, fields))


def _moved(values: Float32Array, parameters: Parameters, corners: Float32Array, fields: Float32Array) -> Float32Array:
    """Values (N, H, W, C) moved as `elastic_transform` says."""
    height, width = values.shape[1:3]
    amplitude, sigma, jitter = (value * min(height, width) for value in parameters)
    if jitter:
        values = _affine(values, (corners.astype(np.float64) * 2 - 1) * jitter)
    if amplitude:
        values = _displaced(values, (fields * 2 - 1) * np.float32(amplitude), sigma)
    return values


def _affine(images: Float32Array, moved: NDArray[np.float64]) -> Float32Array:
    """Map each image affinely, so that three corners of its central square move by `moved` (N, 3, 2)."""
    height, width = images.shape[1:3]
    rows, columns = _grid(height, width)
    inverse = _inverse_affine(height, width, moved)[..., None, None]
    x = inverse[:, 0, 0] * columns + inverse[:, 0, 1] * rows + inverse[:, 0, 2]
    y = inverse[:, 1, 0] * columns + inverse[:, 1, 1] * rows + inverse[:, 1, 2]
    return _sampled(images, y, x, about_border_pixel=True)


def _displaced(images: Float32Array, fields: Float32Array, sigma: float) -> Float32Array:
    """Move each pixel by smoothed `fields` (N, 2, H, W), pixels across and down."""
    rows, columns = _grid(*images.shape[1:3])
    smooth = _smoothed(fields, sigma)
    return _sampled(images, rows + smooth[:, 1], columns + smooth[:, 0], about_border_pixel=False)


def _grid(height: int, width: int) -> tuple[Float32Array, Float32Array]:
    return np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)


def _inverse_affine(height: int, width: int, moved: NDArray[np.float64]) -> Float32Array:
    """From each image's result back to its source, (N, 2, 3); `moved` (N, 3, 2) are the corners' displacements."""
    center = np.array([height // 2, width // 2], np.float64)
    reach = min(height, width) // 3
    start = center + np.array([(reach, reach), (reach, -reach), (-reach, -reach)])
    ends = np.concatenate([start + moved, np.ones((*moved.shape[:2], 1))], axis=2)
    inverse = np.linalg.solve(ends, np.broadcast_to(start, moved.shape))
    return np.asarray(np.swapaxes(inverse, 1, 2), np.float32)


def _smoothed(fields: Float32Array, sigma: float) -> Float32Array:
    """Gaussian smoothing of (N, 2, H, W), reflected beyond the borders."""
    import cv2

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
def _smoothing(side: int, sigma: float) -> Float32Array:
    """Gaussian smoothing of `side` values with reflected ends, as a matrix (side, side)."""
    from scipy.ndimage import gaussian_filter1d

    matrix = gaussian_filter1d(np.eye(side), sigma, axis=0, mode="reflect", truncate=SMOOTHING_REACH)
    return np.asarray(matrix, np.float32)


def _sampled(images: Float32Array, rows: FloatArray, columns: FloatArray, *, about_border_pixel: bool) -> FloatArray:
    """Each image at the given positions (N, H, W), linearly between its pixels, reflected beyond its borders."""
    count, height, width = images.shape[:3]
    top, left = np.floor(rows), np.floor(columns)
    down, across = (rows - top)[..., None], (columns - left)[..., None]
    first = (np.arange(count, dtype=np.int32) * (height * width))[:, None, None]
    y, x = top.astype(np.int32), left.astype(np.int32)
    upper, lower = (first + width * _reflected(row, height, about_border_pixel) for row in (y, y + 1))
    before, after = (_reflected(column, width, about_border_pixel) for column in (x, x + 1))
    pixels = images.reshape(-1, images.shape[3])

    def along(row: NDArray[np.int32]) -> FloatArray:
        start = pixels.take(row + before, axis=0)
        return start + (pixels.take(row + after, axis=0) - start) * across

    above = along(upper)
    return above + (along(lower) - above) * down


def _reflected(positions: NDArray[np.int32], side: int, about_border_pixel: bool) -> NDArray[np.int32]:
    """Whole positions brought inside 0 … side-1: `dcb|abcd|cba` about the border pixel, else `dcba|abcd|dcba`."""
    period = 2 * side - 2 if about_border_pixel else 2 * side
    last = period if about_border_pixel else period - 1
    if positions.size and (positions.min() <= -side or positions.max() >= 2 * side - 1):
        positions = positions % period  # slow, and rarely needed
    positions = np.where(positions < 0, last - period - positions, positions)
    return np.where(positions >= side, last - positions, positions)


@corruption(
    order=12,
    group="digital",
    levels={
        "cifar-c": ((1,), (0.75,), (0.5,), (0.4,), (0.3,), (0.15,)),
        "imagenet-c": ((1,), (0.4,), (0.3,), (0.2,), (0.1,), (0.05,)),
    },
)
def contrast(images: Images, parameters: Parameters) -> Images:
    """Multiply the distance of values from their mean, image by image and channel by channel, by the parameter."""
    import cv2

    (factor,) = parameters
    pixels = images.shape[1] * images.shape[2]
    # a sum of whole numbers is exact, so the mean does not depend on how the batch is laid out
    mean = images.sum(axis=(1, 2), dtype=np.int64) / (255.0 * pixels)
    mean = mean[:, None, None, :]
    # an image has 256 values a channel: work them out once, and look each pixel up
    values = (np.arange(256) / 255.0)[:, None, None]
    tables = from_unit((values - mean) * factor + mean)
    shrunk = np.empty_like(images)
    for image, table, result in zip(images, tables, shrunk, strict=True):
        cv2.LUT(image, table, dst=result)
    return shrunk


@corruption(
    order=14,
    group="digital",
    levels={
        "cifar-c": ((1,), (0.95,), (0.9,), (0.85,), (0.75,), (0.65,)),
        "imagenet-c": ((1,), (0.6,), (0.5,), (0.4,), (0.3,), (0.25,)),
    },
)
def pixelate(images: Images, parameters: Parameters) -> Images:
    """Shrink by averaging over boxes, and enlarge again by the same filter (where one box covers each pixel).

    The parameter is the side of the small image as a share of the side of the image. Pillow keeps colors in four
    bytes: passed as such, they are neither unpacked nor packed on the way.
    """
    import cv2

    (share,) = parameters
    height, width = images.shape[1:3]
    small = (max(1, int(width * share)), max(1, int(height * share)))
    rows, columns = _enlarged(height, small[1]), _enlarged(width, small[0])
    coarse = np.empty_like(images)
    for image, result in zip(images, coarse, strict=True):
        four = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
        shrunk = Image.frombuffer("RGBX", (width, height), four, "raw", "RGBX", 0, 1).resize(
            small, Image.Resampling.BOX
        )
        pixels = np.frombuffer(shrunk.tobytes(), np.uint32).reshape(small[::-1])
        enlarged = pixels.take(columns, axis=1).take(rows, axis=0).view(np.uint8).reshape(height, width, 4)
        cv2.cvtColor(enlarged, cv2.COLOR_RGBA2RGB, dst=result)
    return coarse


def _enlarged(side: int, small: int) -> NDArray[np.int_]:
    """Which of `small` values each of `side` shows: what Pillow's BOX filter comes to when it enlarges."""
    return ((np.arange(side) + 0.5) * (small / side)).astype(int)


# No quality is clean: a curve starts from 100, the least lossy, and jumps to clean at 0
@corruption(
    order=15,
    group="digital",
    label="JPEG compression",
    levels={
        "cifar-c": ((100,), (80,), (65,), (58,), (50,), (40,)),
        "imagenet-c": ((100,), (25,), (18,), (15,), (10,), (7,)),
    },
)
def jpeg_compression(images: Images, parameters: Parameters) -> Images:
    """Write as JPEG, chroma subsampled 4:2:0, at the quality that the parameter gives, and read again.

    By OpenCV: the same libjpeg-turbo with the same settings as Pillow's, hence the same pixels, in less time.
    """
    import cv2

    quality = [cv2.IMWRITE_JPEG_QUALITY, round(parameters[0])]
    decoded = np.empty_like(images)
    for image, result in zip(images, decoded, strict=True):
        _, content = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)
        result[:] = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB)
    return decoded
