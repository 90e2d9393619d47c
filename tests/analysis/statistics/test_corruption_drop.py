"""Costs of corruptions: paired, by the last severity and on average, and the lead of the costliest over every other."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_results import Synthetic

from failmodes.analysis.selection import select_one
from failmodes.analysis.statistics.bootstrap import CorrectnessMatrix
from failmodes.analysis.statistics.claimed_differences import mean_difference_interval
from failmodes.analysis.statistics.model_accuracy import DropRanking, drop_rankings, rank_drops
from failmodes.analysis.statistics.shares import count_pairs, newcombe_interval
from failmodes.warehouse.database.connection import open_warehouse

NAMES = ("fog", "frost", "snow")
CELLS = [(name, severity) for name in NAMES for severity in (1.0, 1.5, 2.0)] + [("none", 0.0)]
COLUMN = {cell: column for column, cell in enumerate(CELLS)}


def made(last: tuple[float, ...], images: int = 400, seed: int = 0, *, paired: bool = True) -> CorrectnessMatrix:
    """Accuracy .9 when clean, and for each name what is left at its last severity; half of the loss before that."""
    rng = np.random.default_rng(seed)
    shares = [0.9 - (0.9 - end) * part for end in last for part in (0.5, 0.5, 1)] + [0.9]
    difficulty = 0.7 * rng.random((images, 1)) + 0.3 * rng.random((images, len(CELLS)))
    ranks = difficulty.argsort(axis=0).argsort(axis=0)
    return CorrectnessMatrix("e", paired, CELLS, ranks < np.array(shares) * images)


def ranked(matrix: CorrectnessMatrix, names: tuple[str, ...] = NAMES, among: tuple[str, ...] = NAMES) -> DropRanking:
    return rank_drops(matrix, names, among, 0.95)


def test_ranking_of_the_results_is_by_the_last_severity(shaped_warehouse: Path, synthetic: Synthetic) -> None:
    with open_warehouse(shaped_warehouse) as con:
        selection = select_one(con)
        ranking = drop_rankings(con, selection)[selection.evaluations[0]]
    correct = {c: r.mean(axis=1) for (label, c), r in synthetic.correct.items() if label == "Alpha"}
    by_hand = sorted((float(r[0] - r[-1]) for r in correct.values()), reverse=True)
    assert [drop.at_last.value for drop in ranking.drops] == pytest.approx(by_hand)
    assert ranking.drops[0].corruption == "gaussian_noise"
    assert [lead.value for lead in ranking.leads] == pytest.approx([by_hand[0] - drop for drop in by_hand[1:]])
    on_average = sorted((float(r[0] - r[1:].mean()) for r in correct.values()), reverse=True)
    assert [drop.on_average.value for drop in ranking.by_average] == pytest.approx(on_average)
    assert ranking.by_average[0].corruption == "motion_blur"
    assert (ranking.extras, ranking.withheld) == ((), ())


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "unpaired"])
def test_intervals_are_of_the_same_images_where_these_pair(paired: bool) -> None:
    matrix = made((0.3, 0.5, 0.6), paired=paired)
    ranking, correct = ranked(matrix), matrix.correct

    def difference(first: int, second: int) -> tuple[float, float, float]:
        counts = count_pairs(correct[:, first], correct[:, second], paired=paired)
        low, high = newcombe_interval(counts)
        return float(counts.difference), float(low), float(high)

    clean, last = COLUMN["none", 0.0], {name: COLUMN[name, 2.0] for name in NAMES}
    assert [drop.corruption for drop in ranking.drops] == list(NAMES)
    assert ranking.drops[0].at_last == pytest.approx(difference(clean, last["fog"]))
    assert ranking.leads[0] == pytest.approx(difference(last["frost"], last["fog"]))
    assert ranking.leads[1] == pytest.approx(difference(last["snow"], last["fog"]))
    columns = [clean, COLUMN["fog", 1.0], COLUMN["fog", 2.0]]  # whole severities alone
    expected = mean_difference_interval(correct[:, columns], [1, -0.5, -0.5], paired=paired)
    assert ranking.by_average[0].on_average == pytest.approx(expected)
    columns = [COLUMN[name, severity] for name in ("frost", "fog") for severity in (1.0, 2.0)]
    lead = mean_difference_interval(correct[:, columns], [0.5, 0.5, -0.5, -0.5], paired=paired)
    assert ranking.average_leads[0] == pytest.approx(lead)


def test_it_is_clear_only_where_the_first_leads_over_every_other() -> None:
    assert ranked(made((0.3, 0.5, 0.6))).is_clear
    assert ranked(made((0.3, 0.5, 0.6))).is_clear_on_average
    assert not ranked(made((0.5, 0.6, 0.505))).is_clear, "the lead over one of the two does not hold"
    assert not ranked(made((0.88, 0.9, 0.9), images=60)).is_clear, "what costs nothing beyond noise costs not most"


def test_one_corruption_is_clear_where_it_drops_anything() -> None:
    assert ranked(made((0.3, 0.5, 0.6)), ("fog",), ("fog",)).is_clear
    assert not ranked(made((0.9, 0.5, 0.6)), ("fog",), ("fog",)).is_clear


def test_ties_are_not_clear() -> None:
    correct = np.repeat(np.arange(200)[:, None] < 100, len(CELLS), axis=1)
    level = ranked(CorrectnessMatrix("e", True, CELLS, correct))
    assert [drop.at_last.value for drop in level.drops] == [0, 0, 0]
    assert all(lead.value == 0 and lead.low < 0 < lead.high for lead in level.leads)
    assert not level.is_clear
    assert not level.is_clear_on_average
    correct[:, [COLUMN[name, 2.0] for name in NAMES]] = False
    fallen = ranked(CorrectnessMatrix("e", True, CELLS, correct))
    assert fallen.drops[0].at_last.above_zero
    assert not fallen.is_clear


def test_extras_stand_apart() -> None:
    ranking = ranked(made((0.3, 0.5, 0.6)), NAMES, ("frost", "snow"))
    assert [drop.corruption for drop in ranking.drops] == ["frost", "snow"]
    assert [drop.corruption for drop in ranking.extras] == ["fog"]
    assert (len(ranking.leads), len(ranking.average_leads)) == (1, 1)


def test_nothing_to_rank_is_nothing_clear() -> None:
    ranking = ranked(made((0.3, 0.5, 0.6)), (), ())
    assert ranking == DropRanking((), (), (), (), ())
    assert not ranking.is_clear


@settings(max_examples=30, deadline=None)
@given(st.permutations(NAMES), st.integers(0, 1000))
def test_the_order_of_asking_changes_nothing(names: list[str], seed: int) -> None:
    matrix = made((0.3, 0.5, 0.6), images=50, seed=seed)
    ranking, again = ranked(matrix), ranked(matrix, tuple(names), tuple(names))
    assert [drop.at_last for drop in ranking.drops] == [drop.at_last for drop in again.drops]
    assert all(drop.at_last.low < drop.at_last.value < drop.at_last.high for drop in ranking.drops)
    assert list(ranking.drops) == sorted(ranking.drops, key=lambda drop: -drop.at_last.value)


def test_equal_drops_are_hardly_ever_called_most() -> None:
    clear = [ranked(made((0.6, 0.6, 0.6), images=200, seed=seed)).is_clear for seed in range(100)]
    assert sum(clear) <= 5
