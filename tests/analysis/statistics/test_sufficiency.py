"""The smallest difference that images show, against Connor's formula and simulated differences."""

import numpy as np
import pytest

from failmodes.analysis.statistics.shares import count_pairs, newcombe_interval, smallest_detectable_difference
from failmodes.analysis.statistics.sufficiency import difference_shown


def test_it_is_connors_to_the_first_order() -> None:
    rng = np.random.default_rng(0)
    first = rng.random(2000) < 0.9
    counts = count_pairs(first, first ^ (rng.random(2000) < 0.1))
    low, high = newcombe_interval(counts)
    expected = float(smallest_detectable_difference(counts.discordant_share, 2000))
    assert float(difference_shown(low, high)) == pytest.approx(expected, rel=0.1)


def test_such_a_difference_is_shown_in_four_of_five_samples() -> None:
    rng, error = np.random.default_rng(1), 0.01
    least = float(difference_shown(-1.959964 * error, 1.959964 * error))
    shown = np.abs(least + error * rng.standard_normal(20_000)) > 1.959964 * error
    assert shown.mean() == pytest.approx(0.8, abs=0.01)


def test_intervals_that_hold_together_show_less() -> None:
    one, ten = (float(difference_shown(-0.02, 0.02, comparisons=count)) for count in (1, 10))
    assert one == pytest.approx(0.02 * (1 + 0.8416 / 1.96), rel=1e-3)
    assert ten == pytest.approx(0.02 * (1 + 0.8416 / 2.807), rel=1e-3)
