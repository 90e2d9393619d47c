"""Grids of images: attention over its image, the centroid's path, and names of any length."""

import base64
import io

import numpy as np
import pytest
from pictured_results import patterns
from PIL import Image

from failmodes.analysis.charts.style.image_grid import picture_urls, with_attention

ORANGE = np.array([213, 94, 0])


def decoded(url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (16, 32), (40, 8)])
def test_attention_is_laid_over_the_image_as_numpy_lays_it(height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    pixels = patterns(1, height=height, width=width)[0]
    attention = rng.random((4, 7))
    times = 256 // max(height, width)
    image = np.kron(pixels, np.ones((times, times, 1))).astype(float)
    across = np.linspace(0.5, 6.5, 7) / 7 * width * times, np.arange(width * times) + 0.5
    down = np.linspace(0.5, 3.5, 4) / 4 * height * times, np.arange(height * times) + 0.5
    by_column = np.stack([np.interp(across[1], across[0], row) for row in attention])
    strength = np.stack([np.interp(down[1], down[0], column) for column in by_column.T], axis=1)[..., None]
    opacity = 0.6 * strength / 0.9  # which the map exceeds in places
    expected = image + (ORANGE - image) * opacity
    drawn = with_attention(pixels, attention, 0.9)
    assert drawn.shape == expected.shape
    assert np.abs(drawn - expected).max() < 2
    assert (with_attention(pixels, None) == image).all()
    assert (with_attention(pixels, np.zeros((4, 7))) == image).all()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (16, 32), (224, 112)])
def test_a_path_ends_in_a_dot_where_the_centroid_is(height: int, width: int) -> None:
    gray = np.full((height, width, 3), 100, np.uint8)
    dot = with_attention(gray, None, path=[(0.7, 0.4)])
    rows, columns = np.nonzero(dot[..., 0] == 255)
    assert rows.mean() + 0.5 == pytest.approx(0.4 * dot.shape[0], abs=1)
    assert columns.mean() + 0.5 == pytest.approx(0.7 * dot.shape[1], abs=1)
    line = with_attention(gray, None, path=[(0.2, 0.4), (0.7, 0.4)])
    half = line[round(0.4 * line.shape[0]), round(0.45 * line.shape[1])]
    assert (half == 255).all()
    assert (line[round(0.2 * line.shape[0])] == 100).all()


def test_maps_of_a_row_have_one_scale() -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    half, full = (decoded(url) for url in picture_urls([(pixels, top * np.ones((2, 2)), None) for top in (1.0, 2.0)]))
    np.testing.assert_allclose(full[0, 0], 0.6 * ORANGE, atol=1)
    np.testing.assert_allclose(half[0, 0], 0.3 * ORANGE, atol=1)
