"""Zoom about the centre: of whole images, many times over, and of snow."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ingest.corruptions.pixels import Images, Plane, from_unit, to_unit32
from ingest.corruptions.recipes import Parameters


def zoom_blur(images: Images, parameters: Parameters) -> Images:
    """Mean of the image and of its zooms about the centre.

    Zooms are summed one by one in float32, as published: a sum in another order or precision differs by 1 in up to a
    third of the values of an image of one colour, since truncation follows.
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
def _zooms(height: int, width: int, end: float, step: float) -> tuple[sparse.csr_array, ...]:
    """A zoom of the whole image by each factor, as a sparse matrix (H·W, H·W)."""
    factors = np.arange(1, end, step)  # floating point decides how many: 1.11 by 0.01 gives 12
    return tuple(sparse.kron(_zoom_matrix(height, f), _zoom_matrix(width, f), format="csr") for f in factors)


def zoomed(values: Plane, factor: float) -> Plane:
    """Each of (N, H, W) zoomed by a factor of at least 1 about its centre, linearly; a copy."""
    for axis in (1, 2):
        left, right, share = zoom_taps(values.shape[axis], factor)
        along = share.astype(np.float32).reshape((-1, 1) if axis == 1 else (1, -1))
        values = values.take(left, axis) * (1 - along) + values.take(right, axis) * along
    return values


def zoom_taps(side: int, factor: float) -> tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.float64]]:
    """What each of `side` values is made of: two neighbours and the share of the second.

    As the published code does it with SciPy's `zoom`: crop the centre, zoom it, cut the surplus.
    """
    cropped = int(np.ceil(side / factor))
    first = (side - cropped) // 2
    enlarged = round(cropped * factor)
    trim = (enlarged - side) // 2
    where = np.arange(trim, trim + side) * ((cropped - 1) / max(enlarged - 1, 1))
    left = np.clip(np.floor(where).astype(int), 0, max(cropped - 2, 0))
    right = np.minimum(left + 1, cropped - 1)
    return first + left, first + right, where - left


def _zoom_matrix(side: int, factor: float) -> sparse.csr_array:
    """`zoom_taps` as a matrix (side, side)."""
    left, right, share = zoom_taps(side, factor)
    rows = np.tile(np.arange(side), 2)
    weights = np.concatenate([1 - share, share])
    return sparse.csr_array((weights, (rows, np.concatenate([left, right]))), shape=(side, side))
