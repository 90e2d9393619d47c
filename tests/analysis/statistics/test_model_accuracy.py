"""Mean accuracies and costs of corruptions: the values of the views, intervals by hand, and how often they hold."""

import numpy as np
import pytest
from given_runs import given_model, given_run
from scipy import stats

from failmodes.analysis.statistics.difference import ModelMetrics
from failmodes.analysis.statistics.model_accuracy import (
    DropRanking,
    accuracy_over,
    mean_corrupted,
    rank_drops,
)
from failmodes.analysis.statistics.run_rows import ModelRows
from failmodes.analysis.statistics.shares import count_pairs, newcombe_interval

NAMES = ("fog", "frost", "snow")
CELLS = [(name, severity) for name in NAMES for severity in (1.0, 1.5, 2.0)] + [("none", 0.0)]
COLUMN = {cell: column for column, cell in enumerate(CELLS)}
CLEAN = COLUMN["none", 0.0]
Z = stats.norm.ppf(0.975)


def made(last: tuple[float, ...], images: int = 400, seed: int = 0, *, paired: bool = True) -> ModelRows:
    """Accuracy .9 when clean, and for each name what is left at its last severity; half of the loss before that."""
    rng = np.random.default_rng(seed)
    shares = [0.9 - (0.9 - end) * part for end in last for part in (0.5, 0.5, 1)] + [0.9]
    difficulty = 0.7 * rng.random((images, 1)) + 0.3 * rng.random((images, len(CELLS)))
    ranks = difficulty.argsort(axis=0).argsort(axis=0)
    return model_of(ranks < np.array(shares) * images, paired=paired)


def model_of(correct: np.ndarray, *, paired: bool = True) -> ModelRows:
    return given_model(given_run(correct, CELLS, shares_images=paired))


def correct_of(model: ModelRows) -> np.ndarray:
    return model.runs[0].correct


def ranked(model: ModelRows, names: tuple[str, ...] = NAMES, among: tuple[str, ...] = NAMES) -> DropRanking:
    return rank_drops(model, names, among, 0.95)


def test_a_mean_has_that_of_the_means_of_images_and_two_more() -> None:
    model = made((0.3, 0.5, 0.6), 40)
    terms = mean_corrupted(model.cells, ("fog", "snow", "contrast"))
    whole = [COLUMN[name, severity] for name in ("fog", "snow") for severity in (1.0, 2.0)]
    each = np.append(correct_of(model)[:, whole].mean(axis=1), [0, 1])  # one wrong everywhere, one right everywhere
    half = Z * stats.sem(each, ddof=0)
    expected = correct_of(model)[:, whole].mean(), each.mean() - half, each.mean() + half
    assert accuracy_over(ModelMetrics(model), terms).interval()[:3] == pytest.approx(expected)


def test_corruptions_weigh_the_same_whatever_their_severities() -> None:
    terms = mean_corrupted([("fog", 1.0), ("none", 0.0), ("snow", 1.0), ("snow", 2.0)], ("fog", "snow"))
    assert {term.cell: term.weight for term in terms} == {("fog", 1.0): 0.5, ("snow", 1.0): 0.25, ("snow", 2.0): 0.25}


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "unpaired"])
def test_costs_have_intervals_of_the_same_images_where_these_pair(paired: bool) -> None:
    model = made((0.3, 0.5, 0.6), paired=paired)
    ranking = ranked(model)
    correct = correct_of(model)

    def difference(first: int, second: int) -> tuple[float, float, float]:
        counts = count_pairs(correct[:, first], correct[:, second], paired=paired)
        low, high = newcombe_interval(counts)
        return float(counts.difference), float(low), float(high)

    last = {name: COLUMN[name, 2.0] for name in NAMES}
    assert [drop.corruption for drop in ranking.drops] == list(NAMES)
    assert ranking.drops[0].at_last[:3] == pytest.approx(difference(CLEAN, last["fog"]))
    assert ranking.leads[0][:3] == pytest.approx(difference(last["frost"], last["fog"]))
    assert ranking.leads[1][:3] == pytest.approx(difference(last["snow"], last["fog"]))


def test_it_is_clear_only_where_the_first_leads_over_every_other() -> None:
    assert ranked(made((0.3, 0.5, 0.6))).is_clear
    assert not ranked(made((0.5, 0.6, 0.505))).is_clear, "the lead over one of the two does not hold"
    assert not ranked(made((0.88, 0.9, 0.9), images=60)).is_clear, "what costs nothing beyond noise costs not most"
    assert ranked(made((0.3, 0.5, 0.6)), ("fog",), ("fog",)).is_clear, "of one corruption where it costs anything"
    assert not ranked(made((0.9, 0.5, 0.6)), ("fog",), ("fog",)).is_clear


def test_ties_are_not_clear() -> None:
    correct = np.repeat(np.arange(200)[:, None] < 100, len(CELLS), axis=1)
    assert not ranked(model_of(correct)).is_clear
    correct[:, [COLUMN[name, 2.0] for name in NAMES]] = False
    fallen = ranked(model_of(correct))
    assert fallen.drops[0].at_last.above_zero
    assert all(lead.value == 0 and lead.low < 0 < lead.high for lead in fallen.leads)
    assert not fallen.is_clear


def test_extras_stand_apart_and_nothing_to_rank_is_nothing_clear() -> None:
    ranking = ranked(made((0.3, 0.5, 0.6)), NAMES, ("frost", "snow"))
    assert [drop.corruption for drop in ranking.drops] == ["frost", "snow"]
    assert [drop.corruption for drop in ranking.extras] == ["fog"]
    assert len(ranking.leads) == 1
    assert not ranked(made((0.3, 0.5, 0.6)), (), ()).is_clear
