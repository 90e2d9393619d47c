"""Keep gray images gray: samples per channel are equal in all channels, and colors are converted to luma."""

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corruptions.pixels import Images
from failmodes.ingest.corruptions.sampling import Samples
from failmodes.runtime.errors import DataError

# ITU-R BT.601's luma in 65,536ths, as Pillow's mode L has it: their sum is 65,536, so that gray values are unchanged
LUMA_WEIGHTS = np.array([19_595, 38_470, 7_471], np.uint32)
HALF, SHIFT = np.uint32(1 << 15), np.uint32(16)


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
