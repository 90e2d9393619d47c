"""Pixels: types of images and parameters, conversion to the unit range and back, and gray images.

Stored values are uint8, 0-255; the published parameters are for values in the unit range, float, 0-1. Gray images stay
gray: samples per channel are equal in all channels, and colors are converted to luma.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corruptions.sampling import Samples
from failmodes.runtime.errors import DataError

Images = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.floating[Any]]
Float = TypeVar("Float", np.float32, np.float64)
Parameters = tuple[float, ...]

# By severity: [1] … [5] are published; [0] is their limit at 0, None if nothing is interpolated
Levels = tuple[Parameters | None, Parameters, Parameters, Parameters, Parameters, Parameters]
RecipeLevels = dict[str, Levels]  # by recipe: cifar-c, imagenet-c

# ITU-R BT.601's luma in 65,536ths, as Pillow's mode L has it: their sum is 65,536, so that gray values are unchanged
LUMA_WEIGHTS = np.array([19_595, 38_470, 7_471], np.uint32)
HALF, SHIFT = np.uint32(1 << 15), np.uint32(16)


def to_unit(images: Images) -> NDArray[np.float64]:
    """Values / 255 in float64, for kernels where the last bit decides the truncated value."""
    return images / 255.0


def to_unit32(images: Images) -> Float32Array:
    """Values / 255 in float32, half the memory, for kernels whose samples or published code are float32."""
    return np.divide(images, np.float32(255), dtype=np.float32)


def from_unit(values: NDArray[Float]) -> Images:
    """Clip to 0-1, times 255, truncated as the published generator does (not rounded). Overwrites `values`."""
    np.clip(values, 0, 1, out=values)
    values *= 255
    return values.astype(np.uint8)


def is_gray(image: NDArray[np.uint8]) -> bool:
    """Whether the three channels of an image (…, 3) are equal."""
    return bool((image[..., :1] == image[..., 1:]).all())


def check_gray(images: Images, first: int = 0) -> None:
    """Check that images (N, H, W, 3), numbered from `first`, are gray.

    Raises:
        DataError: the channels of one differ.
    """
    for row, image in enumerate(images, first):
        if not is_gray(image):
            raise DataError(f"image {row} is not gray (its channels differ): convert it, or leave out `gray`")


def same_in_channels(samples: Samples, shape: tuple[int, ...]) -> Samples:
    """Samples with the values of the first channel in every channel of images of `shape` (N, H, W, 3)."""
    return {
        name: np.repeat(values[..., :1], 3, axis=-1) if values.shape == shape else values
        for name, values in samples.items()
    }


def in_gray(images: Images) -> Images:
    """The luma of images (N, H, W, 3) in all three channels; gray ones are unchanged."""
    if is_gray(images):
        return images
    luma = (images @ LUMA_WEIGHTS + HALF) >> SHIFT
    return np.repeat(luma.astype(np.uint8)[..., None], 3, axis=-1)
