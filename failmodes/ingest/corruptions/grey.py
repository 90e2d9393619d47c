"""Grey images stay grey: what a corruption draws a channel is drawn once, and what it colours is seen in grey."""

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corruptions.kernels.base import Images
from failmodes.ingest.corruptions.sampling import Samples
from failmodes.warehouse.errors import DataError

# ITU-R BT.601's luma in 65,536ths, as Pillow's mode L has it: their sum is 65,536, so that grey stays as it is
LUMA_WEIGHTS = np.array([19_595, 38_470, 7_471], np.uint32)
HALF, SHIFT = np.uint32(1 << 15), np.uint32(16)


def is_grey(image: NDArray[np.uint8]) -> bool:
    """Whether the three channels of an image (…, 3) are equal."""
    return bool((image[..., :1] == image[..., 1:]).all())


def check_grey(images: Images, first: int = 0) -> None:
    """Check that images (N, H, W, 3), numbered from `first`, are grey.

    Raises:
        DataError: the channels of one differ.
    """
    for row, image in enumerate(images, first):
        if not is_grey(image):
            raise DataError(f"image {row} is not grey, its channels differ: make it grey, or leave out `grey`")


def same_in_channels(samples: Samples, shape: tuple[int, ...]) -> Samples:
    """Samples whose values for each channel of images of `shape` (N, H, W, 3) are those of the first channel."""
    return {
        name: np.repeat(values[..., :1], 3, axis=-1) if values.shape == shape else values
        for name, values in samples.items()
    }


def in_grey(images: Images) -> Images:
    """The luma of images (N, H, W, 3) in all three channels; grey ones stay as they are."""
    if is_grey(images):
        return images
    luma = (images @ LUMA_WEIGHTS + HALF) >> SHIFT
    return np.repeat(luma.astype(np.uint8)[..., None], 3, axis=-1)
