"""Gaussian, defocus, glass, motion and zoom blur against references made one image at a time."""

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
    both,
    both_at,
    clipped_zoom,
    made_images,
    one_color_images,
    stored,
    streaked,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage import filters

from failmodes.ingest.corruptions.catalog import CORRUPTIONS, SEVERITIES


def reference_gaussian(image: Pixels, sigma: float) -> Pixels:
    return stored(filters.gaussian(image / 255, sigma=sigma, channel_axis=-1))


def reference_defocus(image: Pixels, radius: float, alias: float) -> Pixels:
    """With the disk on its whole published grid."""
    reach, window = (8, (3, 3)) if radius <= 8 else (radius, (5, 5))
    grid = np.arange(-reach, reach + 1)
    across, down = np.meshgrid(grid, grid)
    inside = (across**2 + down**2 <= radius**2).astype(np.float32)
    disk = cv2.GaussianBlur(inside / inside.sum(), ksize=window, sigmaX=alias)
    channels = np.moveaxis(image / 255, -1, 0)
    return stored(np.dstack([cv2.filter2D(np.ascontiguousarray(channel), -1, disk) for channel in channels]))


def reference_glass(image: Pixels, sigma: float, reach: int, iterations: int, *, uint32s: NDArray[np.uint32]) -> Pixels:
    """Pixel after pixel, from the bottom right."""
    x = (filters.gaussian(image / 255, sigma=sigma, channel_axis=-1) * 255).astype(np.uint8)
    height, width = x.shape[:2]
    for iteration in range(iterations):
        for h in range(height - reach, reach, -1):
            for w in range(width - reach, reach, -1):
                value = int(uint32s[iteration, h, w])
                down, across = (half * 2 * reach // 65536 - reach for half in divmod(value, 65536))
                # Both sides of the published swap are views of the image: the second assignment finds the first done
                x[h, w], x[h + down, w + across] = x[h + down, w + across], x[h, w]
    return stored(filters.gaussian(x / 255, sigma=sigma, channel_axis=-1))


def reference_motion(image: Pixels, radius: float, sigma: float, *, unit_angles: Floats) -> Pixels:
    return streaked(image, radius, sigma, -45 + 90 * float(unit_angles))


def reference_zoom(image: Pixels, end: float, step: float) -> Pixels:
    """Exposures added one by one in float32."""
    x = (image / 255).astype(np.float32)
    total = np.zeros_like(x)
    factors = np.arange(1, end, step)
    for factor in factors:
        total += clipped_zoom(x, factor)
    return stored((x + total) / (len(factors) + 1))


EQUAL: dict[str, Reference] = {
    "gaussian_blur": reference_gaussian,
    "defocus_blur": reference_defocus,
    "glass_blur": reference_glass,
    "zoom_blur": reference_zoom,
}


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("name", EQUAL)
def test_blur_equals_its_reference(name: str, setting: Setting, severity: int) -> None:
    np.testing.assert_array_equal(*both_at(name, setting, severity, EQUAL[name]))


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_motion_blur_follows_each_images_own_angle(setting: Setting, severity: int) -> None:
    assert_close(*both_at("motion_blur", setting, severity, reference_motion))


# Truncation follows, so that a sum in another order shows as another color
@pytest.mark.parametrize("name", ["gaussian_blur", "zoom_blur"])
def test_images_of_one_color_become_what_they_became_in_the_published_sets(name: str) -> None:
    images = one_color_images(32, 8)
    as_channels = np.concatenate(list(images), axis=-1)
    for parameters in CORRUPTIONS[name].levels["cifar-c"][1:]:
        expected = EQUAL[name](as_channels, *parameters)
        found = np.concatenate(list(CORRUPTIONS[name].apply(images, parameters)), axis=-1)
        np.testing.assert_array_equal(found, expected, f"{parameters}")


def test_motion_blur_at_the_ends_and_the_middle_of_its_angles() -> None:
    images = made_images(32, 32)[[0, 1, 2, 0, 1, 2, 0]]
    unit_angles = np.array([0, 2**-24, 0.25, 0.5, 0.5, 0.75, 1 - 2**-24], np.float32)
    assert_close(*both("motion_blur", images, (9.0, 2.5), {"unit_angles": unit_angles}, reference_motion))


@settings(max_examples=15)
@given(
    size=st.tuples(st.integers(8, 22), st.integers(8, 22)),
    reach=st.integers(1, 4),
    iterations=st.integers(1, 3),
    seed=st.integers(0, 2**32),
)
def test_glass_blur_moves_pixels_as_one_after_another_would(
    size: tuple[int, int], reach: int, iterations: int, seed: int
) -> None:
    height, width = size
    uint32s = np.random.default_rng(seed).integers(0, 2**32, (2, 3, height, width), np.uint32)
    y, x = np.indices(size, np.uint8)
    each_pixel_unlike_others = np.stack([np.dstack([y, x, y]), np.dstack([x, y, y])]) * 10
    # So small a sigma smooths nothing
    parameters = (0.05, reach, iterations)
    np.testing.assert_array_equal(
        *both("glass_blur", each_pixel_unlike_others, parameters, {"uint32s": uint32s}, reference_glass)
    )
