"""Digital: contrast, pixelate and JPEG compression."""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ingest.corruptions.pixels import Images, from_unit
from ingest.corruptions.recipes import Parameters


def contrast(images: Images, parameters: Parameters) -> Images:
    """Shrink values towards their mean, image by image and channel by channel."""
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


def pixelate(images: Images, parameters: Parameters) -> Images:
    """Shrink by averaging over boxes, and enlarge again the same way (where one box covers each pixel).

    Pillow keeps colours in four bytes: handed over as such, they are neither unpacked nor packed on the way.
    """
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


def jpeg_compression(images: Images, parameters: Parameters) -> Images:
    """Write as JPEG of a quality, chroma subsampled 4:2:0, and read again.

    By OpenCV: the same libjpeg-turbo with the same settings as Pillow's, hence the same pixels, in less time.
    """
    quality = [cv2.IMWRITE_JPEG_QUALITY, round(parameters[0])]
    decoded = np.empty_like(images)
    for image, result in zip(images, decoded, strict=True):
        _, content = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)
        result[:] = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB)
    return decoded
