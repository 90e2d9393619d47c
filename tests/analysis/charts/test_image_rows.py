"""Rows of images: the map over its image, the centroid's path, texts that fit."""

import numpy as np
import polars as pl
from pictured_results import patterns

from failmodes.analysis.charts.image_rows import (
    ShownImage,
    _wrapped_title,
    fitted_text,
    image_cell,
    image_cells,
    image_layers,
    overlay,
)


def test_overlay_is_strongest_where_the_map_is() -> None:
    gray = np.full((32, 32, 3), 128, np.uint8)
    attention = np.zeros((4, 4))
    attention[0, 3] = 1
    image = overlay(gray, attention, 1.0).astype(int)
    assert image.shape == (128, 128, 3)
    assert image[0, -1, 0] > image[0, 0, 0] == 128
    assert (overlay(gray, None, 1.0) == 128).all()


def test_small_images_are_enlarged_by_whole_pixels_and_large_ones_made_smaller() -> None:
    small = overlay(patterns(1)[0], None, 0)
    np.testing.assert_array_equal(small, np.kron(patterns(1)[0], np.ones((4, 4, 1), np.uint8)))
    assert overlay(patterns(1, height=500, width=1000)[0], None, 0).shape == (128, 256, 3)
    assert overlay(patterns(1, height=2, width=2000)[0], np.ones((2, 2)), 1).shape == (1, 256, 3)


def test_an_empty_map_has_no_marker_even_after_one_that_has() -> None:
    centers = [(0.5, 0.5), None, None, (0.5, 0.5)]
    row = [ShownImage("", severity, "a", True, 0.9, center) for severity, center in enumerate(centers)]
    cells = image_cells(row, 0, 0, 50, with_severities=True)
    assert [len(cell["path"]) for cell in cells] == [1, 0, 0, 2]
    assert _marked(cells) == [0, 3]
    assert _marked(image_cells(row[1:3], 0, 0, 50, with_severities=True)) == []


def test_the_dot_is_on_the_image_where_it_is_not_square() -> None:
    wide = image_cell(ShownImage("", 0, "a", True, 0.5, (0.5, 1.0), aspect=2), 10, 20, 100)
    assert wide["path"] == [{"px": 60, "py": 20 + 75}]
    tall = image_cell(ShownImage("", 0, "a", True, 0.5, (0.0, 1.0), aspect=0.5), 10, 20, 100)
    assert tall["path"] == [{"px": 10 + 25, "py": 120}]


def test_a_text_that_does_not_fit_is_cut_between_letters() -> None:
    assert fitted_text("short", 100, 10) == "short"
    cut = fitted_text("\N{PARTY POPPER}" * 40, 100, 10)
    assert cut == "\N{PARTY POPPER}" * (len(cut) - 1) + "\N{HORIZONTAL ELLIPSIS}"
    assert 5 < len(cut) < 13


def test_a_title_is_broken_before_its_brackets() -> None:
    assert _wrapped_title("ResNet-18 (width 16)") == ["ResNet-18", "(width 16)"]
    assert _wrapped_title("Gaussian noise") == ["Gaussian noise"]
    assert _wrapped_title("a model of very many words (of which none is short)")[0] == "a model of very"


def _marked(cells: list) -> list[int]:
    """The cells that a dot is drawn in."""
    dots = image_layers(cells, 50)[3].data
    assert isinstance(dots, pl.DataFrame)
    return sorted(dots["cell"].to_list())
