"""The chance level in a panel of lines: a dotted rule, and its word where no line runs through it."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import polars as pl

from analysis.charts.placing import Plane, text_width

WORD, FONT_PX, MARGIN_PX, CLEAR_PX = "chance", 10, 3, 2
Line = Sequence[tuple[float, float]]  # (x, y) in data units, x ascending


def chance_layers(chance: float, lines: Sequence[Line], plane: Plane) -> list[alt.Chart]:
    """The rule and, where there is room, its word.

    Args:
        chance: accuracy of a guess, 0-1.
        lines: everything drawn in the panel that the word must not cross.
        plane: the panel.
    """
    rule = alt.Chart(pl.DataFrame({"accuracy": [chance]}))
    layers = [rule.mark_rule(strokeDash=[1, 3], style="muted-line").encode(y="accuracy:Q")]
    place = word_place(chance, lines, plane)
    if place is None:
        return layers
    left, baseline = place
    word = rule.mark_text(align="left", baseline="middle", fontSize=FONT_PX, style="muted")
    return [*layers, word.encode(y=alt.value(baseline), x=alt.value(left), text=alt.value(WORD))]


def word_place(chance: float, lines: Sequence[Line], plane: Plane) -> tuple[float, float] | None:
    """Left end and middle of the word in pixels: above the rule before beneath it, left before right, or nowhere."""
    _, rule = plane.pixel(plane.x_low, chance)
    wide, half = text_width(WORD, FONT_PX), FONT_PX / 2
    for middle in (rule - half - MARGIN_PX, rule + half + MARGIN_PX):
        for left in (MARGIN_PX, plane.width - MARGIN_PX - wide):
            inside = middle - half >= 0 and middle + half <= plane.height
            if inside and not any(_crosses(line, left, left + wide, middle, half, plane) for line in lines):
                return left, middle
    return None


def _crosses(line: Line, left: float, right: float, middle: float, half: float, plane: Plane) -> bool:
    """Whether a line comes within CLEAR_PX of a box; looked at about every three pixels."""
    across, down = np.array([plane.pixel(x, y) for x, y in line]).T
    at = np.linspace(left - CLEAR_PX, right + CLEAR_PX, 16)
    reach = half + CLEAR_PX
    heights = np.interp(at, across, down)
    return bool(heights.min() <= middle + reach and heights.max() >= middle - reach)
