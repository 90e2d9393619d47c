"""Exemplars: the centroid of an attention map, and the map over its image."""

import numpy as np
import polars as pl
import pytest

from failmodes.analysis.charts.exemplars import (
    ExemplarImage,
    _cells,
    _image_layers,
    centroid,
    misread_sentence,
    overlay,
)


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


def test_an_empty_map_has_no_marker_even_after_one_that_has() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    maps = [np.ones((2, 2)), np.zeros((2, 2)), None, np.ones((2, 2))]
    row = [
        ExemplarImage("fog", 0, "still_right", severity, "a", "a", True, 0.9, pixels, one)
        for severity, one in enumerate(maps)
    ]
    cells = _cells(row, 0, 0, 50, with_severities=True)
    assert [len(cell["path"]) for cell in cells] == [1, 0, 0, 2]
    assert _marked(cells) == [0, 3]
    assert _marked(_cells(row[1:3], 0, 0, 50, with_severities=True)) == []


def _marked(cells: list) -> list[int]:
    """The cells that a dot is drawn in."""
    dots = _image_layers(cells, 50)[3].data
    assert isinstance(dots, pl.DataFrame)
    return sorted(dots["cell"].to_list())
