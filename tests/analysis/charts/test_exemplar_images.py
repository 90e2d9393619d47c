"""Charts: each draws, within its limits, saves in every format, and says in its title what its data say."""

from pathlib import Path

import numpy as np
import pytest

from failmodes.analysis.charts.exemplar_images import centroid, overlay


def test_centroid_by_hand() -> None:
    assert centroid(np.array([[0.0, 0.0], [0.0, 2.0]])) == (0.75, 0.75)
    assert centroid(np.ones((4, 4))) == pytest.approx((0.5, 0.5))
    assert centroid(np.zeros((4, 4))) is None
    assert centroid(None) is None


def test_overlay_is_strongest_where_the_map_is(tmp_path: Path) -> None:
    import io

    from PIL import Image

    grey = np.full((32, 32, 3), 128, np.uint8)
    attention = np.zeros((4, 4))
    attention[0, 3] = 1
    image = np.asarray(Image.open(io.BytesIO(overlay(grey, attention, 1.0)))).astype(int)
    assert image.shape == (128, 128, 3)
    assert image[0, -1, 0] > image[0, 0, 0] == 128
    assert (np.asarray(Image.open(io.BytesIO(overlay(grey, None, 1.0)))) == 128).all()
