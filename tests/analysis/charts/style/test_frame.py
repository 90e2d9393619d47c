"""Frames: widths on paper, even grids of panels, names that do not overlap."""

import numpy as np
import polars as pl
import pytest

from failmodes.analysis.charts.style.frame import (
    PlotAxis,
    frame_of,
    spread_apart,
    text_width,
    without_overlap,
)
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


def test_values_are_spread_about_their_place() -> None:
    assert spread_apart([0.0, 10.0, 20.0], 5) == [0, 10, 20]
    assert spread_apart([5.0, 5.0], 4) == [3, 7]
    values = np.random.default_rng(0).uniform(0, 50, 12).tolist()
    spread = spread_apart(values, 3)
    assert np.argsort(spread, kind="stable").tolist() == np.argsort(values, kind="stable").tolist()
    assert np.diff(sorted(spread)).min() >= 3 - 1e-9


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
