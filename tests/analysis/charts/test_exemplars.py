"""Exemplars: what is said of the images that are shown."""

import pytest

from failmodes.analysis.charts.exemplars import incorrect_sentence


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((0, 1, 0), "Net reads this image right at the last severity"),
        ((1, 1, 1), "Net misreads this image at the last severity, with confidence above 50%"),
        ((2, 3, 0), "Net misreads 2 of these 3 images at the last severity, none of them with confidence above 50%"),
    ],
)
def test_one_image_is_spoken_of_as_one(counts: tuple[int, int, int], said: str) -> None:
    assert incorrect_sentence("Net", *counts).replace("\N{NO-BREAK SPACE}", " ") == said
