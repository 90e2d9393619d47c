"""Ranks with intervals, against ranks by hand and all pairs looked at one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from failmodes.analysis.statistics.rank_intervals import errors_of_pairs, quantiles_of_pairs, rank_intervals


def test_ranks_by_hand() -> None:
    found = rank_intervals([0.1, 0.5, 0.45, 0.1], np.full((4, 4), 0.1), 1.0)
    assert found.rank.tolist() == [3, 1, 2, 3], "equal values share a rank"
    assert found.low.tolist() == [3, 1, 1, 3]
    assert found.high.tolist() == [4, 2, 2, 4]


def test_shares_that_were_added_up_in_another_order_are_equal() -> None:
    assert rank_intervals([0.1 + 0.2, 0.3, 0.2], np.full((3, 3), 0.01), 1.0).rank.tolist() == [1, 1, 3]


def test_one_alone_is_the_first() -> None:
    found = rank_intervals([0.3], [[0.0]], 3.0)
    assert [part.tolist() for part in found] == [[1], [1], [1]]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 20), min_size=2, max_size=7),
    st.floats(0.01, 6),
)
def test_all_pairs_looked_at_one_by_one(numbers: list[int], half: float) -> None:
    found = rank_intervals(numbers, np.ones((len(numbers), len(numbers))), half)
    for place, own in enumerate(numbers):
        larger = [other - own > half for other in numbers]
        smaller = [own - other > half for other in numbers]
        assert found.low[place] == 1 + sum(larger)
        assert found.high[place] == len(numbers) - sum(smaller)
        assert found.low[place] <= found.rank[place] <= found.high[place]


def test_errors_are_those_of_paired_differences_with_two_made_up_images() -> None:
    values = np.random.default_rng(0).random((40, 3)) < [0.9, 0.5, 0.3]
    errors = errors_of_pairs(values)
    for first in range(3):
        for second in range(3):
            differences = [*(values[:, first].astype(float) - values[:, second]), 1, -1]
            assert errors[first, second] == pytest.approx(np.std(differences) / 42**0.5)


def test_quantiles_hold_for_all_pairs() -> None:
    found = quantiles_of_pairs(np.array([[50, 10], [10, 10]]))
    assert found == pytest.approx(
        np.array([[stats.t.ppf(0.975, 49), stats.t.ppf(0.975, 9)], [stats.t.ppf(0.975, 9)] * 2])
    )
    assert quantiles_of_pairs(np.full((4, 4), 30), 0.9)[0, 1] == pytest.approx(stats.t.ppf(1 - 0.05 / 6, 29))
