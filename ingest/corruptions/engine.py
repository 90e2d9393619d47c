"""The engine: checks what it is given, draws, and runs a corruption over whole batches, block by block."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest.corruptions import blur, digital, draws, noise, weather
from ingest.corruptions.catalogue import canonical_name, unknown_corruption
from ingest.corruptions.recipes import SEVERITIES, Parameters, parameters_of
from warehouse.errors import DataError, StudyError

Images = NDArray[np.uint8]
BLOCK_VALUES = 1 << 20  # values corrupted at a time: float64 scratch stays at tens of megabytes, mostly in cache
LAST_SEVERITY = SEVERITIES[-1]


class Operation(NamedTuple):
    """How a corruption is made: a pure function of (images, parameters, draws), and what it draws."""

    apply: Callable[[Images, Parameters, NDArray[np.float64]], Images]
    draw: draws.Draw | None = None


OPERATIONS = {
    "gaussian_noise": Operation(noise.gaussian_noise, draws.normals),
    "motion_blur": Operation(blur.motion_blur, draws.shallow_angles),
    "fog": Operation(weather.fog, draws.plasma_field),
    "brightness": Operation(weather.brightness),
    "contrast": Operation(digital.contrast),
    "jpeg_compression": Operation(digital.jpeg_compression),
}
_NOTHING_DRAWN = np.empty(0)


def corrupt(
    images: Images,
    name: str,
    severity: int | float | Decimal,
    *,
    recipe: str = "cifar-c",
    seed: int = 0,
    image_ids: Sequence[int] | NDArray[np.integer] | None = None,
    draws: draws.Draws = "paired",
) -> Images:
    """Corrupt a batch of images.

    An image's result depends on its pixels, its number in `image_ids`, `seed` and the corruption: not on the other
    images of the batch, their order, or the process.

    Args:
        images: (N, H, W, 3) uint8; never changed.
        name: name of the corruption, such as "fog".
        severity: 0 (the clean images, copied) to 5, whole.
        recipe: which published parameters to use.
        seed: seed of all draws.
        image_ids: (N,) whole numbers from 0 that name the images; 0 … N-1 if not given.
        draws: "paired": an image meets the same draws at every severity; "independent": fresh ones at each.

    Returns:
        (N, H, W, 3) uint8.

    Raises:
        StudyError: an unknown corruption, recipe, severity or kind of draws.
        DataError: images or image_ids of another type or shape.
    """
    level = whole_severity(severity)
    known = canonical_name(name)
    if known is None:
        raise StudyError(unknown_corruption(name))
    ids = _checked_ids(_checked_images(images), image_ids)
    stream = _stream(seed, known, level, draws)
    if level == 0:
        return np.array(images)
    parameters = parameters_of(recipe, known, level)
    return _in_blocks(images, ids, OPERATIONS[known], parameters, stream)


def whole_severity(severity: int | float | Decimal) -> int:
    """The severity as a whole number from 0 to 5.

    Raises:
        StudyError: it is none.
    """
    if not 0 <= severity <= LAST_SEVERITY:
        raise StudyError(f"severity {severity} is out of range: expected 0 (clean) to {LAST_SEVERITY}")
    if severity != int(severity):
        raise StudyError(f"severity {severity} lies between the published ones: fractions are not offered yet, use 0-5")
    return int(severity)


def _in_blocks(
    images: Images, ids: NDArray[np.int64], operation: Operation, parameters: Parameters, stream: draws.Stream
) -> Images:
    result = np.empty(images.shape, np.uint8)
    size = images.shape[1:3]
    block = max(1, BLOCK_VALUES // max(1, int(np.prod(images.shape[1:]))))
    for start in range(0, len(images), block):
        rows = slice(start, start + block)
        drawn = operation.draw(stream, ids[rows], size) if operation.draw else _NOTHING_DRAWN
        result[rows] = operation.apply(images[rows], parameters, drawn)
    return result


def _stream(seed: int, name: str, severity: int, kind: str) -> draws.Stream:
    if kind not in draws.DRAWS:
        raise StudyError(f"unknown draws {kind!r}: expected 'paired' or 'independent'")
    return draws.Stream(int(seed), name, severity if kind == "independent" else None)


def _checked_images(images: Images) -> Images:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        raise DataError(f"images must be uint8 values 0-255, not {getattr(images, 'dtype', type(images).__name__)}")
    if images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:]:
        raise DataError(f"images must have shape (N, height, width, 3), not {images.shape}")
    return images


def _checked_ids(images: Images, image_ids: Sequence[int] | NDArray[np.integer] | None) -> NDArray[np.int64]:
    if image_ids is None:
        return np.arange(len(images), dtype=np.int64)
    ids = np.asarray(image_ids)
    if ids.shape != (len(images),) or (ids.size and not np.issubdtype(ids.dtype, np.integer)):
        raise DataError(f"image_ids must be {len(images)} whole numbers, one an image, not {ids.dtype} {ids.shape}")
    if ids.size and ids.min() < 0:
        raise DataError(f"image_ids count from 0: {ids.min()} is negative")
    return ids.astype(np.int64)
