"""Words for curves: exact curves by hand and by property, curvature and steps, and the words of drawn curves."""

from typing import NamedTuple

import numpy as np
import pytest

from failmodes.analysis.statistics.curve_fits import covariance_of_means
from failmodes.analysis.statistics.curve_shape import (
    ShapeSettings,
    bootstrap_estimate,
    chord,
    curvature,
    describe_curve,
    resampled_curve,
    shape_of_curve,
    shapes_of,
    step_changes,
    step_ends,
)
from failmodes.analysis.statistics.shape_tables import MAX_P, p_of_shape
from failmodes.analysis.statistics.shares import count_pairs, newcombe_interval, smallest_detectable_difference
from failmodes.analysis.statistics.sufficiency import chance_from, is_below_chance

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


LATE, FLAT = (0.95, 0.93, 0.89, 0.82, 0.7, 0.5), (0.95, 0.95, 0.94, 0.95, 0.94, 0.94)
CLIFFS, MIDDLE = (0.95, 0.94, 0.7, 0.69, 0.4, 0.39), (0.95, 0.94, 0.86, 0.6, 0.44, 0.43)
QUICK = ShapeSettings(resamples=1000)


def nested(curve: tuple[float, ...], images: int) -> np.ndarray:
    """Correctness (N, S): image i is correct while the curve is above its rank, so that the same images fail first."""
    return (np.arange(images) + 0.5)[:, None] / images < np.array(curve)


def scattered(curve: tuple[float, ...], images: int, seed: int) -> np.ndarray:
    """Correctness of images that are more or less difficult and are seen anew at every severity."""
    rng = np.random.default_rng(seed)
    return 0.6 * rng.random((images, 1)) + 0.4 * rng.random((images, len(curve))) < np.array(curve) * 0.8 + 0.1


def test_two_steps_have_both_places_the_larger_first() -> None:
    shape = describe_curve(nested(CLIFFS, 2000), GRID, QUICK)
    assert (shape.shape, shape.largest_at, shape.other_at) == ("two_steps", (3, 4), (1, 2))
    assert shape.largest.value == pytest.approx(0.29)
    assert shape.curvature.low < shape.curvature.value < shape.curvature.high
    late = describe_curve(nested(LATE, 2000), GRID, QUICK)
    assert (late.shape, late.stability, late.largest_at, late.other_at) == ("late", 1, (4, 5), None)


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "unpaired"])
def test_intervals_are_newcombes_each_for_as_many_as_hold_together(paired: bool) -> None:
    correct = scattered(LATE, 400, 1)
    found = describe_curve(correct, GRID, QUICK, paired=paired)

    def ends(first: int, second: int, comparisons: int = 1, level: float = 0.95) -> tuple[float, float]:
        counts = count_pairs(correct[:, first], correct[:, second], paired=paired)
        low, high = newcombe_interval(counts, comparisons=comparisons, level=level)
        return float(low), float(high)

    accuracy = correct.mean(axis=0)
    (start, end) = found.largest_at
    assert found.drop[:3] == pytest.approx((accuracy[0] - accuracy[5], *ends(0, 5)))
    assert found.largest[:3] == pytest.approx((accuracy[start] - accuracy[end], *ends(start, end, comparisons=5)))
    most = found.largest_change_at
    assert most == 1 + int(np.abs(accuracy[0] - accuracy[1:]).argmax())
    assert found.largest_change[:3] == pytest.approx((accuracy[0] - accuracy[most], *ends(0, most, comparisons=5)))
    one_sided = [abs(value) for severity in range(1, 6) for value in ends(0, severity, level=0.9)]
    assert found.changes_within == pytest.approx(max(one_sided))
    steps = [(accuracy[i + 1] - accuracy[i], *ends(i + 1, i)) for i in range(5)]
    assert np.stack(found.changes, axis=1) == pytest.approx(np.array(steps))
    share = count_pairs(correct[:, 0], correct[:, 5], paired=paired).discordant_share
    assert found.smallest_shown == pytest.approx(float(smallest_detectable_difference(share, 400)))


def test_resamples_have_the_accuracies_and_the_covariance_over_images() -> None:
    correct = scattered(LATE, 400, 2)
    accuracy = correct.mean(axis=0)
    covariance = covariance_of_means(correct)
    resampled = resampled_curve(accuracy, covariance, ShapeSettings(resamples=100_000))
    assert resampled.mean(axis=0) == pytest.approx(accuracy, abs=4e-4)
    assert np.cov(resampled.T) == pytest.approx(covariance, abs=0.02 * covariance.max())
    again, same, other = (resampled_curve(accuracy, covariance, ShapeSettings(resamples=9, seed=s)) for s in (0, 0, 1))
    assert (again == same).all()
    assert (again != other).all()


@pytest.mark.test_all
@pytest.mark.parametrize("curve", [LATE, CLIFFS, MIDDLE])
def test_stability_is_the_share_of_resamples_with_the_word_and_the_steps(curve: tuple[float, ...]) -> None:
    correct = scattered(curve, 150, 3)
    chosen = ShapeSettings(resamples=400)
    accuracy = correct.mean(axis=0)
    shape = describe_curve(correct, GRID, chosen)
    own = shapes_of(accuracy, GRID, chosen)
    named = [shapes_of(one, GRID, chosen) for one in resampled_curve(accuracy, covariance_of_means(correct), chosen)]
    same_word = [one.codes == own.codes for one in named]
    has_steps = shape.shape in ("abrupt", "two_steps", "middle")
    same_steps = [not has_steps or (one.starts == own.starts).all() for one in named]
    assert shape.shares[shape.shape] == pytest.approx(np.mean(same_word))
    assert shape.stability == pytest.approx(np.mean(np.logical_and(same_word, same_steps)))


def test_the_step_of_a_word_has_to_be_stable_too() -> None:
    """Of two inner steps that are equal resamples take either."""
    shape = describe_curve(nested((0.9, 0.89, 0.7, 0.51, 0.5), 2000), GRID[:5], QUICK)
    assert shape.shape == "middle"
    assert shape.shares["middle"] > 0.99
    assert shape.stability < 0.8


@pytest.mark.parametrize(("correct", "within"), [(np.ones, None), (np.zeros, None), (nested, FLAT)])
def test_flat_is_shown_by_many_images_and_inconclusive_for_few(correct, within) -> None:
    """Of all correct Wilson's lower end at 90 % is 2.7055 / (n + 2.7055) below 1: .051 of 50, .0014 of 2,000."""
    for images, is_shown in ((50, False), (5000, True)):
        shape = describe_curve(correct(within, images) if within else correct((images, 6), bool), GRID, QUICK)
        assert (shape.shape == "flat" and p_of_shape(shape.stability, 1000) <= MAX_P) == is_shown
        assert within or shape.changes_within == pytest.approx(2.7055 / (images + 2.7055), rel=1e-3)


@pytest.mark.parametrize("seed", [60, 242, 243, 254])
def test_a_flat_curve_does_not_go_up_and_down(seed: int) -> None:
    """Of 300 samples those whose resamples turn as they do in 98%."""
    rng = np.random.default_rng(seed)
    correct = 0.6 * rng.random((300, 1)) + 0.4 * rng.random((300, 6)) < 0.5
    settings = ShapeSettings(resamples=1000)
    assert shape_of_curve(correct.mean(axis=0), GRID, settings) == "up_and_down"
    shape = describe_curve(correct, GRID, settings, curves=19)
    assert (shape.shape, shape.shares["up_and_down"]) == ("inconclusive", 0)


def test_a_curve_that_falls_most_in_the_middle_is_no_line() -> None:
    curve = np.array([95, 92.5, 84, 69, 61, 58]) / 100  # .115 of the drop from the line on average
    assert shape_of_curve(curve, GRID) == "middle"
    assert shape_of_curve(0.3 * curve + 0.7 * np.linspace(0.95, 0.58, 6), GRID) == "near_linear"
    assert shape_of_curve(0.9 + 0.05 * (curve - 0.95), GRID) == "flat"


@pytest.mark.parametrize("grid", [[0, 1], [0, 2, 1]], ids=["two points", "not rising"])
def test_refuses_a_grid_without_shape(grid: list[int]) -> None:
    with pytest.raises(ValueError, match="rising severities"):
        describe_curve(np.ones((40, len(grid)), bool), grid, QUICK)


@pytest.mark.parametrize(
    ("percent", "images", "chance", "severity", "is_below"),
    [
        ((95, 50, 20, 11, 10, 10), 2000, 0.1, 3, False),  # 20 % of ten classes is not within 5 points of 10
        ((95, 50, 20, 11, 6, 5), 2000, 0.1, 3, True),
        ((95, 80, 60, 45, 35, 30), 500, 0.5, 3, True),  # of two classes
        ((95, 80, 70, 60, 55, 55), 500, 0.5, None, False),  # the interval reaches to 59 %
        ((90, 15, 60, 30), 100, 0.25, None, False),  # it comes back
        ((90, 60, 22, 20), 100, 0.25, 3, False),  # Wilson's upper end of 20 of 100 is .289, of 22 of 100 .311
        ((50, 50, 50, 50, 50, 50), 2000, 0.5, 0, False),  # clean accuracy is at chance
        ((95, 50, 20, 11, 10, 10), 2000, None, None, None),
    ],
)
def test_whether_a_curve_ends_at_chance_or_below(
    percent: tuple[int, ...], images: int, chance: float | None, severity: int | None, is_below: bool | None
) -> None:
    correct = nested(tuple(np.array(percent) / 100), images)
    assert chance_from(correct, np.arange(float(len(percent))), chance, 0.95) == severity
    assert is_below_chance(correct, chance, 0.95) is is_below


def test_an_interval_is_of_the_quantiles_of_finite_resamples() -> None:
    resamples = np.append(np.random.default_rng(0).permutation(1001) / 1000, [np.nan, np.inf])
    assert bootstrap_estimate(np.append(7.0, resamples))[:3] == pytest.approx((7.0, 0.025, 0.975))
    assert bootstrap_estimate(np.append(7.0, resamples), level=0.9)[:3] == pytest.approx((7.0, 0.05, 0.95))
