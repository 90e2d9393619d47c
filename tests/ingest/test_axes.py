"""Axes: their text, and severity as the rank of a level."""

import math

import pytest

from failmodes.ingest.axes import Axis, default_axis, level_rows, parse_axis, rank_levels
from failmodes.runtime.errors import DataError, StudyError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%,100..1,log", Axis("contrast", "contrast", "%", (100, 1), "log")),
        ("angle, °, 0..180", Axis("contrast", "angle", "°", (0, 180))),
        ("0..0.9", Axis("contrast", "contrast", "", (0, 0.9))),
        ("cutoff,px,inf..0.4,log", Axis("contrast", "cutoff", "px", (math.inf, 0.4), "log")),
        ("ε,/255,0..2..4..8,linear", Axis("contrast", "ε", "/255", (0, 2, 4, 8))),
    ],
)
def test_axis_is_read_from_name_unit_levels_and_scale(text, expected):
    assert parse_axis("contrast", text) == expected


@pytest.mark.parametrize(
    "text", ["", "%", "%,a..b", "%,1..1", "%,nan..1", "0..2..1", "%,1..inf", "-1..5,log", "a,b,c,1..2", "a\nb,1..2"]
)
def test_text_that_is_no_axis_is_an_error(text):
    with pytest.raises(StudyError, match="axis of 'contrast'"):
        parse_axis("contrast", text)


def test_severity_is_the_rank_of_a_level_from_the_reference_level_on():
    axis = parse_axis("contrast", "%,100..1,log")
    assert rank_levels([1, 50, 100, 10, 50], axis) == {100: 0, 50: 1, 10: 2, 1: 3}
    assert rank_levels([math.inf, 3, 0.4], parse_axis("high_pass", "px,inf..0.4")) == {math.inf: 0, 3: 1, 0.4: 2}


def test_levels_without_the_reference_begin_at_severity_1():
    assert rank_levels([10, 50], parse_axis("contrast", "%,100..1")) == {50: 1, 10: 2}


def test_every_level_of_an_axis_has_its_rank_whichever_the_data_hold():
    axis = parse_axis("pgd", "ε,/255,0..2..4..8")
    assert rank_levels([8, 2], axis) == {2: 1, 8: 3}
    with pytest.raises(DataError, match="3 not on the axis"):
        rank_levels([3], axis)


@pytest.mark.parametrize("value", [120, 0.5, math.nan, math.inf])
def test_level_beyond_the_ends_is_an_error(value):
    with pytest.raises(DataError, match="not on the axis"):
        rank_levels([50, value], parse_axis("contrast", "%,100..1"))


def test_more_levels_than_severities_are_an_error():
    with pytest.raises(DataError, match="at most 999"):
        rank_levels(range(1001), parse_axis("rotation", "°,0..5000"))


def test_unstated_axis_rises_from_0():
    assert rank_levels([0, 0.1, 0.05], default_axis("noise", [0, 0.1, 0.05])) == {0: 0, 0.05: 1, 0.1: 2}
    assert rank_levels([3.0, 1.0], default_axis("noise", [3.0, 1.0])) == {1: 1, 3: 2}
    with pytest.raises(DataError, match="state its axis"):
        default_axis("rotation", [-10, 0, 10])


def test_rows_of_levels_have_value_and_axis_and_begin_with_the_reference_level():
    axis = parse_axis("contrast", "%,100..1,log")
    assert [tuple(row.values()) for row in level_rows("s", axis, rank_levels([1], axis))] == [
        ("s", "contrast", 0, 100, "contrast", "%", "log"),
        ("s", "contrast", 1, 1, "contrast", "%", "log"),
    ]
