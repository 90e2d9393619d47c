"""The order in which corruptions and classes break, against costs and ranks worked out image by image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from failmodes.analysis.statistics.failure_order import (
    AT_LAST,
    FEWEST_OF_CLASS,
    ON_AVERAGE,
    quantiles_of_pairs,
    rank_classes,
    rank_corruptions,
    rank_intervals,
)
from failmodes.analysis.statistics.run_rows import RunRows
from failmodes.warehouse.schema import CLEAN

SHARES = {"fog": (0.8, 0.7, 0.2), "contrast": (0.8, 0.5, 0.5), "frost": (0.85, 0.8, 0.5)}
SEVERITIES = (1.0, 2.0, 3.0)


def matrix(images: int = 400, *, paired: bool = True) -> RunRows:
    """Exact shares: the easiest images are right, the same at every severity."""
    order = np.arange(images) / images
    cells = [(CLEAN, 0.0)] + [(name, severity) for name in SHARES for severity in SEVERITIES]
    limits = [0.9] + [share for shares in SHARES.values() for share in shares]
    return RunRows("one", paired, cells, order[:, None] < np.array(limits))


def test_drops_and_ranks_by_hand() -> None:
    last, average = (rank_corruptions(matrix(), list(SHARES), measure, 0.95) for measure in (AT_LAST, ON_AVERAGE))
    assert {name: one.drop.value for name, one in last.items()} == pytest.approx(
        {"fog": 0.7, "contrast": 0.4, "frost": 0.4}
    )
    assert {name: (one.rank, one.rank_low, one.rank_high) for name, one in last.items()} == {
        "fog": (1, 1, 1), "contrast": (2, 2, 3), "frost": (2, 2, 3),
    }  # fmt: skip
    assert average["fog"].drop.value == pytest.approx(0.9 - (0.8 + 0.7 + 0.2) / 3)
    assert [average[name].rank for name in SHARES] == [1, 2, 3]


def test_classes_by_hand() -> None:
    labels = np.repeat([0, 1, 2, 7], [100, 100, 100, FEWEST_OF_CLASS - 1])
    losses = np.select([labels == 0, labels == 1], [0.0, 1.0], 0.97)
    found = rank_classes(losses, labels, 0.95)
    assert list(found) == [0, 1, 2], "a class of too few images has no rank"
    assert [one.drop.value for one in found.values()] == pytest.approx([0, 1, 0.97])
    assert [(one.rank, one.rank_low, one.rank_high) for one in found.values()] == [(3, 3, 3), (1, 1, 2), (2, 1, 2)]
    assert all(one.drop.low < one.drop.value or one.drop.value == 1 for one in found.values())


def test_ranks_by_hand() -> None:
    found = rank_intervals([0.3, 0.5, 0.45, 0.1 + 0.2], np.full((4, 4), 0.1), 1.0)
    assert found.tolist() == [[3, 1, 2, 3], [3, 1, 1, 3], [4, 2, 2, 4]], "equal values share a rank"


@settings(max_examples=50)
@given(
    st.lists(st.integers(0, 20), min_size=2, max_size=7),
    st.floats(0.01, 6),
)
def test_all_pairs_looked_at_one_by_one(numbers: list[int], half: float) -> None:
    rank, low, high = rank_intervals(numbers, np.ones((len(numbers), len(numbers))), half)
    for place, own in enumerate(numbers):
        larger = [other - own > half for other in numbers]
        smaller = [own - other > half for other in numbers]
        assert low[place] == 1 + sum(larger)
        assert high[place] == len(numbers) - sum(smaller)
        assert low[place] <= rank[place] <= high[place]


def test_quantiles_hold_for_all_pairs() -> None:
    few, many = stats.t.ppf(0.975, [9, 49])
    assert quantiles_of_pairs([50, 10]) == pytest.approx(np.array([[many, few], [few, few]]))
    assert quantiles_of_pairs([30] * 4, 0.9)[0, 1] == pytest.approx(stats.t.ppf(1 - 0.05 / 6, 29))


@pytest.mark.parametrize("paired", [True, False])
def test_what_images_show_is_that_of_a_difference_with_two_pseudo_images(paired: bool) -> None:
    made = matrix(60, paired=paired)
    found = rank_corruptions(made, ["fog", "frost"], AT_LAST, 0.95)
    fog, frost = (made.correct[:, made.curves()[name][3.0]] for name in ("fog", "frost"))
    error = np.std([*(fog * 1.0 - frost), 1, -1]) / 62**0.5
    if not paired:
        error = (sum(np.var([*one, 1, 0]) for one in (fog, frost)) / 62) ** 0.5
    shown = (stats.t.ppf(0.975, 59) + stats.norm.ppf(0.8)) * error
    assert [one.smallest_shown for one in found.values()] == pytest.approx([shown, shown])
