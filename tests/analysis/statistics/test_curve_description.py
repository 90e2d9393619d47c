"""One curve described: its word and stability, figures with intervals, few images, and where it ends at chance."""

import numpy as np
import pytest

from failmodes.analysis.statistics.change_points import covariance_of_means
from failmodes.analysis.statistics.curve_shape import ShapeSettings, describe_curve, resampled_curve, shapes_of
from failmodes.analysis.statistics.shape_tables import MOST_P, p_of_shape
from failmodes.analysis.statistics.shares import count_pairs, newcombe_interval, smallest_detectable_difference
from failmodes.analysis.statistics.sufficiency import chance_from, is_below_chance

GRID = np.arange(6)
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

    accuracy, (start, end) = correct.mean(axis=0), found.largest_at
    assert found.drop == pytest.approx((accuracy[0] - accuracy[5], *ends(0, 5)))
    assert found.largest == pytest.approx((accuracy[start] - accuracy[end], *ends(start, end, comparisons=5)))
    most = found.largest_change_at
    assert most == 1 + int(np.abs(accuracy[0] - accuracy[1:]).argmax())
    assert found.largest_change == pytest.approx((accuracy[0] - accuracy[most], *ends(0, most, comparisons=5)))
    one_sided = [abs(value) for severity in range(1, 6) for value in ends(0, severity, level=0.9)]
    assert found.changes_within == pytest.approx(max(one_sided))
    steps = [(accuracy[i + 1] - accuracy[i], *ends(i + 1, i)) for i in range(5)]
    assert np.stack(found.changes, axis=1) == pytest.approx(np.array(steps))
    share = count_pairs(correct[:, 0], correct[:, 5], paired=paired).discordant_share
    assert found.smallest_shown == pytest.approx(float(smallest_detectable_difference(share, 400)))


def test_resamples_have_the_accuracies_and_the_covariance_over_images() -> None:
    correct = scattered(LATE, 400, 2)
    accuracy, covariance = correct.mean(axis=0), covariance_of_means(correct)
    resampled = resampled_curve(accuracy, covariance, ShapeSettings(resamples=100_000))
    assert resampled.mean(axis=0) == pytest.approx(accuracy, abs=4e-4)
    assert np.cov(resampled.T) == pytest.approx(covariance, abs=0.02 * covariance.max())
    again, same, other = (resampled_curve(accuracy, covariance, ShapeSettings(resamples=9, seed=s)) for s in (0, 0, 1))
    assert (again == same).all()
    assert (again != other).all()


@pytest.mark.parametrize("curve", [LATE, CLIFFS, MIDDLE])
def test_stability_is_the_share_of_resamples_with_the_word_and_the_steps(curve: tuple[float, ...]) -> None:
    correct, chosen = scattered(curve, 150, 3), ShapeSettings(resamples=400)
    accuracy = correct.mean(axis=0)
    shape, own = describe_curve(correct, GRID, chosen), shapes_of(accuracy, GRID, chosen)
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
        assert (shape.shape == "flat" and p_of_shape(shape.stability, 1000) <= MOST_P) == is_shown
        assert within or shape.changes_within == pytest.approx(2.7055 / (images + 2.7055), rel=1e-3)


def test_a_drop_within_noise_says_what_could_be_shown() -> None:
    correct = np.ones((60, 3), bool)
    correct[0, 1:] = correct[1, 2] = False
    found = describe_curve(correct, GRID[:3], QUICK)
    assert found.drop.low < 0 < found.drop.value == pytest.approx(2 / 60)
    assert found.drop.value < found.smallest_shown


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
