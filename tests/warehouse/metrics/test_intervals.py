"""Intervals of one cell: SciPy's exact test, closed forms, symmetry, and how often drawn samples' hold the truth."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from failmodes.warehouse.metrics import intervals
from failmodes.warehouse.metrics.intervals import (
    auroc_interval,
    exact_interval,
    image_weights,
    interval_of_mean,
    kept_weights,
    mean_with_made_up,
    normal_quantile,
    quantile_interval,
    weights_in_chunks,
    wilson_interval,
)

LEVELS = pytest.mark.parametrize(("level", "comparisons"), [(0.95, 1), (0.9, 1), (0.95, 7), (0.6827, 1)])
COUNTS = [(0, 1), (1, 1), (0, 30), (30, 30), (1, 30), (17, 30), (500, 10_000)]


@LEVELS
def test_normal_quantiles_are_scipys(level: float, comparisons: int) -> None:
    assert normal_quantile(level, comparisons) == pytest.approx(norm.ppf(1 - (1 - level) / 2 / comparisons))


@LEVELS
@pytest.mark.parametrize(("correct", "count"), COUNTS)
def test_exact_intervals_are_scipys(correct: int, count: int, level: float, comparisons: int) -> None:
    found = exact_interval(correct, count, level=level, comparisons=comparisons)
    expected = binomtest(correct, count).proportion_ci(1 - (1 - level) / comparisons, "exact")
    assert [float(end) for end in found] == pytest.approx(list(expected))


@LEVELS
@pytest.mark.parametrize(("correct", "count"), COUNTS)
def test_wilson_intervals_are_scipys_and_where_the_score_is_the_quantile(
    correct: int, count: int, level: float, comparisons: int
) -> None:
    found = [float(end) for end in wilson_interval(correct / count, count, level=level, comparisons=comparisons)]
    expected = binomtest(correct, count).proportion_ci(1 - (1 - level) / comparisons, "wilson")
    assert found == pytest.approx(list(expected), abs=1e-12)
    z = normal_quantile(level, comparisons)
    for end in found:
        assert (correct / count - end) ** 2 == pytest.approx(z**2 * end * (1 - end) / count, abs=1e-12)


def test_intervals_take_arrays() -> None:
    shares, counts = np.array([[0.1, 0.5], [0.9, 1.0]]), np.array([[10, 20], [30, 40]])
    for one, other in zip(wilson_interval(shares, counts), exact_interval(shares * counts, counts), strict=True):
        assert one.shape == other.shape == (2, 2)


@given(st.floats(0, 1), st.integers(1, 400), st.integers(1, 400))
@settings(max_examples=80, deadline=None)
def test_auroc_intervals_hold_their_value_and_are_symmetric(area: float, failures: int, correct: int) -> None:
    low, high = auroc_interval(area, failures, correct)
    assert 0 <= low <= area <= high <= 1
    assert auroc_interval(1 - area, failures, correct) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    assert auroc_interval(area, correct, failures) == pytest.approx((low, high), abs=1e-9)
    wide = auroc_interval(area, failures, correct, comparisons=10)
    assert wide[0] <= low + 1e-12
    assert high <= wide[1] + 1e-12


def test_the_auroc_of_a_half_has_the_rank_sums_error() -> None:
    """At the end where the truth would be one half, the score is that of the rank sum test without ties."""
    failures, correct = 20, 50
    area = 0.5 + normal_quantile() * np.sqrt((failures + correct + 1) / 12 / failures / correct)
    assert auroc_interval(area, failures, correct)[0] == pytest.approx(0.5, abs=0.003)


@pytest.mark.parametrize(("failures", "correct"), [(5, 95), (30, 70)])
@pytest.mark.parametrize("gap", [0.0, 1.0, 2.0])
def test_auroc_intervals_hold_the_truth_as_often_as_they_say(gap: float, failures: int, correct: int) -> None:
    rng = np.random.default_rng(0)
    truth, held = norm.cdf(gap / np.sqrt(2)), 0
    failed = np.arange(failures + correct) < failures
    for _ in range(300):
        uncertain = rng.normal(size=failures + correct) + gap * failed
        area = (uncertain[failed][:, None] > uncertain[~failed]).mean()
        low, high = auroc_interval(float(area), failures, correct)
        held += low <= truth <= high
    assert held >= 0.92 * 300


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_quantile_intervals_hold_the_quantile_as_often_as_they_say(share: float) -> None:
    rng = np.random.default_rng(1)
    truth = norm.ppf(share)
    for level in (0.8, 0.95):
        ends = np.array([quantile_interval(rng.normal(size=200), share, level=level) for _ in range(400)])
        held = np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1]))
        assert level - 0.03 <= held <= level + 0.09, "between two whole ranks there is none"


def test_quantile_intervals_are_order_statistics_whose_chance_is_binomial() -> None:
    values = np.random.default_rng(2).permutation(100).astype(float)
    low, high = quantile_interval(values, 0.5)
    assert (low, high) == (40, 60)
    chance = sum(comb(100, below) for below in range(int(low) + 1, int(high) + 1)) / 2**100
    assert chance > 0.95
    assert quantile_interval([3.0], 0.5) == (3, 3)
    assert quantile_interval([1.0, 2.0, 3.0], 0.5) == (1, 3)


def test_made_up_images_are_as_if_they_were_there() -> None:
    values = np.random.default_rng(3).random(50)
    center, variance = mean_with_made_up(values, -1, 2)
    both = np.append(values, [-1, 2])
    assert center == pytest.approx(both.mean())
    assert variance == pytest.approx(both.var() / 52)
    assert mean_with_made_up(values, -1, 2, added=0) == pytest.approx((values.mean(), values.var() / 50))


@LEVELS
def test_intervals_of_means_are_normal_with_what_is_made_up(level: float, comparisons: int) -> None:
    values = np.random.default_rng(4).random(80)
    value, low, high = interval_of_mean(values, (0, 1), level=level, comparisons=comparisons, added=1)
    both = np.append(values, [0, 1])
    half = norm.ppf(1 - (1 - level) / 2 / comparisons) * both.std() / np.sqrt(82)
    assert value == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((min(value, both.mean()) - half, max(value, both.mean()) + half))


@pytest.mark.parametrize("truth", [0.5, 0.95, 0.99])
def test_intervals_of_shares_as_means_hold_the_truth(truth: float) -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        _, low, high = interval_of_mean((rng.random(100) < truth).astype(float), (0, 1), added=1)
        held += low <= truth <= high
    assert held >= 0.93 * 400


def test_each_resample_draws_as_many_images_as_there_are() -> None:
    weights = image_weights(50, 30, 0)
    assert weights.shape == (30, 50)
    assert weights.dtype == np.float32
    assert (weights.sum(1) == 50).all()
    assert (weights >= 0).all()
    assert weights.flags.f_contiguous, "draws of one image lie side by side"


def test_counts_are_multinomial() -> None:
    weights = image_weights(40, 20_000, 1)
    assert weights.mean(0) == pytest.approx(np.ones(40), abs=0.05)
    assert weights.var(0) == pytest.approx(np.full(40, 39 / 40), rel=0.08)
    assert np.cov(weights[:, 0], weights[:, 1])[0, 1] == pytest.approx(-1 / 40, abs=0.03)


def test_a_seed_gives_the_same_weights() -> None:
    assert (image_weights(20, 5, 3) == image_weights(20, 5, 3)).all()
    assert (image_weights(20, 5, 3) != image_weights(20, 5, 4)).any()
    assert (image_weights(20, 5, 3) == image_weights(20, 9, 3)[:5]).all()
    assert kept_weights(20, 5, 3) is kept_weights(20, 5, 3)
    assert (kept_weights(20, 5, 3) == image_weights(20, 5, 3)).all()


def test_groups_are_drawn_whole() -> None:
    groups = np.array([0, 1, 0, 2, 0])
    weights = kept_weights(5, 40, 3, groups)
    assert weights.flags.f_contiguous
    assert (weights == image_weights(3, 40, 3)[:, groups]).all()
    assert kept_weights(5, 40, 3, groups.copy()) is weights


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = image_weights(20, 10, 0)
    monkeypatch.setattr(intervals, "CHUNK_WEIGHTS", 60)
    chunks = [*weights_in_chunks(20, 10, np.random.default_rng(0))]
    assert [len(chunk) for chunk in chunks] == [3, 3, 3, 1]
    assert (np.concatenate(chunks) == whole).all()
