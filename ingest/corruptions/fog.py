"""Fog: plasma, the same on every channel."""

import numpy as np

from ingest.corruptions.pixels import Images, Plane, from_unit, to_unit32
from ingest.corruptions.recipes import Parameters

FIRST_WIBBLE = 100.0
LEAST_SIDE = 32


def fog(images: Images, parameters: Parameters, *, field: Plane) -> Images:
    """Add plasma and rescale to keep the image's largest value.

    Args:
        images: (N, H, W, 3) uint8.
        parameters: amount of fog, decay of its roughness.
        field: (N, S, S) uniform in 0 to 1, S ≥ H, W: what the plasma is made from.
    """
    amount, decay = parameters
    height, width = images.shape[1:3]
    brightest = to_unit32(images.max(axis=(1, 2, 3), keepdims=True))
    foggy = to_unit32(images)
    foggy += np.float32(amount) * plasma(field * 2 - 1, decay)[:, :height, :width, None]
    foggy *= brightest
    foggy /= brightest + np.float32(amount)
    return from_unit(foggy)


def plasma_side(size: tuple[int, int]) -> int:
    """Side of the square that plasma is made on: the smallest power of two that covers (H, W), at least 32."""
    return max(LEAST_SIDE, 1 << (max(size) - 1).bit_length())


def plasma(field: Plane, decay: float) -> Plane:
    """Diamond-square plasma scaled to 0-1, as the published generator makes it.

    Each element but [0, 0] is filled once, from four neighbours (a torus) and its own draw, which counts with the
    square of the level's wibble.

    Args:
        field: (N, S, S) uniform in -1 to 1; S a power of two.
        decay: by what the wibble is divided from level to level.

    Returns:
        (N, S, S), each map from 0 to 1.
    """
    side = field.shape[1]
    heights = np.zeros_like(field)
    step, wibble = side, FIRST_WIBBLE
    while step >= 2:
        _fill_level(heights, field, step, wibble)
        step //= 2
        wibble /= decay
    heights -= heights.min(axis=(1, 2), keepdims=True)
    heights /= heights.max(axis=(1, 2), keepdims=True)
    return heights


def _fill_level(heights: Plane, field: Plane, step: int, wibble: float) -> None:
    even, odd = slice(0, None, step), slice(step // 2, None, step)

    def fill(rows: slice, columns: slice, neighbours: Plane) -> None:
        heights[:, rows, columns] = neighbours / 4 + wibble * (wibble * field[:, rows, columns])

    corners = heights[:, even, even]
    pairs = corners + np.roll(corners, -1, axis=1)
    fill(odd, odd, pairs + np.roll(pairs, -1, axis=2))
    centres = heights[:, odd, odd]
    fill(even, odd, centres + np.roll(centres, 1, axis=1) + corners + np.roll(corners, -1, axis=2))
    fill(odd, even, centres + np.roll(centres, 1, axis=2) + corners + np.roll(corners, -1, axis=1))
