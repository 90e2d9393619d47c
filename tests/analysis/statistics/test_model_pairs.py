"""Pairs of models: paired differences of the same images, Holm over pairs, who leads; McNemar's test of every cell."""

from itertools import combinations

import duckdb
import numpy as np
import pytest
from checkpoint_comparisons import bonett_price_p, decided_cells, decided_pairs, difference
from given_runs import CELLS, given_model, given_run
from scipy import stats
from synthetic_results import Synthetic

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.statistics.difference import Measured
from failmodes.analysis.statistics.model_pairs import (
    compare_models_of,
    compare_pairs,
    corrupted_difference,
    rank_by_wins,
)
from failmodes.analysis.statistics.run_rows import CellKey, ModelRows
from failmodes.analysis.statistics.shares import exact_mcnemar, holm

WEIGHTS = np.array([1 / 4, 1 / 4, 0, 1 / 2])  # two cells of fog weigh what one of snow does; clean is no corruption


def predictions(seed: int, share: float, images: int = 200, cells: int = len(CELLS)) -> np.ndarray:
    """Correctness of every image in every cell; the same images are difficult in all."""
    rng = np.random.default_rng(seed)
    return rng.random((images, 1)) + rng.normal(0, 0.1, (images, cells)) < share


def model(correct: np.ndarray, cells: list[CellKey] = CELLS, *, paired: bool = True) -> ModelRows:
    return given_model(given_run(correct, cells, shares_images=paired))


def compared(a: ModelRows, b: ModelRows, corruptions: tuple[str, ...] = ("fog", "snow")) -> Measured:
    found = corrupted_difference(a, b, corruptions)
    assert found is not None
    return found


def test_an_images_differences_are_averaged_before_images_are_counted() -> None:
    a, b = predictions(1, 0.7), predictions(2, 0.6)
    found = compared(model(a), model(b))
    each = (a.astype(float) - b) @ WEIGHTS
    added = np.append(each, [1, -1])
    half = stats.norm.ppf(0.975) * stats.sem(added, ddof=0)
    assert found.interval()[:3] == pytest.approx((each.mean(), added.mean() - half, added.mean() + half))
    assert found.p_value == pytest.approx(bonett_price_p(each))


def test_only_cells_that_both_have_are_compared() -> None:
    a, b = predictions(1, 0.7), predictions(2, 0.6, cells=2)
    found = compared(model(a), model(b, [("fog", 2.0), ("none", 0.0)]))
    assert found.value == pytest.approx(a[:, 1].mean() - b[:, 0].mean())
    assert corrupted_difference(model(a), model(b, [("frost", 1.0), ("none", 0.0)]), ("fog",)) is None


def test_pairs_of_the_results_are_decided_as_by_hand(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection, many_results: Synthetic
) -> None:
    pairs = compare_models_of(many_con, many_selection)
    assert [(p.a.label, p.b.label) for p in pairs] == list(combinations(many_selection.labels.values(), 2))
    raw = []
    for one in pairs:
        a, b = (np.vstack([many_results.correct[x.label, c][1:] for c in many_selection.averaged])
                for x in (one.a, one.b))  # fmt: skip
        each = (a.astype(float) - b).mean(axis=0)
        assert one.difference.value == pytest.approx(each.mean())
        raw.append(bonett_price_p(each))
    assert [one.adjusted_p for one in pairs] == pytest.approx(holm(raw))
    won = {(p.winner.label, (p.b if p.winner == p.a else p.a).label) for p in pairs if p.winner}
    assert won == set(decided_pairs(many_results))
    assert won


@pytest.mark.test_all
def test_models_are_compared_whatever_their_runs(seeded_con: duckdb.DuckDBPyConnection, seeded: Selection) -> None:
    pairs = {
        frozenset((one.a.label, one.b.label)): one.is_about_training for one in compare_models_of(seeded_con, seeded)
    }
    named = {("Fir", "Loner"): False, ("Fir", "Oak"): True, ("Loner", "Oak"): False}
    assert pairs == {frozenset(names): about_training for names, about_training in named.items()}


def test_models_are_ranked_by_pairs_won_then_by_fewest_lost() -> None:
    won = ["AC", "AD", "BD", "CD"]
    pairs = [difference(a, b, 0.1, 0.001 if a + b in won else 0.5) for a, b in combinations("ABCD", 2)]
    counts = [(count.model.label, count.won, count.lost, count.others) for count in rank_by_wins(pairs)]
    assert counts == [("A", 2, 0, 3), ("B", 1, 0, 3), ("C", 1, 1, 3), ("D", 0, 3, 3)]
    assert rank_by_wins([]) == []


def test_cells_count_images_that_only_one_gets_right(
    con: duckdb.DuckDBPyConnection, selection: Selection, synthetic: Synthetic
) -> None:
    found = compare_pairs(con, selection)
    assert (len(found), found.n_unique(("a", "b"))) == (26, 1)
    labels = {evaluation_id: label for label, evaluation_id in synthetic.evaluations.items()}
    for cell in found.rows(named=True):
        row = int(cell["severity"])
        name = cell["corruption"] if row else "fog"  # the clean cell is the same under each
        a, b = (synthetic.correct[labels[cell[side]], name][row] for side in ("a", "b"))
        assert (cell["only_a"], cell["only_b"]) == (int((a & ~b).sum()), int((b & ~a).sum()))


def test_all_cells_of_all_pairs_are_one_family(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection, many_results: Synthetic
) -> None:
    found = compare_pairs(many_con, many_selection)
    assert (found.n_unique(("a", "b")), len(found)) == (15, 75)
    raw = exact_mcnemar(found["only_a"], found["only_b"])
    assert found["adjusted_p"].to_list() == pytest.approx(holm(raw.tolist()))
    labels = many_selection.labels
    won = {
        (labels[winner], labels[b if winner == a else a])
        for a, b, winner in found.select("a", "b", "winner").rows()
        if winner
    }
    assert won == set(decided_cells(many_results))
