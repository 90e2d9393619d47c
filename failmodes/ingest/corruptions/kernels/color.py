"""Brightness and saturation through HSV, in scikit-image's order of operations: truncation makes the last bit count."""

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corruptions.corruption import corruption
from failmodes.ingest.corruptions.pixels import Images, Parameters, from_unit, to_unit

# Which of v, t, p, q (0-3) is red, green and blue in each sixth of the hue circle
_SECTORS = ((0, 3, 2, 2, 1, 0), (1, 0, 0, 3, 2, 2), (2, 2, 1, 0, 0, 3))


@corruption(
    order=11,
    group="weather",
    levels={
        "cifar-c": ((0,), (0.05,), (0.1,), (0.15,), (0.2,), (0.3,)),
        "imagenet-c": ((0,), (0.1,), (0.2,), (0.3,), (0.4,), (0.5,)),
    },
)
def brightness(images: Images, parameters: Parameters) -> Images:
    """Add the parameter to V of HSV."""
    (added,) = parameters
    hue_sixths, saturation, value = _hue_saturation_value(to_unit(images))
    return from_unit(_rgb(hue_sixths, saturation, np.clip(value + added, 0, 1)))


@corruption(
    order=19,
    group="digital",
    dose_ordered=False,
    switch="between severities 2 and 3 less color turns to more",
    levels={
        "cifar-c": (None, (0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
        "imagenet-c": (None, (0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    },
)
def saturate(images: Images, parameters: Parameters) -> Images:
    """Multiply S of HSV by the first parameter and add the second."""
    factor, added = parameters
    hue_sixths, saturation, value = _hue_saturation_value(to_unit(images))
    return from_unit(_rgb(hue_sixths, np.clip(saturation * factor + added, 0, 1), value))


def _hue_saturation_value(
    rgb: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    value = np.maximum(np.maximum(red, green), blue)
    spread = value - np.minimum(np.minimum(red, green), blue)
    gray = spread == 0
    divisor = np.where(gray, 1.0, spread)
    saturation = np.where(gray, 0.0, spread / np.where(value == 0, 1.0, value))
    hue = np.where(green == value, 2.0 + (blue - red) / divisor, (green - blue) / divisor)
    hue = np.where(blue == value, 4.0 + (red - green) / divisor, hue)  # last, so that blue wins ties
    hue = (hue / 6.0) % 1.0
    hue[gray] = 0.0
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
