"""Frames: widths on paper, even grids of panels, names that do not overlap."""

import numpy as np
import polars as pl
import pytest

from failmodes.analysis.charts.style.frame import (
    PAGE,
    PAPER,
    PlotAxis,
    evenly_spaced,
    frame_of,
    severity_series,
    spread_apart,
    text_width,
    without_overlap,
)
from failmodes.analysis.charts.style.theme import GRAY, RAMP
from failmodes.warehouse.errors import StudyError


def test_layouts_are_widths() -> None:
    assert frame_of("paper").width_mm == pytest.approx(85)
    assert frame_of("page").width_mm == pytest.approx(180)
    assert frame_of("paper", "180mm").width_mm == pytest.approx(180)
    for same in ("85mm", "8.5cm", " 85 mm ", "3.346457in", "240.9449pt", "321.2598px"):
        assert frame_of("page", same).width_mm == pytest.approx(85, abs=1e-4)


@pytest.mark.parametrize(
    "bad", ["85", "mm", "-85mm", "85 m", "nan mm", "1e9mm", "0mm", "12mm", "9000mm", "85mm;", "", "٨٥mm"]
)
def test_other_widths_are_refused_in_one_line(bad: str) -> None:
    with pytest.raises(StudyError, match=r"width .*85mm") as refused:
        frame_of("page", bad)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("count", "columns", "rows"), [(1, 1, 1), (5, 5, 1), (6, 3, 2), (7, 4, 2), (15, 5, 3), (19, 5, 4)]
)
def test_panels_fill_rows_evenly(count: int, columns: int, rows: int) -> None:
    panels = PAGE.panels(count, 5)
    assert (panels.columns, panels.rows) == (columns, rows)
    assert panels.width * columns < PAGE.width_px
    assert PAPER.panels(count, 5).columns <= 3


def test_values_are_spread_about_their_place() -> None:
    assert spread_apart([0.0, 10.0, 20.0], 5) == [0, 10, 20]
    assert spread_apart([5.0, 5.0], 4) == [3, 7]
    values = np.random.default_rng(0).uniform(0, 50, 12).tolist()
    spread = spread_apart(values, 3)
    assert np.argsort(spread, kind="stable").tolist() == np.argsort(values, kind="stable").tolist()
    assert np.diff(sorted(spread)).min() >= 3 - 1e-9


def test_an_even_choice_has_both_ends() -> None:
    assert evenly_spaced([0, 1, 2], 6) == [0, 1, 2]
    assert evenly_spaced(list(range(21)), 5) == [0, 5, 10, 15, 20]


@pytest.mark.parametrize("seed", range(5))
def test_names_cover_no_other_name_or_point_and_stay_in_the_plot(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = pl.DataFrame(
        {"name": [f"point {n}" for n in range(40)], "x": rng.uniform(0, 1, 40), "y": rng.uniform(5, 6, 40)}
    )
    x, y = PlotAxis("x", 0, 1, 300), PlotAxis("y", 5, 6, 200)
    named = without_overlap(points, x, y)
    assert len(named) >= 8
    left, up = x.pixels(named) + 6, y.pixels(named) + 2
    right, top = left + [text_width(name) for name in named["name"]], up + 9
    assert (right <= 300 + 6).all()
    for one in range(len(named)):
        for other in range(one):
            assert right[one] < left[other] or right[other] < left[one] or top[one] < up[other] or top[other] < up[one]
        inside = (
            (x.pixels(points) > left[one])
            & (x.pixels(points) < right[one])
            & (y.pixels(points) > up[one])
            & (y.pixels(points) < top[one])
        )
        assert not inside.any()


def test_of_a_dense_grid_five_severities_are_shown_beside_clean() -> None:
    rows, colors = severity_series(pl.DataFrame({"severity": np.arange(0, 5.05, 0.25)}))
    assert list(colors) == ["clean", "0.25", "1.5", "2.75", "3.75", "5"]
    assert list(colors.values()) == [GRAY, *RAMP]
    assert rows["series"].to_list() == list(colors)


@pytest.mark.parametrize(("text", "arial"), [("JPEG compression 100%", 1253), ("attention spread", 789), ("Fog", 190)])
def test_widths_of_names_are_those_of_the_font(text: str, arial: float) -> None:
    """Widths of Arial at 110 pixels, by its metrics."""
    assert text_width(text, 110) == pytest.approx(arial, rel=0.06)
