"""One curve described: class by equivalence, intervals, stability, and whether one step is a collapse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failmodes.analysis.statistics.bootstrap import Estimate, resampled_accuracy
from failmodes.analysis.statistics.curve_shape import (
    SHAPE_CLASSES,
    CurveShape,
    ShapeSettings,
    curvature,
    describe_curve,
    judge_one_step,
)
from failmodes.analysis.statistics.shares import count_pairs, newcombe_interval, smallest_detectable_difference

GRID = np.arange(6)
LATE, FLAT, V = (0.95, 0.94, 0.93, 0.91, 0.85, 0.45), (0.95, 0.95, 0.94, 0.95, 0.94, 0.94), (0.9, 0.85, 0.8, 0.85, 0.9)
LINE = (0.95, 0.85, 0.75, 0.65, 0.55, 0.45)


def nested(curve: tuple[float, ...], images: int) -> np.ndarray:
    """Correctness (N, S): image i is right while the curve is above its rank, so that the same images fail first."""
    return (np.arange(images) + 0.5)[:, None] / images < np.array(curve)


def scattered(curve: tuple[float, ...], images: int, seed: int) -> np.ndarray:
    """Correctness of images that are more or less difficult and are seen anew at every severity."""
    rng = np.random.default_rng(seed)
    return 0.6 * rng.random((images, 1)) + 0.4 * rng.random((images, len(curve))) < np.array(curve) * 0.8 + 0.1


def described(correct: np.ndarray, grid: object = None, resamples: int = 300, **options: object) -> CurveShape:
    severities = np.arange(correct.shape[1]) if grid is None else np.asarray(grid)
    chosen = options.pop("settings", ShapeSettings())
    return describe_curve(correct, resampled_accuracy(correct, resamples), severities, chosen, **options)


def test_description_holds_its_promises() -> None:
    shape = described(nested(LATE, 2000))
    assert (shape.shape, shape.stability) == ("late_collapse", 1)
    assert list(shape.shares) == list(SHAPE_CLASSES)
    assert sum(shape.shares.values()) == pytest.approx(1)
    assert shape.drop.low < shape.drop.value < shape.drop.high
    assert shape.curvature is not None
    assert shape.curvature.low < shape.curvature.value < shape.curvature.high
    assert shape.largest.start == 4
    assert shape.one_step == "supported"
    assert (shape.changes[1] <= shape.changes[0]).all()
    assert (shape.changes[0] <= shape.changes[2]).all()


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "unpaired"])
def test_intervals_are_newcombes_each_for_as_many_as_hold_together(paired: bool) -> None:
    correct = scattered(LATE, 400, 1)
    found = described(correct, paired=paired, curves=3)

    def ends(first: int, second: int, comparisons: int = 1, level: float = 0.95) -> tuple[float, float]:
        counts = count_pairs(correct[:, first], correct[:, second], paired=paired)
        low, high = newcombe_interval(counts, comparisons=comparisons, level=level)
        return float(low), float(high)

    accuracy = correct.mean(axis=0)
    assert found.drop == pytest.approx((accuracy[0] - accuracy[5], *ends(0, 5)))
    step = int(found.largest.start)
    assert found.largest.lost == pytest.approx(accuracy[step] - accuracy[step + 1])
    assert found.largest_interval == pytest.approx(ends(step, step + 1, comparisons=5))
    top = found.rise_position
    assert accuracy[top] == accuracy[1:].max()
    assert found.rise == pytest.approx((accuracy[top] - accuracy[0], *ends(top, 0, comparisons=3 * 5)))
    most = 1 + int(np.abs(accuracy[0] - accuracy[1:]).argmax())
    assert found.largest_change == pytest.approx((accuracy[0] - accuracy[most], *ends(0, most, level=0.9)))
    steps = [(accuracy[i + 1] - accuracy[i], *ends(i + 1, i)) for i in range(5)]
    assert np.stack(found.changes, axis=1) == pytest.approx(np.array(steps))
    share = count_pairs(correct[:, 0], correct[:, 5], paired=paired).discordant_share
    assert found.smallest_shown == pytest.approx(float(smallest_detectable_difference(share, 400)))


def test_drops_of_different_images_are_less_certain() -> None:
    correct = nested(LATE, 400)
    (_, low, high), (_, wider_low, wider_high) = described(correct).drop, described(correct, paired=False).drop
    assert wider_high - wider_low > high - low


def test_flat_is_shown_by_many_images_and_inconclusive_for_few() -> None:
    assert described(nested(FLAT, 2000)).shape == "flat"
    assert described(nested(FLAT, 2000)).stability > 0.9
    assert described(nested(FLAT, 2000)).curvature is None
    few = described(nested(FLAT, 100))
    assert few.shape == "inconclusive"
    assert few.smallest_shown > ShapeSettings().flat_below, "they could not show such a drop"


def test_where_no_image_changes_it_takes_enough_images_to_call_it_flat() -> None:
    # where all are right Wilson's lower end at 90 % is 2.7055 / (n + 2.7055) below 1: less than .02 from 133 images on
    found = {images: described(np.ones((images, 6), bool)).shape for images in (1, 2, 30, 132, 133, 1000)}
    assert found == {
        1: "inconclusive",
        2: "inconclusive",
        30: "inconclusive",
        132: "inconclusive",
        133: "flat",
        1000: "flat",
    }


@pytest.mark.parametrize("images", [50, 500])
def test_a_curve_that_comes_back_is_not_flat(images: int) -> None:
    found = described(nested(V, images))
    assert found.drop.value == pytest.approx(0)
    assert found.shape == "non_monotone" if images == 500 else found.shape != "flat"
    assert found.largest_change.value == pytest.approx(0.1)


def test_flat_is_contradicted_where_some_severity_is_beyond_the_margin_for_all_curves_together() -> None:
    assert described(nested(FLAT, 2000)).flat == "supported"
    assert described(nested(FLAT, 100)).flat == "inconclusive"
    for curve in (LATE, V, (0.6, 0.65, 0.7, 0.72, 0.78, 0.8)):  # at the end, in between, or above
        assert described(nested(curve, 500)).flat == "contradicted"
    correct = np.ones((200, 3), bool)
    correct[:12, 1] = False  # 6 points at one severity
    counts = count_pairs(correct[:, 0], correct[:, 1])
    ends = {curves: float(newcombe_interval(counts, comparisons=2 * curves)[0]) for curves in (1, 19)}
    assert ends[1] > 0.02 > ends[19], "of many curves some reach as far by chance"
    assert [described(correct, curves=curves).flat for curves in ends] == ["contradicted", "inconclusive"]


def test_a_rise_is_a_class_of_its_own_with_its_place() -> None:
    found = described(nested((0.6, 0.65, 0.7, 0.72, 0.78, 0.8), 500))
    assert (found.shape, found.rise_position, found.curvature) == ("rise", 5, None)
    assert found.rise.low > 0
    assert found.rise.value == pytest.approx(0.2)


def test_a_drop_within_noise_is_inconclusive_and_says_what_could_be_shown() -> None:
    correct = np.ones((60, 3), bool)
    correct[0, 1:] = correct[1, 2] = False
    found = described(correct)
    assert found.drop.value == pytest.approx(2 / 60)
    assert found.drop.low < 0 < found.drop.value < found.smallest_shown
    assert (found.shape, found.curvature) == ("inconclusive", None)


def test_stability_falls_where_the_curvature_is_at_its_threshold() -> None:
    correct, grid = nested((0.9, 0.85, 0.65, 0.4), 400), np.arange(4)  # curvature .15 within sampling noise
    threshold = float(curvature(correct.mean(axis=0), grid)) - 1e-9
    shape = described(correct, settings=ShapeSettings(curvature_threshold=threshold))
    assert 0.3 < shape.stability < 0.8
    assert shape.shares["near_linear"] > 0.2


@pytest.mark.parametrize("grid", [[0, 1], [0, 2, 1]], ids=["two points", "not rising"])
def test_refuses_a_grid_without_shape(grid: list[int]) -> None:
    correct = np.ones((40, len(grid)), bool)
    with pytest.raises(ValueError, match="rising severities"):
        described(correct, grid)


def judged(lost: tuple[float, ...], half_width: float, drop: tuple[float, float], grid: object = GRID) -> str:
    """Of losses of every stride, each with `half_width` to either side, and the ends of the total drop."""
    change = -np.array(lost)
    low, high = drop
    return judge_one_step(change - half_width, change + half_width, Estimate((low + high) / 2, low, high), grid)


def test_a_collapse_in_one_step_by_hand() -> None:
    # of five even steps each has a fifth: a collapse loses at least 2/5 of the upper end of the drop, .4 x .55 = .22
    assert judged((0, 0, 0, 0.1, 0.28), 0.05, (0.45, 0.55)) == "supported"
    assert judged((0, 0, 0, 0.1, 0.26), 0.05, (0.45, 0.55)) == "inconclusive"
    # and is ruled out where no step loses 2/5 of the lower end, .4 x .45 = .18
    assert judged((0.1, 0.1, 0.1, 0.1, 0.12), 0.05, (0.45, 0.55)) == "contradicted"
    assert judged((0.1, 0.1, 0.1, 0.1, 0.14), 0.05, (0.45, 0.55)) == "inconclusive"
    # nothing is said of a curve that does not fall
    assert judged((0.1, 0.1, 0.1, 0.1, 0.3), 0.0, (-0.01, 0.1)) == "inconclusive"


def test_a_wide_step_has_to_lose_more() -> None:
    # from severity 1 to 3 on a grid to 5 an even fall loses 2/5, so a collapse 4/5
    grid = [0, 1, 3, 4, 5]
    assert judged((0.02, 0.42, 0.02, 0.02), 0.0, (0.5, 0.5), grid) == "supported"
    assert judged((0.02, 0.38, 0.05, 0.05), 0.0, (0.5, 0.5), grid) == "contradicted"
    assert judged((0.02, 0.22, 0.22, 0.02), 0.0, (0.5, 0.5), grid) == "supported", "the narrow one does"


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1), st.floats(0, 0.2), st.floats(0.01, 0.9))
def test_three_points_never_support_a_collapse(first: float, half_width: float, drop: float) -> None:
    lost = (first * drop, (1 - first) * drop)
    for grid in ([0, 1, 2], [0, 2, 5], [0, 0.5, 1]):
        one_sided = (
            grid == [0, 2, 5] and first * drop - half_width >= 0.8 * drop
        )  # its first step is less than half of it
        assert (judged(lost, half_width, (drop, drop), grid) == "supported") == one_sided


def test_a_dense_grid_is_judged_by_strides_of_one_severity() -> None:
    dense = np.arange(21) / 4
    for curve, expected in ((LATE, "supported"), (LINE, "contradicted")):
        on_lines = tuple(np.interp(dense, GRID, curve))
        assert described(nested(on_lines, 2000), dense, 20).one_step == expected
        assert described(nested(curve, 2000), GRID, 20).one_step == expected


def test_straight_lines_are_hardly_ever_called_a_collapse() -> None:
    for images, line in ((500, (0.9, 0.89, 0.88, 0.87, 0.86, 0.85)), (200, LINE)):
        verdicts = [described(scattered(line, images, seed), resamples=2).one_step for seed in range(60)]
        assert verdicts.count("supported") <= 3
