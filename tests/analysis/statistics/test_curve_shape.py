"""Words for curves: exact curves by hand and by property, curvature and steps, and the words of drawn curves."""

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from failmodes.analysis.statistics.curve_shape import (
    FALLING,
    SHAPES,
    ShapeSettings,
    chord,
    curvature,
    shape_of_curve,
    shapes_of,
    step_changes,
    step_ends,
    total_drop,
)

GRID, DENSE = np.arange(6), np.arange(21) / 4


class Case(NamedTuple):
    name: str
    percent: tuple[float, ...]
    shape: str
    steps: tuple[float, ...] = ()  # severities where the steps that the word names begin

    @property
    def curve(self) -> np.ndarray:
        return np.array(self.percent) / 100


# what a person says of curves
SAID = (
    Case("a cliff inside", (98, 98, 96, 47, 36, 35), "abrupt", (2,)),
    Case("two cliffs", (95, 94, 70, 69, 40, 39), "two_steps", (1, 3)),
    Case("plateau, drop, plateau", (95, 95, 94, 45, 44, 44), "abrupt", (2,)),
    Case("sigmoid", (95, 94, 86, 60, 44, 43), "middle", (2,)),
    Case("first step, then flat", (95, 55, 55, 54, 54, 54), "abrupt", (0,)),
    Case("last step only", (95, 95, 95, 95, 94, 50), "abrupt", (4,)),
    Case("down and back", (95, 80, 60, 60, 78, 93), "recovers"),
    Case("sawtooth", (95, 70, 90, 60, 85, 50), "up_and_down"),
    Case("a line", (95, 94, 93, 92, 91, 90), "near_linear"),
    Case("late", (95, 93, 89, 82, 70, 50), "late"),
    Case("early", (95, 72, 60, 54, 51, 50), "early"),
    Case("early, to chance", (95, 50, 20, 11, 10, 10), "early"),
)
BY_HAND = (
    Case("level", (95, 95, 94, 95, 94, 94), "flat"),
    Case("all correct", (100,) * 6, "flat"),
    Case("all incorrect", (0,) * 6, "flat"),
    Case("rises", (80, 82, 83, 84, 85, 86), "rise"),
    Case("rises at once", (80, 86, 86, 86, 86, 86), "rise"),
    Case("falls, then stays", (95, 80, 60, 60, 60, 60), "early"),
    Case("comes back by less than a quarter of its range", (95, 85, 65, 45, 50, 54), "early"),
    Case("comes back by a quarter of its range", (95, 85, 65, 45, 50, 58), "recovers"),
    Case("comes back to above clean", (70, 60, 50, 60, 75, 80), "recovers"),
    Case("rises and comes back", (60, 75, 90, 80, 70, 60), "up_and_down"),
    Case("rises, then falls below", (60, 65, 75, 50, 40, 30), "up_and_down"),
    Case("falls, comes back, falls", (95, 70, 55, 75, 60, 40), "up_and_down"),
    Case("a small rise on the way", (95, 80, 81.5, 65, 55, 45), "near_linear"),
    Case("10 % from the line on average", (90, 84, 66, 64, 46, 40), "near_linear"),  # rms 4.6 of 50
    Case("12 % from the line on average", (90, 86, 65, 64, 44, 40), "near_linear"),  # rms 5.9 of 50
    Case("14 % from the line on average", (90, 88, 65, 64, 42, 40), "two_steps", (1, 3)),  # rms 7.0 of 50
    Case("two steps beside each other", (90, 89, 67.5, 45, 42, 40), "middle", (2,)),
    Case("two steps, one of a quarter", (90, 89, 60, 58.5, 46, 45), "middle", (1,)),
    Case("a step of 69 %", (95, 95, 84.5, 50, 45, 45), "middle", (2,)),
    Case("a step of 71 %", (95, 95, 85, 49.5, 45, 45), "abrupt", (2,)),
    Case("a step of 60 %, the others alike", (90, 86, 82, 50, 45, 40), "middle", (2,)),
)


def steps_of(curve: object, grid: object) -> list[float]:
    """Severities where the largest steps begin."""
    return sorted(set(np.asarray(grid)[shapes_of(curve, grid, ShapeSettings()).starts].tolist()))


@pytest.mark.parametrize("case", [*SAID, *BY_HAND], ids=lambda case: case.name)
def test_words_of_curves_by_hand(case: Case) -> None:
    assert shape_of_curve(case.curve, GRID) == case.shape
    if case.steps:
        assert steps_of(case.curve, GRID) == list(case.steps)


@pytest.mark.parametrize("case", [case for case in SAID if case.shape != "two_steps"], ids=lambda case: case.name)
def test_a_dense_grid_on_the_same_lines_has_the_same_word_and_steps(case: Case) -> None:
    dense = np.interp(DENSE, GRID, case.curve)
    assert shape_of_curve(dense, DENSE) == case.shape
    if case.steps:
        assert steps_of(dense, DENSE) == list(case.steps)


def test_cliffs_of_a_dense_grid_lie_within_one_severity() -> None:
    one = np.interp(DENSE, [0, 2.25, 2.75, 5], [0.95, 0.93, 0.5, 0.48])
    assert shape_of_curve(one, DENSE) == "abrupt"
    assert abs(steps_of(one, DENSE)[0] - 2) < 0.5
    two = np.interp(DENSE, [0, 1.25, 1.75, 3.25, 3.75, 5], [0.95, 0.94, 0.7, 0.69, 0.4, 0.39])
    assert shape_of_curve(two, DENSE) == "two_steps"
    first, second = steps_of(two, DENSE)
    assert first <= 1.25 < 1.75 <= first + 1
    assert second <= 3.25 < 3.75 <= second + 1


@pytest.mark.parametrize(
    ("percent", "shape"),
    [
        ((90, 70, 50), "near_linear"),
        ((90, 88, 50), "late"),
        ((90, 52, 50), "early"),
        ((90, 90, 50), "abrupt"),  # a straight line has a half in each step, so that an abrupt one has all
        ((90, 60, 90), "recovers"),
        ((50, 90, 60), "up_and_down"),
        ((50, 60, 80), "rise"),
        ((90, 90, 89), "flat"),
        ((90, 89, 88, 50), "abrupt"),
        ((90, 88, 52, 50), "abrupt"),
        ((90, 77, 63, 50), "near_linear"),
        ((90, 70, 70, 50), "two_steps"),
        ((90, 89, 71, 50), "late"),
        ((90, 70, 55, 50), "early"),
        ((90, 83, 57, 50), "middle"),
    ],
)
def test_grids_of_three_and_four_points(percent: tuple[float, ...], shape: str) -> None:
    assert shape_of_curve(np.array(percent) / 100, np.arange(len(percent))) == shape


def test_a_wide_step_has_to_lose_more() -> None:
    # from severity 1 to 3 on a grid to 5 a straight line loses 2/5, so an abrupt step at least 4/5
    grid = [0, 1, 3, 4, 5]
    assert shape_of_curve([0.9, 0.88, 0.47, 0.45, 0.4], grid) == "abrupt"
    assert shape_of_curve([0.9, 0.86, 0.5, 0.45, 0.4], grid) != "abrupt"


def test_thresholds_belong_to_late_and_early() -> None:
    """On three points, of which the inner one lies .15 of the drop beside the line."""
    for curve, shape in (((1.0, 0.65, 0.0), "late"), ((1.0, 0.35, 0.0), "early")):
        assert shape_of_curve(curve, [0, 1, 2], ShapeSettings(curvature_threshold=0.15 - 1e-12)) == shape
        assert shape_of_curve(curve, [0, 1, 2], ShapeSettings(curvature_threshold=0.15 + 1e-12)) == "inconclusive"


def test_flat_is_every_severity_within_the_margin() -> None:
    for inner in (0.881, 0.919):
        assert shape_of_curve([0.9, inner, 0.9], [0, 1, 2]) == "flat"
    for inner in (0.879, 0.921):
        assert shape_of_curve([0.9, inner, 0.9], [0, 1, 2]) != "flat"
        assert shape_of_curve([0.9, inner, 0.9], [0, 1, 2], ShapeSettings(flat_below=0.03)) == "flat"


def test_curvature_by_hand_on_an_uneven_grid() -> None:
    # chord from 1.0 to 0.0 over severity 0-4: 0.75 at 1, 0.5 at 2; heights .15 and .25, which stand for 1 and 1.5
    # severities: (.15 + .375) / 2.5; drop 1
    assert curvature([1.0, 0.9, 0.75, 0.0], [0, 1, 2, 4]) == pytest.approx(0.21)
    assert chord([1.0, 0.9, 0.75, 0.0], [0, 1, 2, 4]) == pytest.approx([1, 0.75, 0.5, 0])


def test_steps_of_a_grid() -> None:
    assert step_ends(GRID).tolist() == [1, 2, 3, 4, 5]
    assert step_ends([0, 0.5, 1, 1.5, 2.5, 5]).tolist() == [2, 3, 3, 4, 5]
    assert (DENSE[step_ends(DENSE)] - DENSE[:-1]).tolist() == [1.0] * 17 + [0.75, 0.5, 0.25]
    assert step_changes([0.9, 0.8, 0.6, 0.5], [0, 0.5, 1, 3]) == pytest.approx([-0.3, -0.2, -0.1])


curves = arrays(np.float64, 6, elements=st.floats(0, 1, width=32))


@settings(max_examples=200, deadline=None)
@given(curves, st.sampled_from([0.0, 0.3, 1.0]))
def test_words_keep_to_what_they_say(curve: np.ndarray, sorting: float) -> None:
    curve = sorting * np.sort(curve)[::-1] + (1 - sorting) * curve  # of three, one falls
    found, drop, least = shape_of_curve(curve, GRID), total_drop(curve), ShapeSettings().flat_below
    falls_most = max(high - low for high, low in combinations(curve, 2))
    rises_most = max(high - low for low, high in combinations(curve, 2))
    turn = max(least, np.ptp(curve) / 4)
    if found == "flat":
        assert np.abs(curve - curve[0]).max() < least
    elif found == "rise":
        assert -drop >= least
        assert falls_most < turn
    elif found in FALLING:
        assert drop >= least
        assert rises_most < turn
    elif found in ("recovers", "up_and_down"):
        assert min(rises_most, falls_most) >= turn
    if found == "abrupt":
        assert -np.diff(curve).min() >= 0.4 * drop
    if found in ("late", "early"):
        assert np.sign(curvature(curve, GRID)) == (1 if found == "late" else -1)


def test_vectorized_equals_one_by_one() -> None:
    many = np.random.default_rng(0).random((60, 6))
    many[::2] = np.sort(many[::2])[:, ::-1]
    together = shapes_of(many, GRID, ShapeSettings())
    assert [SHAPES[code] for code in together.codes] == [shape_of_curve(one, GRID) for one in many]
    assert [set(own) for own in together.starts.tolist()] == [set(steps_of(one, GRID)) for one in many]
