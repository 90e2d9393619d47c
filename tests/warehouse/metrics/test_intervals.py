"""Intervals of one cell: SciPy's, Newcombe's by root finding, closed forms, and how often they hold the truth."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binom, binomtest, norm, skew

from failmodes.warehouse.metrics.intervals import (
    auroc_interval,
    deviations,
    exact_interval,
    image_weights,
    interval_of_mean,
    kept_weights,
    mean_with_pseudo_images,
    normal_quantile,
    quantile_interval,
    skewness_of_mean,
    wilson_interval,
)

LEVELS = pytest.mark.parametrize(("level", "comparisons"), [(0.95, 1), (0.9, 1), (0.95, 7)])


@LEVELS
@pytest.mark.parametrize(("correct", "count"), [(0, 1), (1, 1), (0, 30), (30, 30), (17, 30), (500, 10_000)])
def test_intervals_of_shares_are_scipys(correct: int, count: int, level: float, comparisons: int) -> None:
    given = {"level": level, "comparisons": comparisons}
    for method, found in (
        ("exact", exact_interval(correct, count, **given)), ("wilson", wilson_interval(correct / count, count, **given))
    ):  # fmt: skip
        expected = binomtest(correct, count).proportion_ci(1 - (1 - level) / comparisons, method)
        assert [float(end) for end in found] == pytest.approx(list(expected), abs=1e-12)
    assert normal_quantile(**given) == pytest.approx(norm.ppf(1 - (1 - level) / 2 / comparisons))


@given(st.floats(0.001, 0.999), st.integers(1, 400), st.integers(1, 400))
@settings(max_examples=80)
def test_auroc_intervals_are_newcombes_by_root_finding(area: float, failures: int, correct: int) -> None:
    """Method 5 of Newcombe 2006: the true areas from which this one lies within 1.96 of their standard errors."""

    def off(end: float) -> float:
        spread = 1 + ((failures + correct) / 2 - 1) * ((1 - end) / (2 - end) + end / (1 + end))
        return abs(area - end) - norm.ppf(0.975) * (end * (1 - end) * spread / (failures * correct)) ** 0.5

    ends = (
        float(brentq(off, 0, area)) if off(1e-9) > 0 else 0.0,
        float(brentq(off, area, 1)) if off(1 - 1e-9) > 0 else 1.0,
    )
    assert auroc_interval(area, failures, correct) == pytest.approx(ends, abs=1e-6)


@pytest.mark.parametrize("share", [0.05, 0.5])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_quantile_intervals_hold_the_quantile_as_often_as_they_say(share: float, level: float) -> None:
    rng = np.random.default_rng(1)
    ends = np.array([quantile_interval(rng.normal(size=200), share, level=level) for _ in range(400)])
    held = np.mean((ends[:, 0] <= norm.ppf(share)) & (norm.ppf(share) <= ends[:, 1]))
    assert level - 0.03 <= held <= level + 0.09, "between two whole ranks there is none"


def test_quantile_intervals_are_order_statistics_whose_chance_is_binomial() -> None:
    low, high = quantile_interval(np.random.default_rng(2).permutation(100).astype(float), 0.5)
    assert (low, high) == (39, 60)
    assert sum(comb(100, below) for below in range(41, 61)) / 2**100 > 0.95
    assert quantile_interval(np.array([1.0, 2.0, 3.0]), 0.5, (0, 5)) == (0, 5)
    assert quantile_interval(np.arange(150.0), 0.025, (-1, 200)) == (0, binom.ppf(0.975, 150, 0.025))
    assert quantile_interval(np.arange(140.0), 0.025, (-1, 200))[0] == -1  # .975 ** 140 > .025


@pytest.mark.parametrize("sign", [1, -1])
def test_ends_of_skewed_means_are_where_halls_transformation_is_the_normal_quantile(sign: int) -> None:
    values = sign * np.random.default_rng(5).exponential(size=100)
    skewness = skewness_of_mean(values)
    assert skewness == pytest.approx(skew(values) / 10)
    value, low, high = interval_of_mean(values)
    for t, quantile in (((value - low), norm.ppf(0.975)), (value - high, norm.ppf(0.025))):
        errors = t / (values.std(ddof=1) / 10)
        transformed = errors + skewness / 3 * errors**2 + skewness**2 / 27 * errors**3 + skewness / 6
        assert transformed == pytest.approx(quantile)
    assert deviations(1.5, 0.0) == 1.5


@LEVELS
def test_intervals_of_means_are_normal_with_pseudo_images(level: float, comparisons: int) -> None:
    values = np.random.default_rng(4).random(80)
    value, low, high = interval_of_mean(values, (0, 1), level=level, comparisons=comparisons, pseudo_images=1)
    both = np.append(values, [0, 1])
    half = norm.ppf(1 - (1 - level) / 2 / comparisons) * both.std() / np.sqrt(82)
    assert (low, high) == pytest.approx((min(value, both.mean()) - half, max(value, both.mean()) + half))
    assert mean_with_pseudo_images(values, -1, 2, pseudo_images=0) == pytest.approx((values.mean(), values.var() / 80))


def test_weights_are_multinomial_counts_of_as_many_images_as_there_are() -> None:
    weights = image_weights(40, 20_000, 1)
    assert (weights.shape, weights.dtype) == ((20_000, 40), np.float32)
    assert (weights.sum(1) == 40).all()
    assert weights.flags.f_contiguous, "draws of one image lie side by side"
    assert weights.mean(0) == pytest.approx(np.ones(40), abs=0.05)
    assert weights.var(0) == pytest.approx(np.full(40, 39 / 40), rel=0.08)
    assert np.cov(weights[:, 0], weights[:, 1])[0, 1] == pytest.approx(-1 / 40, abs=0.03)


def test_a_seed_gives_the_same_weights() -> None:
    whole = image_weights(20, 10, 0)
    assert (whole[:5] == image_weights(20, 5, 0)).all()
    assert (whole != image_weights(20, 10, 4)).any()
    assert (kept_weights(20, 10, 0) == whole).all()


def test_groups_are_drawn_whole() -> None:
    groups = np.array([0, 1, 0, 2, 0])
    assert (kept_weights(5, 40, 3, groups) == image_weights(3, 40, 3)[:, groups]).all()
