"""A color means one thing, and colors of one meaning can be told apart."""

import numpy as np
import pytest
from color_vision import contrast, least_difference, over, rgb

from failmodes.analysis.charts.style.heat_map import DARK_FROM
from failmodes.analysis.charts.style.theme import (
    BASELINE_GRAY,
    DARK_COLORS,
    DARK_GRAY,
    GRAY,
    GROUP_COLORS,
    MID_GRAY,
    MODEL_COLORS,
    RAMP,
    TEXT_SHADES,
    THEMES,
)

MEANINGS = {"model": (*MODEL_COLORS, BASELINE_GRAY), "group": tuple(GROUP_COLORS.values()), "severity": (*RAMP, GRAY)}
NO_HUE = (GRAY, MID_GRAY, DARK_GRAY)
TOLD_APART = 9  # CIE 1976; about four times what is just seen side by side


def in_theme(color: str, theme: str) -> str:
    return DARK_COLORS[color] if theme == "dark" else color


@pytest.mark.parametrize("theme", list(THEMES))
@pytest.mark.parametrize("meaning", list(MEANINGS))
def test_colors_of_one_meaning_differ_for_the_color_blind(meaning: str, theme: str) -> None:
    assert least_difference(in_theme(color, theme) for color in MEANINGS[meaning]) >= TOLD_APART


@pytest.mark.parametrize("theme", list(THEMES))
def test_marks_and_text_are_seen_on_the_page(theme: str) -> None:
    page = rgb(THEMES[theme].background)
    for color in (*(c for colors in MEANINGS.values() for c in colors), *NO_HUE):
        assert contrast(rgb(in_theme(color, theme)), page) >= 3, color
    texts = [*MODEL_COLORS, *GROUP_COLORS.values(), *TEXT_SHADES, *NO_HUE]
    for color in texts:
        assert contrast(rgb(in_theme(TEXT_SHADES.get(color, color), theme)), page) >= 4.5, color
    assert contrast(rgb(THEMES[theme].muted), page) >= 4.5


def cell(colors: tuple[str, ...], share: float) -> np.ndarray:
    """The color of a cell: between those of a scale, channel by channel."""
    place = min(int(share * (len(colors) - 1)), len(colors) - 2)
    return over(colors[place + 1], share * (len(colors) - 1) - place, colors[place])


@pytest.mark.parametrize("theme", list(THEMES))
def test_numbers_are_read_on_every_cell(theme: str) -> None:
    colors = THEMES[theme]
    for share in np.linspace(0, 1, 401):
        text = colors.on_high if share > DARK_FROM else colors.on_low
        assert contrast(rgb(text), cell(colors.cells, float(share))) >= 4.5, share
