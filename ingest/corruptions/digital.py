"""Digital: contrast and JPEG compression."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ingest.corruptions.pixels import from_unit, to_unit


def contrast(images: NDArray[np.uint8], parameters: tuple[float, ...], draws: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Shrink values towards their mean, image by image and channel by channel."""
    (factor,) = parameters
    pixels = images.shape[1] * images.shape[2]
    # a sum of whole numbers is exact, so the mean does not depend on how the batch is laid out
    mean = images.sum(axis=(1, 2), keepdims=True, dtype=np.int64) / (255.0 * pixels)
    flat = to_unit(images)
    flat -= mean
    flat *= factor
    flat += mean
    return from_unit(flat)


def jpeg_compression(
    images: NDArray[np.uint8], parameters: tuple[float, ...], draws: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Write as JPEG of a quality, with Pillow's default chroma subsampling, and read again."""
    (quality,) = parameters
    decoded = np.empty_like(images)
    for image, result in zip(images, decoded, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=int(quality))
        result[:] = Image.open(buffer)
    return decoded
