"""Values are spread apart, and the word chance stands where no line runs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failmodes.analysis.charts.style.labels import LegendEntry, PlotArea, chance_label_position, legend, spread_apart


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.01, 0.2))
def test_spread_apart_keeps_order_and_gap(values: list[float], gap: float) -> None:
    placed = spread_apart(values, gap)
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(placed)[order]) >= gap - 1e-9).all()
    if len(values) == 1:
        assert placed == values


def test_values_that_are_apart_stay_where_they_are() -> None:
    assert spread_apart([0.1, 0.9, 0.5], 0.2) == [0.1, 0.9, 0.5]


def test_plot_area_turns_data_into_pixels_and_back() -> None:
    plot_area = PlotArea(0, 10, -1, 1, 200, 100)
    assert plot_area.pixel(0, 1) == (0, 0)
    assert plot_area.pixel(10, -1) == (200, 100)
    assert plot_area.data(*plot_area.pixel(3, 0.25)) == pytest.approx((3, 0.25))


HIGH = [(0.0, 0.9), (5.0, 0.8)]


@pytest.mark.parametrize(
    ("lines", "side"),
    [
        ([HIGH], ("left", "above")),
        ([HIGH, [(0.0, 0.45), (2.5, 0.2), (5.0, 0.6)]], ("left", "above")),
        ([[(0.0, 0.3), (0.3, 0.1), (5.0, 0.5)]], ("right", "above")),
        ([[(0.0, 0.22), (5.0, 0.22)]], ("left", "below")),
        ([[(0.0, 0.22), (5.0, 0.22)], [(0.0, 0.05), (3.0, 0.22), (5.0, 0.22)]], ("right", "below")),
        ([[(0.0, 0.22), (5.0, 0.22)], [(0.0, 0.05), (5.0, 0.05)]], None),
    ],
    ids=["clear", "line above", "left taken", "above taken", "only right below", "crowded"],
)
def test_the_chance_label_is_where_no_line_runs(
    lines: list[list[tuple[float, float]]], side: tuple[str, str] | None
) -> None:
    plot_area = PlotArea(0, 5, 0, 1, 160, 130)
    position = chance_label_position(0.15, lines, plot_area)
    if side is None:
        assert position is None
        return
    assert position is not None
    rule = plot_area.pixel(0, 0.15)[1]
    assert ("left" if position[0] < 80 else "right", "above" if position[1] < rule else "below") == side


def test_no_chance_label_beneath_the_floor() -> None:
    crowded = [[(0.0, 0.05), (5.0, 0.05)]]
    assert chance_label_position(0.01, crowded, PlotArea(0, 5, 0, 1, 160, 130)) is None


def test_a_name_longer_than_the_legend_is_wide_is_cut_and_stands_alone() -> None:
    (made,) = legend([LegendEntry("Alpha"), LegendEntry("W" * 200), LegendEntry("Beta")], 300)
    spec = made.to_dict()
    texts = [layer for layer in spec["layer"] if layer["mark"]["type"] == "text"]
    assert len({layer["encoding"]["y"]["value"] for layer in texts}) == 3
    assert all(layer["mark"]["limit"] + layer["encoding"]["x"]["value"] <= 300 for layer in texts)


def test_a_legend_is_no_wider_than_what_it_shows() -> None:
    (short,) = legend([LegendEntry("Alpha")], 600, -100)
    (long,) = legend([LegendEntry("Alpha"), LegendEntry("W" * 200)], 600)
    assert short.to_dict()["width"] == 1  # it ends above the names of the rows
    assert 500 < long.to_dict()["width"] <= 600
