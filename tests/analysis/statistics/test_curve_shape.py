"""Degradation shapes: curvature, steps and classes of known curves by hand, by property, and on published curves."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from failmodes.analysis.statistics.curve_shape import (
    SHAPE_CLASSES,
    Margins,
    ShapeSettings,
    chord,
    classify,
    curvature,
    largest_step,
    stride_changes,
    stride_ends,
    total_drop,
)

GRID = np.arange(6)


def margins(steps: int, *, drop: float = 0, equivalence: float = 0, strides: float = 0) -> Margins:
    """The same margin to either side of every figure of a kind."""
    return Margins(np.full(2, drop), np.full((2, steps), equivalence), np.full((2, steps), strides))


NO_MARGIN = margins(5)


def class_of(curve: object, grid: object = GRID, margin: Margins = NO_MARGIN, **thresholds: float) -> str:
    return SHAPE_CLASSES[int(classify(curve, grid, margin, ShapeSettings(**thresholds)))]


class Case(NamedTuple):
    name: str
    curve: tuple[float, ...]
    shape: str


CASES = (
    Case("late", (0.95, 0.94, 0.93, 0.91, 0.85, 0.45), "late_collapse"),
    Case("linear", (0.95, 0.85, 0.75, 0.65, 0.55, 0.45), "near_linear"),
    Case("early", (0.95, 0.60, 0.52, 0.50, 0.48, 0.45), "early_drop"),
    Case("flat", (0.95, 0.95, 0.94, 0.95, 0.94, 0.94), "flat"),
    Case("rises_overall", (0.80, 0.82, 0.83, 0.84, 0.85, 0.86), "rise"),
    Case("zigzag", (0.95, 0.70, 0.55, 0.75, 0.60, 0.40), "non_monotone"),
    Case("small_rise_is_no_rise", (0.95, 0.80, 0.815, 0.65, 0.55, 0.45), "near_linear"),
    Case("falls_and_comes_back", (0.95, 0.80, 0.60, 0.70, 0.85, 0.95), "non_monotone"),
    Case("rises_and_comes_back", (0.60, 0.75, 0.90, 0.80, 0.70, 0.60), "non_monotone"),
    Case("rises_then_falls_below", (0.60, 0.65, 0.70, 0.50, 0.40, 0.30), "non_monotone"),
    Case("drifts_off_and_back_in_small_steps", (0.95, 0.935, 0.92, 0.905, 0.92, 0.935), "inconclusive"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_class_of_known_curves(case: Case) -> None:
    assert class_of(case.curve) == case.shape


def test_thresholds_belong_to_late_and_early() -> None:
    step = np.array([1.0, 0.5 + 0.15, 0.0])  # one inner point, curvature exactly .15
    for curve, shape in ((step, "late_collapse"), (np.array([1.0, 0.35, 0.0]), "early_drop")):
        assert class_of(curve, [0, 1, 2], margins(2), curvature_threshold=0.15 - 1e-12) == shape
        assert class_of(curve, [0, 1, 2], margins(2), curvature_threshold=0.15 + 1e-12) == "near_linear"


def test_what_is_not_significant_is_not_said() -> None:
    falling, zigzag, rising = (0.9, 0.88, 0.85), (0.9, 0.4, 0.5), (0.8, 0.85, 0.86)
    assert class_of(falling, [0, 1, 2], margins(2)) == "near_linear"
    assert class_of(falling, [0, 1, 2], margins(2, drop=0.06)) == "inconclusive"
    assert class_of(zigzag, [0, 1, 2], margins(2)) == "non_monotone"
    assert class_of(zigzag, [0, 1, 2], margins(2, strides=0.2)) == "early_drop"
    assert class_of(rising, [0, 1, 2], margins(2)) == "rise"
    assert class_of(rising, [0, 1, 2], margins(2, drop=0.07)) == "inconclusive"


def test_flat_needs_every_severity_within_the_margin_with_its_whole_interval() -> None:
    level = (0.9, 0.9, 0.9)
    assert class_of(level, [0, 1, 2], margins(2, equivalence=0.0199)) == "flat"
    assert class_of(level, [0, 1, 2], margins(2, equivalence=0.02)) == "inconclusive", (
        "absence of evidence is no evidence"
    )
    assert class_of(level, [0, 1, 2], margins(2, equivalence=0.02), flat_below=0.03) == "flat"
    for inner in (0.885, 0.915):  # the end points alone say nothing
        assert class_of((0.9, inner, 0.9), [0, 1, 2], margins(2, equivalence=0.004)) == "flat"
        assert class_of((0.9, inner, 0.9), [0, 1, 2], margins(2, equivalence=0.006)) == "inconclusive"
    one_sided = Margins(np.zeros(2), np.array([[0, 0], [0.03, 0.03]]), np.zeros((2, 2)))
    assert class_of(level, [0, 1, 2], one_sided) == "inconclusive"
    one_sided = Margins(np.zeros(2), np.array([[0.03, 0.03], [0, 0]]), np.zeros((2, 2)))
    assert class_of(level, [0, 1, 2], one_sided) == "inconclusive", "a rise is a change too"


def test_a_drop_is_significant_by_its_lower_and_a_rise_by_its_upper_margin() -> None:
    to_below = Margins(np.array([0.2, 0]), np.ones((2, 2)), np.zeros((2, 2)))
    to_above = Margins(np.array([0, 0.2]), np.ones((2, 2)), np.zeros((2, 2)))
    assert class_of((0.9, 0.85, 0.8), [0, 1, 2], to_below) == "inconclusive"
    assert class_of((0.9, 0.85, 0.8), [0, 1, 2], to_above) == "near_linear"
    assert class_of((0.8, 0.85, 0.9), [0, 1, 2], to_below) == "rise"
    assert class_of((0.8, 0.85, 0.9), [0, 1, 2], to_above) == "inconclusive"


def test_curvature_by_hand_on_an_uneven_grid() -> None:
    # chord from 1.0 to 0.0 over severity 0-4: 0.75 at 1, 0.5 at 2; heights .15 and .25, which stand for 1 and 1.5
    # severities: (.15 + .375) / 2.5; drop 1
    assert curvature([1.0, 0.9, 0.75, 0.0], [0, 1, 2, 4]) == pytest.approx(0.21)
    assert chord([1.0, 0.9, 0.75, 0.0], [0, 1, 2, 4]) == pytest.approx([1, 0.75, 0.5, 0])


def test_curvature_of_a_straight_line_is_zero_on_any_grid() -> None:
    grid = np.array([0, 0.25, 1, 2.5, 5])
    assert curvature(0.9 - 0.1 * grid, grid) == pytest.approx(0, abs=1e-12)


def test_largest_step_and_its_place() -> None:
    step = largest_step([[0.9, 0.8, 0.3, 0.3], [0.9, 0.5, 0.1, 0.0]], [0, 1, 2, 3])
    assert step.lost == pytest.approx([0.5, 0.4])
    assert step.start.tolist() == [1, 0]
    assert step.end.tolist() == [2, 1]


DENSE = np.arange(21) / 4


def test_strides_of_a_grid() -> None:
    assert stride_ends(GRID).tolist() == [1, 2, 3, 4, 5]
    assert stride_ends([0, 0.5, 1, 1.5, 2.5, 5]).tolist() == [2, 3, 3, 4, 5]
    assert (DENSE[stride_ends(DENSE)] - DENSE[:-1]).tolist() == [1.0] * 17 + [0.75, 0.5, 0.25]
    assert stride_changes([0.9, 0.8, 0.6, 0.5], [0, 0.5, 1, 3]) == pytest.approx([-0.3, -0.2, -0.1])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_dense_grid_on_the_same_lines_gives_the_same_class_and_collapse(case: Case) -> None:
    dense = np.interp(DENSE, GRID, case.curve)
    assert class_of(dense, DENSE, margins(20)) == case.shape
    published, found = largest_step(case.curve, GRID), largest_step(dense, DENSE)
    if published.lost > 0:
        assert found.lost == pytest.approx(float(published.lost))
    if case.shape in ("late_collapse", "early_drop"):  # one step that is larger than all others
        assert (DENSE[found.start], DENSE[found.end]) == (GRID[published.start], GRID[published.end])


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, 6, elements=st.floats(0, 1, allow_subnormal=False)))
def test_on_even_grids_the_curvature_is_the_plain_mean_to_the_last_bit(curve: np.ndarray) -> None:
    if abs(total_drop(curve)) < 1e-9:  # of no number of images; a quotient may overflow
        return
    for step in (1, 0.25):
        above = (curve - chord(curve, GRID * step))[1:-1].mean()
        assert curvature(curve, GRID * step) == above / total_drop(curve)


def test_a_cluster_of_points_does_not_outvote_the_rest() -> None:
    def curve(grid: np.ndarray) -> np.ndarray:
        return 1 - (grid / 5) ** 2

    even, clustered = np.arange(21) / 4, np.concatenate([np.arange(20) / 20, [1, 2, 3, 4, 5]])
    plain = (curve(clustered) - chord(curve(clustered), clustered))[1:-1].mean()
    target = float(curvature(curve(even), even))
    assert abs(float(curvature(curve(clustered), clustered)) - target) < 0.02 < abs(plain - target)


def test_no_drop_has_no_curvature() -> None:
    assert np.isnan(curvature([0.5, 0.4, 0.5], [0, 1, 2]))


curves = arrays(np.float64, 6, elements=st.floats(0, 1, width=32))


@settings(max_examples=50, deadline=None)
@given(curves, st.floats(0.1, 0.9), st.floats(-0.05, 0.05))
def test_curvature_ignores_scale_and_offset(curve: np.ndarray, scale: float, offset: float) -> None:
    if abs(total_drop(curve)) < 0.01:
        return
    assert curvature(curve * scale + offset, GRID) == pytest.approx(float(curvature(curve, GRID)), abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(curves)
def test_mirrored_curve_has_the_opposite_curvature(curve: np.ndarray) -> None:
    if abs(total_drop(curve)) < 0.01:
        return
    mirrored = (curve[0] + curve[-1]) - curve[::-1]  # turned about the middle of its chord
    assert curvature(mirrored, GRID) == pytest.approx(-float(curvature(curve, GRID)), abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(curves, st.floats(0, 0.3))
def test_classes_keep_to_what_they_say(curve: np.ndarray, margin: float) -> None:
    assert np.diff(curve).sum() == pytest.approx(-total_drop(curve))
    assert largest_step(curve, GRID).lost >= total_drop(curve) / 5 - 1e-12
    found, drop = class_of(curve, GRID, margins(5, drop=margin, equivalence=margin, strides=margin)), total_drop(curve)
    least = ShapeSettings().flat_below
    if found == "flat":
        assert np.abs(curve - curve[0]).max() + margin < least
    if found == "rise":
        assert -drop >= max(least, margin)
    if found in ("late_collapse", "early_drop", "near_linear"):
        assert drop >= max(least, margin)
    if found == "non_monotone":
        assert np.diff(curve).max() > max(least, margin)


def test_vectorized_equals_one_by_one() -> None:
    many = np.random.default_rng(0).random((40, 6))
    together = classify(many, GRID, NO_MARGIN, ShapeSettings())
    assert [SHAPE_CLASSES[code] for code in together] == [class_of(one) for one in many]


PUBLISHED_CURVATURE = {
    "fog": 0.39, "contrast": 0.38, "defocus_blur": 0.35, "brightness": 0.29, "pixelate": 0.21, "shot_noise": 0.01,
    "impulse_noise": 0.02, "motion_blur": 0.03, "gaussian_noise": -0.14, "jpeg_compression": -0.11,
    "glass_blur": -0.36,
}  # fmt: skip


@pytest.mark.data
@pytest.mark.parametrize(("corruption", "expected"), PUBLISHED_CURVATURE.items(), ids=list(PUBLISHED_CURVATURE))
def test_curvature_of_the_published_standard_model(real_data: Path, corruption: str, expected: float) -> None:
    rows = list(csv.reader((real_data / "robustbench" / "cifar10_corruptions_unaggregated.csv").open()))
    standard = next(row for row in rows if row[0] == "Standard")
    levels = {int(s): float(v) for c, s, v in zip(rows[0], rows[1], standard, strict=True) if c == corruption}
    clean = list(csv.DictReader((real_data / "robustbench" / "cifar10_corruptions_clean.csv").open()))
    start = next(float(row["clean_accuracy_percent"]) / 100 for row in clean if row["model"] == "Standard")
    assert curvature([start, *(levels[s] for s in range(1, 6))], GRID) == pytest.approx(expected, abs=0.005)
