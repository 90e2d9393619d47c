"""What the references of the corruptions share: images that meet edge cases, samples, and steps that several take.

References follow Hendrycks & Dietterich's published generator, one image at a time in float64: each takes an image
(H, W, 3) uint8, the parameters of one severity, and by name what was sampled for this image.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import color

from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.ingest.corruptions.pixels import Parameters
from failmodes.ingest.corruptions.sampling import Stream, sample

Pixels = NDArray[np.uint8]
Floats = NDArray[np.floating]
Reference = Callable[..., Pixels]


class Setting(NamedTuple):
    """A recipe and a size of image at which a corruption is tested."""

    recipe: str
    size: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.recipe}-{self.size[0]}x{self.size[1]}"


SETTINGS = (Setting("cifar-c", (37, 50)), Setting("imagenet-c", (64, 64)))
FULL_SIZE = Setting("imagenet-c", (224, 224))


def stored(values: Floats) -> Pixels:
    """Unit range to uint8, truncated as published."""
    return (np.clip(values, 0, 1) * 255).astype(np.uint8)


def made_images(height: int, width: int) -> Pixels:
    """Noise, smooth color, grays, ties between channels, black, white and one color."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    y, x = np.mgrid[0:height, 0:width]
    y, x = y * 255 // (height - 1), x * 255 // (width - 1)
    smooth = np.stack([y, x, (y + x) // 2], axis=-1)[None].astype(np.uint8)
    grays = np.repeat(rng.integers(0, 256, (1, height, width, 1), dtype=np.uint8), 3, axis=-1)
    ties = rng.choice(np.array([0, 100, 255], np.uint8), (1, height, width, 3))
    flat = [np.full((1, height, width, 3), color, np.uint8) for color in (0, 255, (77, 128, 200))]
    return np.concatenate([noise, smooth, grays, ties, *flat])


def one_color_images(height: int, width: int) -> Pixels:
    """86 images (86, height, width, 3) whose channels are of one value each, all 256 values."""
    values = np.arange(258).clip(max=255).astype(np.uint8)
    return np.broadcast_to(values.reshape(86, 1, 1, 3), (86, height, width, 3)).copy()


def every_tie() -> Pixels:
    """One image (1, 64, 64, 3) of all colors of 16 values: ties between channels, and values close to truncation."""
    values = np.array([0, 1, 2, 63, 85, 99, 100, 127, 128, 129, 170, 171, 200, 253, 254, 255], np.uint8)
    return np.stack(np.meshgrid(values, values, values), axis=-1).reshape(1, 64, 64, 3)


def samples_for(name: str, images: Pixels, seed: int = 0) -> dict[str, NDArray[Any]]:
    """What the corruption samples for a batch."""
    return sample(Stream(seed, name, None), np.arange(len(images)), images.shape[1:3], CORRUPTIONS[name].samples)


def both(
    name: str, images: Pixels, parameters: Parameters, samples: Mapping[str, NDArray[Any]], reference: Reference
) -> tuple[Pixels, Pixels]:
    """The batch as the corruption makes it, which may not change what it is given, and as the reference does."""
    given = {"images": images, **samples}
    before = {key: value.copy() for key, value in given.items()}
    found = CORRUPTIONS[name].apply(images, parameters, **samples)
    for key, value in given.items():
        np.testing.assert_array_equal(value, before[key], f"{name} changed its {key}")
    assert found.dtype == np.uint8
    of_image = ({key: value[row] for key, value in samples.items()} for row in range(len(images)))
    return found, np.stack([reference(image, *parameters, **own) for image, own in zip(images, of_image, strict=True)])


def both_at(name: str, setting: Setting, severity: int, reference: Reference) -> tuple[Pixels, Pixels]:
    """`both` on made images with the published parameters; at full size, one of noise and a smooth one."""
    images = made_images(*setting.size)
    images = images[1:3] if setting is FULL_SIZE else images
    parameters = CORRUPTIONS[name].levels[setting.recipe][severity]
    return both(name, images, parameters, samples_for(name, images), reference)


def assert_close(found: Pixels, expected: Pixels) -> None:
    """Never off by more than 1, and equal in 99.9 % of values: float32 against float64 before truncation."""
    assert found.shape == expected.shape
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.999, f"{(difference > 0).mean():.3%} of values differ"


def streaked(image: Pixels, radius: float, sigma: float, angle_deg: float) -> Pixels:
    """ImageMagick's motion blur: a one-sided Gaussian streak of whole-pixel taps, its edges replicated, in 16 bits."""
    height, width = image.shape[:2]
    weights = np.exp(-(np.arange(2 * math.ceil(radius) + 1) ** 2) / (2 * sigma**2))
    rows, columns = np.indices((height, width))
    blurred = np.zeros(image.shape)
    for tap, weight in enumerate(weights / weights.sum()):
        down = math.ceil(tap * math.sin(math.radians(angle_deg)) - 0.5)
        across = math.ceil(tap * math.cos(math.radians(angle_deg)) - 0.5)
        blurred += weight * image[np.clip(rows + down, 0, height - 1), np.clip(columns + across, 0, width - 1)]
    return (np.rint(blurred * 257) // 257).astype(np.uint8)


def clipped_zoom(image: Floats, factor: float) -> Floats:
    """The middle of (H, W, C) zoomed by SciPy, the surplus trimmed; each side by itself where they differ."""
    sides = image.shape[:2]
    cropped = [math.ceil(side / factor) for side in sides]
    top, left = ((side - crop) // 2 for side, crop in zip(sides, cropped, strict=True))
    zoomed = ndimage.zoom(image[top : top + cropped[0], left : left + cropped[1]], (factor, factor, 1), order=1)
    top, left = ((zoomed.shape[axis] - sides[axis]) // 2 for axis in (0, 1))
    return zoomed[top : top + sides[0], left : left + sides[1]]


def reference_saturate(image: Pixels, factor: float, added: float) -> Pixels:
    hsv = color.rgb2hsv(image / 255)
    hsv[..., 1] = np.clip(hsv[..., 1] * factor + added, 0, 1)
    return stored(color.hsv2rgb(hsv))
