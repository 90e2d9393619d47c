"""Images and arrays as the bytes of a file."""

import io

import numpy as np
from PIL import Image


def encoded(image: np.ndarray | Image.Image, kind: str = "PNG", **options) -> bytes:
    """An image file of pixels (H, W) or (H, W, 3), or of Pillow's image, with options of its writer."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    """A `.npy` file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()
