"""Exact McNemar tests and Holm's correction over all pairs: by hand, against SciPy and against the record."""

import duckdb
import numpy as np
import pytest
from checkpoint_comparisons import decided_cells, pair
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from synthetic_results import Synthetic

from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.model_pairs import compare_pairs, correct_jointly
from failmodes.analysis.statistics.shares import exact_mcnemar, holm


def test_counts_agree_with_correctness(
    con: duckdb.DuckDBPyConnection, selection: Selection, synthetic: Synthetic
) -> None:
    (pair,) = compare_pairs(con, selection)
    assert len(pair.cells) == 26
    for cell in pair.cells:
        row = int(cell.severity)
        name = cell.corruption if row else "fog"  # the clean cell is the same under each
        a, b = synthetic.correct["Alpha", name][row], synthetic.correct["Beta", name][row]
        assert (cell.only_a, cell.only_b) == (int((a & ~b).sum()), int((b & ~a).sum()))


def test_the_exact_test_by_hand() -> None:
    # of 5 images none: 1/32 to either side; of 4 images 1: 1/16 further out and 4/16 itself, on both sides
    found = exact_mcnemar([0, 5, 0, 3, 1, 2], [0, 0, 5, 1, 3, 2])
    assert found == pytest.approx([1, 2 / 32, 2 / 32, 10 / 16, 10 / 16, 1])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300))
def test_it_is_the_binomial_test(only_a: int, only_b: int) -> None:
    (found,), total = exact_mcnemar([only_a], [only_b]), only_a + only_b
    assert found == pytest.approx(stats.binomtest(only_a, total).pvalue if total else 1, abs=1e-9)


def test_the_exact_test_keeps_its_level() -> None:
    """Of images that are as likely to be for either, at most one in twenty is called a difference."""
    for total in (6, 20, 75, 400):
        for_a = np.arange(total + 1)
        called = exact_mcnemar(for_a, total - for_a) < 0.05
        assert stats.binom.pmf(for_a, total, 0.5)[called].sum() <= 0.05


def test_holm_by_hand() -> None:
    # sorted: .01 x 3 = .03; .02 x 2 = .04; .04 x 1 = .04 (never below a smaller one)
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_its_steps_reject(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= q <= min(1, len(p_values) * p) + 1e-12 for p, q in zip(p_values, adjusted, strict=True))
    left = sorted(p_values)
    while left and left[0] * len(left) < 0.05:  # the smallest of those left, against .05 by their number
        left.pop(0)
    assert sum(q < 0.05 for q in adjusted) == len(p_values) - len(left)


def test_correction_over_all_pairs_by_hand() -> None:
    # two-sided p of (7, 0) is 2 / 2**7 = .0156; alone it is below .05, of four cells it is .0625
    tested = correct_jointly([pair("A", "B", (7, 0), (1, 1)), pair("A", "C", (1, 1), (1, 1))])
    assert tested[0].cells[0].adjusted_p == pytest.approx(4 * 2 / 2**7)
    assert tested[0].won_by("a") == 0
    (alone,) = correct_jointly([pair("A", "B", (7, 0))])
    assert alone.cells[0].adjusted_p == pytest.approx(2 / 2**7)
    assert (alone.won_by("a"), alone.won_by("b"), alone.won_by("")) == (1, 0, 0)


def test_cells_are_won_by_the_side_with_more() -> None:
    (split,) = correct_jointly([pair("A", "B", (20, 0), (0, 20), (1, 1))])
    assert [cell.winner for cell in split.cells] == ["a", "b", ""]
    assert [split.won_by(side) for side in ("a", "b", "")] == [1, 1, 1]


def test_all_cells_of_all_pairs_are_one_family(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection, many_results: Synthetic
) -> None:
    pairs = compare_pairs(many_con, many_selection)
    cells = [cell for one in pairs for cell in one.cells]
    assert (len(pairs), len(cells)) == (15, 75)
    raw = exact_mcnemar([cell.only_a for cell in cells], [cell.only_b for cell in cells])
    assert [cell.adjusted_p for cell in cells] == pytest.approx(holm(raw.tolist()))
    won = {(one.a.label, one.b.label) for one in pairs if one.won_by("a")}
    won |= {(one.b.label, one.a.label) for one in pairs if one.won_by("b")}
    assert won == set(decided_cells(many_results))
    two = select_one(many_con, models=["Aspen", "Birch"])
    (alone,) = compare_pairs(many_con, two)
    joint = next(one for one in pairs if (one.a.label, one.b.label) == ("Aspen", "Birch"))
    both = [(x.adjusted_p, y.adjusted_p) for x, y in zip(alone.cells, joint.cells, strict=True)]
    assert all(one <= all_of_them for one, all_of_them in both)
    assert any(one < all_of_them for one, all_of_them in both)
