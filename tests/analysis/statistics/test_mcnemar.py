"""Exact McNemar tests and Holm's correction, by hand and against the record."""

import duckdb
import pytest
from model_comparisons import pair
from synthetic_record import Synthetic

from failmodes.analysis.findings.model_comparison import all_pairs_finding
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.mcnemar import compare_pairs, correct_jointly, exact_mcnemar, holm


def test_mcnemar_counts_agree_with_correctness(
    con: duckdb.DuckDBPyConnection, selection: Selection, synthetic: Synthetic
) -> None:
    (pair,) = compare_pairs(con, selection)
    assert len(pair.cells) == 26
    cell = next(c for c in pair.cells if (c.corruption, c.severity) == ("fog", 5))
    a, b = synthetic.correct["Alpha", "fog"][5], synthetic.correct["Beta", "fog"][5]
    assert (cell.only_a, cell.only_b) == (int((a & ~b).sum()), int((b & ~a).sum()))


def test_exact_mcnemar_by_hand() -> None:
    assert exact_mcnemar(0, 0) == 1
    assert exact_mcnemar(5, 0) == pytest.approx(2 / 2**5)
    assert exact_mcnemar(3, 1) == pytest.approx(2 * (1 + 4) / 2**4)


def test_holm_by_hand() -> None:
    # sorted: .01 x 3 = .03; .02 x 2 = .04; .04 x 1 = .04 (never below a smaller one)
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_correction_over_all_pairs_by_hand() -> None:
    # two-sided p of (7, 0) is 2 / 2**7 = .015625; alone it is below .05, of four cells it is .0625
    tested = correct_jointly([pair("A", "B", (7, 0), (1, 1)), pair("A", "C", (1, 1), (1, 1))])
    assert tested[0].cells[0].adjusted_p == pytest.approx(4 * 2 / 2**7)
    assert correct_jointly([pair("A", "B", (7, 0))])[0].cells[0].adjusted_p == pytest.approx(2 / 2**7)
    assert not tested[0].winner


def test_a_pair_with_cells_won_both_ways_is_not_decided() -> None:
    (split,) = correct_jointly([pair("A", "B", (20, 0), (0, 20), (1, 1))])
    assert split.is_split
    assert not split.winner
    found = all_pairs_finding([split, pair("A", "C", (1, 1)), pair("B", "C", (1, 0))], {"A": 0.9, "B": 0.9, "C": 0.8})
    assert found.headline == "As checkpoints on these images, of 3\u00a0pairs of networks none is decided."
    assert found.verdict == "undecided"
    assert "in 1 each of the two is ahead in some cells, 2 cannot be told apart" in found.detail
    assert "clean accuracies lie more than 0.5\u00a0points apart in 2\u00a0pairs" in found.detail


def test_pairs_of_the_record_are_corrected_pair_by_pair_before(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection
) -> None:
    alone, joint = compare_pairs(many_con, many_selection), correct_jointly(compare_pairs(many_con, many_selection))
    both = [(a.adjusted_p, b.adjusted_p) for x, y in zip(alone, joint, strict=True)
            for a, b in zip(x.cells, y.cells, strict=True)]  # fmt: skip
    assert all(one <= all_of_them for one, all_of_them in both)
    assert any(one < all_of_them for one, all_of_them in both)
