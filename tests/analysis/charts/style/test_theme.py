"""The widths of page and paper; a colour means one thing, and colours of one meaning can be told apart."""

from itertools import product

import numpy as np
import pytest
from colour_vision import contrast, least_difference, over, rgb, usual_difference

from failmodes.analysis.charts.style.heat_map import DARK_FROM
from failmodes.analysis.charts.style.theme import (
    CHART_SIZES,
    DARK_COLOURS,
    DARK_GREY,
    GREY,
    GROUP_COLOURS,
    MID_GREY,
    MODEL_COLOURS,
    PAGE,
    RAMP,
    TEXT_SHADES,
    THEMES,
    text_shade,
)

MEANINGS = {"network": MODEL_COLOURS, "group": tuple(GROUP_COLOURS.values()), "amount": RAMP}
NO_HUE = (GREY, MID_GREY, DARK_GREY)
TOLD_APART = 9  # CIE 1976; about four times what is just seen side by side


def in_theme(colour: str, theme: str) -> str:
    return DARK_COLOURS[colour] if theme == "dark" else colour


def test_page_is_wider_than_paper() -> None:
    assert PAGE.width_px == 680
    assert CHART_SIZES["paper"].width_px == pytest.approx(85 / 25.4 * 96, abs=1)


@pytest.mark.parametrize("theme", list(THEMES))
def test_no_hue_means_two_things(theme: str) -> None:
    for (first, some), (second, others) in product(MEANINGS.items(), MEANINGS.items()):
        if first < second:
            assert not set(some) & set(others)
            apart = [usual_difference(in_theme(a, theme), in_theme(b, theme)) for a, b in product(some, others)]
            assert min(apart) >= 1.5 * TOLD_APART, (first, second)


@pytest.mark.parametrize("theme", list(THEMES))
@pytest.mark.parametrize("meaning", list(MEANINGS))
def test_colours_of_one_meaning_differ_for_the_colour_blind(meaning: str, theme: str) -> None:
    assert least_difference(in_theme(colour, theme) for colour in MEANINGS[meaning]) >= TOLD_APART


@pytest.mark.parametrize("theme", list(THEMES))
def test_marks_and_text_are_seen_on_the_page(theme: str) -> None:
    page = rgb(THEMES[theme].background)
    for colour in (*(c for colours in MEANINGS.values() for c in colours), *NO_HUE):
        assert contrast(rgb(in_theme(colour, theme)), page) >= 3, colour
    texts = [*MODEL_COLOURS, *GROUP_COLOURS.values(), *TEXT_SHADES, *NO_HUE]
    for colour in texts:
        assert contrast(rgb(in_theme(text_shade(colour), theme)), page) >= 4.5, colour
    assert contrast(rgb(THEMES[theme].muted), page) >= 4.5


def test_a_colour_of_the_dark_page_is_not_replaced_again() -> None:
    assert not set(DARK_COLOURS) & set(DARK_COLOURS.values())


def cell(colours: tuple[str, ...], share: float) -> np.ndarray:
    """The colour of a cell: between those of a scale, channel by channel."""
    place = min(int(share * (len(colours) - 1)), len(colours) - 2)
    return over(colours[place + 1], share * (len(colours) - 1) - place, colours[place])


@pytest.mark.parametrize("theme", list(THEMES))
def test_numbers_are_read_on_every_cell(theme: str) -> None:
    colours = THEMES[theme]
    for share in np.linspace(0, 1, 401):
        text = colours.on_high if share > DARK_FROM else colours.on_low
        assert contrast(rgb(text), cell(colours.cells, float(share))) >= 4.5, share
