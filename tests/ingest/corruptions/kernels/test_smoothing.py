"""Smoothing of stored values in float32 gives the pixels that SciPy's float64 gives, everywhere."""

import cv2
import numpy as np
import pytest
from corruption_references import Pixels
from skimage import filters

from failmodes.ingest.corruptions.kernels import smoothing
from failmodes.ingest.corruptions.kernels.smoothing import smoothed_pixels

SIDE = 80
SIGMAS = [0.7, 6.0]


def of_many_kinds() -> Pixels:
    """Noise, a photograph's softness, white and gray grounds, one color, gradients along either axis, stripes."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    soft = cv2.GaussianBlur(noise, (0, 0), 5)
    on_white, on_gray, stripes = np.full_like(noise, 255), np.full_like(noise, 37), np.zeros_like(noise)
    on_white[30:40, 20:70] = noise[:10, :50]
    on_gray[:20] = soft[:20]
    stripes[::2] = 255
    down = np.broadcast_to(np.arange(SIDE, dtype=np.uint8)[:, None, None] * 3, noise.shape)
    one_color = np.broadcast_to(np.array([255, 1, 254], np.uint8), noise.shape)
    return np.stack([noise, soft, on_white, on_gray, one_color, down, down.transpose(1, 0, 2), stripes])


def reference(images: Pixels, sigma: float) -> Pixels:
    smooth = [filters.gaussian(image / 255, sigma=sigma, channel_axis=-1) for image in images]
    return (np.clip(smooth, 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_pixels_are_scikit_images(sigma: float) -> None:
    images = of_many_kinds()
    assert images[0].size >= smoothing.LEAST_VALUES
    np.testing.assert_array_equal(smoothed_pixels(images, sigma), reference(images, sigma))


@pytest.mark.parametrize("sigma", SIGMAS)
def test_pixels_are_the_same_where_none_is_certain(monkeypatch: pytest.MonkeyPatch, sigma: float) -> None:
    """With a bound as large as the value itself and no limit all pixels are summed one by one."""
    monkeypatch.setattr(smoothing, "relative_error_bound", lambda _taps: 1.0)
    monkeypatch.setattr(smoothing, "LEAST_VALUES", 0)
    monkeypatch.setattr(smoothing, "UNCERTAIN_SHARE", np.inf)
    images = np.ascontiguousarray(of_many_kinds()[:, 20:44, 10:30]) // 2  # twice the value is a pixel too
    np.testing.assert_array_equal(smoothed_pixels(images, sigma), reference(images, sigma))
