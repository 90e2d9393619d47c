"""Weather: fog and brightness."""

import numpy as np
from numpy.typing import NDArray

from ingest.corruptions.pixels import from_unit, to_unit

FIRST_WIBBLE = 100.0

# Which of v, t, p, q (0-3) is red, green and blue in each sixth of the hue circle
_SECTORS = ((0, 3, 2, 2, 1, 0), (1, 0, 0, 3, 2, 2), (2, 2, 1, 0, 0, 3))


def fog(images: NDArray[np.uint8], parameters: tuple[float, ...], field: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Add plasma, the same on every channel, and rescale to keep the image's largest value.

    Args:
        images: (N, H, W, 3) uint8.
        parameters: amount of fog, decay of its roughness.
        field: (N, S, S) uniform in -1 to 1, S ≥ H, W: what the plasma is made from.
    """
    amount, decay = parameters
    height, width = images.shape[1:3]
    brightest = images.max(axis=(1, 2, 3), keepdims=True) / 255.0
    foggy = to_unit(images)
    foggy += amount * plasma(field, decay)[:, :height, :width, None]
    foggy *= brightest
    foggy /= brightest + amount
    return from_unit(foggy)


def plasma(field: NDArray[np.float64], decay: float) -> NDArray[np.float64]:
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


def _fill_level(heights: NDArray[np.float64], field: NDArray[np.float64], step: int, wibble: float) -> None:
    even, odd = slice(0, None, step), slice(step // 2, None, step)

    def fill(rows: slice, columns: slice, neighbours: NDArray[np.float64]) -> None:
        heights[:, rows, columns] = neighbours / 4 + wibble * (wibble * field[:, rows, columns])

    corners = heights[:, even, even]
    pairs = corners + np.roll(corners, -1, axis=1)
    fill(odd, odd, pairs + np.roll(pairs, -1, axis=2))
    centres = heights[:, odd, odd]
    fill(even, odd, centres + np.roll(centres, 1, axis=1) + corners + np.roll(corners, -1, axis=2))
    fill(odd, even, centres + np.roll(centres, 1, axis=2) + corners + np.roll(corners, -1, axis=1))


def brightness(
    images: NDArray[np.uint8], parameters: tuple[float, ...], draws: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Add to V of HSV; in scikit-image's order of operations, since truncation makes the last bit count."""
    (added,) = parameters
    hue_sixths, saturation, value = _hue_saturation_value(to_unit(images))
    return from_unit(_rgb(hue_sixths, saturation, np.clip(value + added, 0, 1)))


def _hue_saturation_value(
    rgb: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    value = np.maximum(np.maximum(red, green), blue)
    spread = value - np.minimum(np.minimum(red, green), blue)
    grey = spread == 0
    divisor = np.where(grey, 1.0, spread)
    saturation = np.where(grey, 0.0, spread / np.where(value == 0, 1.0, value))
    hue = np.where(green == value, 2.0 + (blue - red) / divisor, (green - blue) / divisor)
    hue = np.where(blue == value, 4.0 + (red - green) / divisor, hue)  # last, so that blue wins ties
    hue = (hue / 6.0) % 1.0
    hue[grey] = 0.0
    return hue * 6, saturation, value


def _rgb(
    hue_sixths: NDArray[np.float64], saturation: NDArray[np.float64], value: NDArray[np.float64]
) -> NDArray[np.float64]:
    sector = np.floor(hue_sixths)
    fraction = hue_sixths - sector
    low = value * (1 - saturation)
    falling = value * (1 - fraction * saturation)
    rising = value * (1 - (1 - fraction) * saturation)
    levels = (value, rising, low, falling)
    index = sector.astype(np.uint8) % 6
    rgb = np.empty((*value.shape, 3))
    for channel, table in enumerate(_SECTORS):
        rgb[..., channel] = np.choose(index, [levels[which] for which in table])
    return rgb
