"""Two shares: Newcombe's and Wilson's intervals as published, McNemar's test, Holm's correction, what can be shown."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from failmodes.analysis.statistics.shares import (
    PairedCounts,
    count_pairs,
    difference_of_groups,
    discoveries,
    exact_mcnemar,
    holm,
    newcombe_interval,
    smallest_detectable_difference,
)

FourCounts = tuple[int, int, int, int]
FEW = st.integers(0, 60)
FOUR = st.tuples(FEW, FEW, FEW, FEW).filter(any)


def counts_of(four: FourCounts, *, paired: bool = True) -> PairedCounts:
    """Both right, only the first, only the second, neither."""
    one, two, three, none = (np.array(float(count)) for count in four)
    return PairedCounts(one, two, three, none, paired)


def interval(four: FourCounts, *, paired: bool = True, comparisons: int = 1, level: float = 0.95) -> list[float]:
    ends = newcombe_interval(counts_of(four, paired=paired), comparisons=comparisons, level=level)
    return [float(end) for end in ends]


def wilson_by_roots(correct: int, count: int, z: float) -> tuple[float, float]:
    """Where a share p lies z standard errors, of p itself, from the one that was seen: a quadratic equation in p."""
    low, high = sorted(np.roots([count + z**2, -(2 * correct + z**2), correct**2 / count]).real)
    return float(low), float(high)


def newcombe_by_hand(four: FourCounts, z: float) -> tuple[float, float]:
    """Method 10 as Newcombe (1998) writes it: delta and epsilon of Wilson's limits, and phi with its correction."""
    a, b, c, d = four
    n = a + b + c + d
    (low_1, high_1), (low_2, high_2) = (wilson_by_roots(correct, n, z) for correct in (a + b, a + c))
    top = a * d - b * c
    if top > 0:
        top = max(top - n / 2, 0)
    root = ((a + b) * (c + d) * (a + c) * (b + d)) ** 0.5
    phi = top / root if root else 0.0
    one = (a + b) / n
    two = (a + c) / n
    delta_2 = (one - low_1) ** 2 - 2 * phi * (one - low_1) * (high_2 - two) + (high_2 - two) ** 2
    epsilon_2 = (two - low_2) ** 2 - 2 * phi * (two - low_2) * (high_1 - one) + (high_1 - one) ** 2
    return one - two - max(delta_2, 0) ** 0.5, one - two + max(epsilon_2, 0) ** 0.5


@pytest.mark.parametrize(
    ("four", "digits", "published"),
    [
        ((36, 12, 2, 0), 4, (0.0569, 0.3404)),  # Newcombe 1998, Statistics in Medicine 17, 2635-2650, table II
        ((54, 0, 0, 0), 4, (-0.0664, 0.0664)),  # where nobody differs: Wilson's 3.84 / (54 + 3.84)
        ((1, 1, 7, 12), 3, (-0.507, -0.026)),  # Fagerland, Lydersen and Laake 2014, airway hyper-responsiveness
    ],
)
def test_paired_intervals_are_the_published_ones(four: FourCounts, digits: int, published: tuple[float, float]) -> None:
    assert [round(end, digits) for end in interval(four)] == list(published)


@pytest.mark.parametrize("groups", [(56, 70, 48, 80), (9, 10, 3, 10), (5, 56, 0, 29), (10, 10, 0, 20)])
def test_intervals_of_different_images_combine_the_exact_limits_of_both(groups: FourCounts) -> None:
    correct = (groups[0], groups[2])
    counts = (groups[1], groups[3])
    one, other = (stats.binomtest(*own).proportion_ci(0.95, "exact") for own in zip(correct, counts, strict=True))
    shares = correct[0] / counts[0], correct[1] / counts[1]
    below, above = (np.hypot(*parts) for parts in (
        (shares[0] - one.low, other.high - shares[1]), (one.high - shares[0], shares[1] - other.low)
    ))  # fmt: skip
    ends = [float(end) for end in difference_of_groups(shares, counts)]
    assert ends == pytest.approx([shares[0] - shares[1] - below, shares[0] - shares[1] + above])
    if counts[0] == counts[1]:
        four = (0, *correct, counts[0] - sum(correct))  # how they go together plays no part
        assert interval(four, paired=False) == pytest.approx(ends)


@settings(max_examples=100)
@given(FOUR, st.sampled_from([(1, 0.95), (20, 0.95), (1, 0.9)]))
def test_paired_intervals_are_those_of_the_formula_by_hand(four: FourCounts, how: tuple[int, float]) -> None:
    comparisons, level = how
    z = stats.norm.isf((1 - level) / 2 / comparisons)
    expected = newcombe_by_hand(four, z)
    assert interval(four, comparisons=comparisons, level=level) == pytest.approx(expected, abs=1e-7)


def test_pairs_are_counted_image_by_image() -> None:
    first, second = np.random.default_rng(0).random((2, 50, 3)) < 0.6
    found = count_pairs(first, second)
    for cell in range(3):
        pairs = list(zip(first[:, cell], second[:, cell], strict=True))
        expected = [pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))]
        assert [float(part[cell]) for part in found[:4]] == expected
    assert found.difference == pytest.approx(first.mean(axis=0) - second.mean(axis=0))
    assert found.discordant_share == pytest.approx((first != second).mean(axis=0))
    # of different images that of chance: 60 and 80 of 100 are right, .6 x .2 + .8 x .4
    assert float(counts_of((50, 10, 30, 10), paired=False).discordant_share) == pytest.approx(0.44)


@pytest.mark.parametrize(("share", "images"), [(0.1, 200), (0.05, 2000), (0.5, 100)])
def test_the_smallest_difference_solves_connors_equation(share: float, images: int) -> None:
    found = float(smallest_detectable_difference(share, images))
    z_alpha = stats.norm.isf(0.025)
    z_beta = stats.norm.isf(0.2)

    def lacking(d: float) -> float:
        return (z_alpha * share**0.5 + z_beta * (share - d**2) ** 0.5) ** 2 / d**2 - images

    assert found == pytest.approx(optimize.brentq(lacking, 1e-6, share), rel=1e-6)


def test_where_no_image_differs_the_share_is_its_upper_end() -> None:
    upper = stats.binomtest(0, 500).proportion_ci(method="wilson").high
    expected = float(smallest_detectable_difference(upper, 500))
    assert float(smallest_detectable_difference(0.0, 500)) == pytest.approx(expected)
    several = smallest_detectable_difference([0.0, 0.1], 500)
    assert several == pytest.approx([expected, float(smallest_detectable_difference(0.1, 500))])


@settings(max_examples=100)
@given(st.integers(0, 300), st.integers(0, 300))
def test_it_is_the_binomial_test(only_a: int, only_b: int) -> None:
    (found,) = exact_mcnemar([only_a], [only_b])
    total = only_a + only_b
    assert found == pytest.approx(stats.binomtest(only_a, total).pvalue if total else 1, abs=1e-9)


def test_discoveries_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    assert discoveries([], 0.05) == []
    for size in (1, 2, 19, 200):
        for power in (1, 3):  # more or less small p values; rounded ones tie
            p_values = rng.random(size).round(3) ** power
            expected = (stats.false_discovery_control(p_values) <= 0.1).tolist()
            assert discoveries(p_values.tolist(), 0.1) == expected


def test_holm_by_hand() -> None:
    # sorted: .01 x 3 = .03; .02 x 2 = .04; .04 x 1 = .04 (never below a smaller one)
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []
