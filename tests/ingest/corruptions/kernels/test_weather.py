"""Snow, fog, brightness and spatter against references made one image at a time."""

import cv2
import numpy as np
import pytest
from corruption_references import (
    SETTINGS,
    Floats,
    Pixels,
    Reference,
    Setting,
    assert_close,
    both_at,
    clipped_zoom,
    made_images,
    stored,
    streaked,
)
from skimage import filters

from failmodes.ingest.corruptions.catalog import SEVERITIES
from failmodes.ingest.corruptions.kernels.weather import plasma_fractal, spatter

TURQUOISE, BROWN = np.array([175, 238, 238]) / 255, np.array([63, 42, 20]) / 255


def reference_snow(image: Pixels, *parameters: float, layer: Floats, unit_angles: Floats) -> Pixels:
    mean, deviation, zoom, threshold, radius, sigma, image_weight = parameters
    x = image.astype(np.float32) / 255
    flakes = clipped_zoom(mean + deviation * layer.astype(float)[..., None], zoom)
    flakes[flakes < threshold] = 0
    flakes = streaked(stored(flakes), radius, sigma, -135 + 90 * float(unit_angles)) / 255
    whitened = np.maximum(x, cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)[..., None] * 1.5 + 0.5)
    return stored(image_weight * x + (1 - image_weight) * whitened + flakes + np.rot90(flakes, k=2))


def reference_plasma(field: Floats, decay: float) -> Floats:
    """Diamond-square element by element; `field` (S, S) is uniform in -1 to 1."""
    side = len(field)
    heights = np.zeros((side, side))
    step, wibble = side, 100.0

    def fill(y: int, x: int, *neighbors: tuple[int, int]) -> None:
        total = sum(heights[a % side, b % side] for a, b in neighbors)
        heights[y, x] = total / 4 + wibble**2 * field[y, x]

    while step >= 2:
        half = step // 2
        corners = [(y, x) for y in range(0, side, step) for x in range(0, side, step)]
        for y, x in corners:
            fill(y + half, x + half, (y, x), (y, x + step), (y + step, x), (y + step, x + step))
        for y, x in corners:
            fill(y, x + half, (y - half, x + half), (y + half, x + half), (y, x), (y, x + step))
            fill(y + half, x, (y + half, x - half), (y + half, x + half), (y, x), (y + step, x))
        step, wibble = half, wibble / decay
    heights -= heights.min()
    return heights / heights.max()


def reference_fog(image: Pixels, amount: float, decay: float, *, field: Floats) -> Pixels:
    height, width = image.shape[:2]
    x = image / 255
    fogged = x + amount * reference_plasma(2 * field.astype(float) - 1, decay)[:height, :width, None]
    return stored(fogged * x.max() / (x.max() + amount))


def reference_spatter(image: Pixels, *parameters: float, layer: Floats) -> Pixels:
    mean, deviation, sigma, threshold, strength, mud = parameters
    x = image.astype(np.float32) / 255
    liquid = filters.gaussian(mean + deviation * layer.astype(float), sigma=sigma)
    liquid[liquid < threshold] = 0
    if mud:
        cover = filters.gaussian((liquid > threshold).astype(np.float32), sigma=strength)
        cover[cover < 0.8] = 0
        return stored(x * (1 - cover[..., None]) + BROWN * cover[..., None])
    liquid = (liquid * 255).astype(np.uint8)
    distance = cv2.distanceTransform(255 - cv2.Canny(liquid, 50, 150), cv2.DIST_L2, 5)
    _, distance = cv2.threshold(distance, 20, 20, cv2.THRESH_TRUNC)
    distance = cv2.equalizeHist(cv2.blur(distance, (3, 3)).astype(np.uint8))
    relief = cv2.filter2D(distance, cv2.CV_8U, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]))
    drops = liquid * cv2.blur(relief, (3, 3)).astype(np.float32)
    return stored(x + (drops / drops.max() * strength)[..., None] * TURQUOISE)


CLOSE: dict[str, Reference] = {"snow": reference_snow, "fog": reference_fog, "spatter": reference_spatter}


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("name", CLOSE)
def test_weather_is_close_to_its_reference(name: str, setting: Setting, severity: int) -> None:
    assert_close(*both_at(name, setting, severity, CLOSE[name]))


@pytest.mark.parametrize(("side", "decay"), [(32, 3.0), (64, 1.4)])
def test_plasma_is_diamond_square(side: int, decay: float) -> None:
    field = np.random.default_rng(1).uniform(-1, 1, (2, side, side)).astype(np.float32)
    expected = [reference_plasma(one.astype(float), decay) for one in field]
    np.testing.assert_allclose(plasma_fractal(field, decay), expected, atol=2e-6)


WATER, MUD = (0.62, 0.1, 0.7, 0.7, 0.5, 0), (0.65, 0.1, 0.7, 0.69, 0.6, 1)


@pytest.mark.parametrize("parameters", [WATER, MUD], ids=["water", "mud"])
def test_spatter_of_nothing_changes_nothing(parameters: tuple[float, ...]) -> None:
    # The published code divides by the largest drop, which is 0 here
    images = made_images(32, 32)
    dry = np.full((len(images), 32, 32), -9, np.float32)
    np.testing.assert_array_equal(spatter(images, parameters, layer=dry), images)
