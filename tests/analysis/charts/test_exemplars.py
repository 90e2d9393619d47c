"""Exemplars: the centroid of an attention map, and the map over its image."""

import numpy as np
import pytest

from failmodes.analysis.charts.exemplars import centroid, misread_sentence, overlay


def test_centroid_by_hand() -> None:
    assert centroid(np.array([[0.0, 0.0], [0.0, 2.0]])) == (0.75, 0.75)
    assert centroid(np.ones((4, 4))) == pytest.approx((0.5, 0.5))
    assert centroid(np.zeros((4, 4))) is None
    assert centroid(None) is None


def test_overlay_is_strongest_where_the_map_is() -> None:
    grey = np.full((32, 32, 3), 128, np.uint8)
    attention = np.zeros((4, 4))
    attention[0, 3] = 1
    image = overlay(grey, attention, 1.0).astype(int)
    assert image.shape == (128, 128, 3)
    assert image[0, -1, 0] > image[0, 0, 0] == 128
    assert (overlay(grey, None, 1.0) == 128).all()


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((0, 1, 0), "Net reads this image right at the last severity"),
        ((1, 1, 1), "Net misreads this image at the last severity, with confidence above 50 %"),
        ((2, 3, 0), "Net misreads 2 of these 3 images at the last severity, none of them with confidence above 50 %"),
    ],
)
def test_one_image_is_spoken_of_as_one(counts: tuple[int, int, int], said: str) -> None:
    assert misread_sentence("Net", *counts).replace("\N{NO-BREAK SPACE}", " ") == said
