"""How high a chart will be is known before it is drawn, exactly of what is stacked, about of what is around that."""

import altair as alt
import duckdb
import pytest

from failmodes.analysis.charts.drawing import CHARTS
from failmodes.analysis.charts.style.combining import in_grid, layered
from failmodes.analysis.charts.style.saving import drawing, with_theme
from failmodes.analysis.charts.style.stacking import height_around, stacked_height
from failmodes.analysis.charts.style.theme import ChartSize, ChartText, add_text
from failmodes.analysis.selection import Selection


def test_the_height_is_that_of_rows_upon_each_other_and_of_wrapped_titles() -> None:
    plots = [layered(alt.Chart().mark_point(), height=height) for height in (40, 70, 50)]
    grid = in_grid(*plots, columns=2, spacing=9)
    assert stacked_height(grid) == (70 + 50, 0)
    text = ChartText("word " * 12, "word", "word")
    assert stacked_height(add_text([grid], text, ChartSize(1000, 3, 11, 12))).px == 120 + 14 + 13 + 12
    assert stacked_height(add_text([grid], text, ChartSize(200, 3, 11, 12))).px == 120 + 2 * 14 + 13 + 12


@pytest.mark.slow
@pytest.mark.parametrize("name", ["curves", "calibration", "attention", "onset"])
def test_the_estimate_is_near_the_drawing(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection, name: str
) -> None:
    chart = CHARTS[name](many_con, many_selection, size=ChartSize(680, 3, 11, 12))
    high = drawing(with_theme(chart)).height_px
    assert stacked_height(chart).px + height_around(chart) == pytest.approx(high, rel=0.05)
