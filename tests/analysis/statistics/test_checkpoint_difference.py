"""Pairs of models over all corruptions: paired differences of the same images, Holm over pairs, and who leads."""

from itertools import combinations

import duckdb
import numpy as np
import pytest
from checkpoint_comparisons import bonett_price_p, decided_pairs, difference
from synthetic_results import Synthetic

from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.bootstrap import CorrectnessMatrix
from failmodes.analysis.statistics.claimed_differences import mean_difference
from failmodes.analysis.statistics.model_pairs import paired_difference, rank_by_wins
from failmodes.analysis.statistics.shares import holm

CELLS = [("fog", 1.0), ("fog", 2.0), ("none", 0.0), ("snow", 1.0)]
CORRUPTED = [0, 1, 3]


def matrix(correct: np.ndarray, *, paired: bool = True, cells: list[tuple[str, float]] = CELLS) -> CorrectnessMatrix:
    return CorrectnessMatrix("e", paired, cells, correct)


def predictions(seed: int, share: float, images: int = 200, cells: int = len(CELLS)) -> np.ndarray:
    """Correctness of every image in every cell; the same images are difficult in all."""
    rng = np.random.default_rng(seed)
    return rng.random((images, 1)) + rng.normal(0, 0.1, (images, cells)) < share


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "unpaired"])
def test_every_corruption_weighs_the_same(paired: bool) -> None:
    a, b = predictions(1, 0.7), predictions(2, 0.6)
    found = paired_difference(matrix(a, paired=paired), matrix(b, paired=paired), ("fog", "snow"))
    weights = [1 / 4, 1 / 4, 1 / 2]  # two cells of fog weigh what one of snow does; the clean cell is no corruption
    assert found == mean_difference((a.astype(np.int8) - b)[:, CORRUPTED], weights, paired=paired)
    assert found is not None
    assert found.value == pytest.approx(float((a.mean(axis=0) - b.mean(axis=0))[CORRUPTED] @ weights))


def test_swapping_two_models_turns_the_sign() -> None:
    a, b = matrix(predictions(1, 0.7)), matrix(predictions(2, 0.6))
    one, other = paired_difference(a, b, ["fog"]), paired_difference(b, a, ["fog"])
    assert one is not None
    assert other is not None
    value, low, high = one.interval()
    assert other.interval() == pytest.approx((-value, -high, -low))
    assert other.p_value == pytest.approx(one.p_value)


def test_only_cells_that_both_have_are_compared() -> None:
    a, b = predictions(1, 0.7), predictions(2, 0.6, cells=2)
    found = paired_difference(matrix(a), matrix(b, cells=[("none", 0.0), ("fog", 2.0)]), ("fog", "snow"))
    assert found is not None
    assert found.value == pytest.approx(a[:, 1].mean() - b[:, 1].mean())
    assert paired_difference(matrix(a), matrix(b, cells=[("none", 0.0), ("frost", 1.0)]), ("fog",)) is None


@pytest.mark.parametrize("images", [1, 2, 50])
def test_equal_predictions_differ_by_nothing(images: int) -> None:
    same = matrix(predictions(1, 0.7, images))
    found = paired_difference(same, same, ("fog",))
    assert found is not None
    value, low, high = found.interval()
    assert (value, found.p_value) == (0, 1)
    assert low == pytest.approx(-high)
    assert 0 < high <= 1, "that no image differs does not prove that none would"


def test_pairs_of_the_results_are_decided_as_by_hand(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection, many_results: Synthetic
) -> None:
    pairs = compare_checkpoints(many_con, many_selection)
    assert [(p.a.label, p.b.label) for p in pairs] == list(combinations(sorted(many_selection.labels.values()), 2))
    raw = []
    for pair in pairs:
        a, b = (np.vstack([many_results.correct[x.label, c][1:] for c in many_selection.averaged])
                for x in (pair.a, pair.b))  # fmt: skip
        each = (a.astype(float) - b).mean(axis=0)
        assert pair.difference.value == pytest.approx(each.mean())
        raw.append(bonett_price_p(each))
    assert [pair.adjusted_p for pair in pairs] == pytest.approx(holm(raw))
    won = {(p.winner.label, (p.b if p.winner == p.a else p.a).label) for p in pairs if p.winner}
    assert won == set(decided_pairs(many_results))
    assert won


def test_verdicts_follow_sign_and_corrected_p() -> None:
    assert difference("A", "B", 0.1).verdict == "supported"
    assert difference("A", "B", -0.1).verdict == "contradicted"
    assert difference("A", "B", 0.1, p=0.05).verdict == "inconclusive"
    assert difference("A", "B", 0.0).winner is None
    worse = difference("A", "B", -0.1)
    assert worse.winner == worse.b


def test_models_are_ranked_by_pairs_won_then_by_fewest_lost() -> None:
    won = ["AC", "AD", "BD", "CD"]
    pairs = [difference(a, b, 0.1, 0.001 if a + b in won else 0.5) for a, b in combinations("ABCD", 2)]
    counts = [(count.evaluation.label, count.won, count.lost, count.others) for count in rank_by_wins(pairs)]
    assert counts == [("A", 2, 0, 3), ("B", 1, 0, 3), ("C", 1, 1, 3), ("D", 0, 3, 3)]
    assert rank_by_wins([]) == []
