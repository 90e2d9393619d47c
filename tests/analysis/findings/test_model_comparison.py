"""Findings on pairs of networks: each pair judged once, told of the better one, and who leads."""

from itertools import combinations

import duckdb
import pytest
from model_comparisons import decided_pairs, difference, of_kind
from synthetic_record import Synthetic

from failmodes.analysis.findings.finding import Finding
from failmodes.analysis.findings.model_comparison import leader_sentence
from failmodes.analysis.report.report_tables import pair_tables
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.model_difference import rank_by_wins


def test_a_pair_that_is_close_is_undecided(all_findings: list[Finding], synthetic: Synthetic) -> None:
    (found,) = of_kind(all_findings, "better_model")
    means = [
        sum(float(right[1:].mean()) for (label, _), right in synthetic.correct.items() if label == name) / 5
        for name in ("Alpha", "Beta")
    ]
    assert (found.verdict, found.model_label) == ("undecided", "Alpha")
    assert found.value == pytest.approx(means[0] - means[1])
    assert found.other_evaluation_id == synthetic.evaluations["Beta"]
    for part in ("Alpha", "Beta", "undecided", f"{100 * found.value:.1f}\u00a0points ["):
        assert part in found.sentence


def test_pairs_are_told_of_the_better_one(many_findings: list[Finding], many_record: Synthetic) -> None:
    found = of_kind(many_findings, "better_model")
    labels = {evaluation_id: label for label, evaluation_id in many_record.evaluations.items()}
    assert {frozenset((f.evaluation_id, f.other_evaluation_id)) for f in found} == {
        frozenset(pair) for pair in combinations(many_record.evaluations.values(), 2)
    }
    decided = [(f.model_label, labels[f.other_evaluation_id]) for f in found if f.verdict == "supported"]
    assert sorted(decided) == sorted(decided_pairs(many_record))
    for finding in found:
        other = labels[finding.other_evaluation_id]
        if finding.verdict == "supported":
            assert finding.sentence.startswith(f"{finding.model_label} is right more often than {other} ")
            assert 0 < finding.value < finding.high
        assert f"{100 * finding.value:.1f}\u00a0points [" in finding.sentence.replace("\u2212", "-")


def test_up_to_four_networks_have_a_table_a_pair(many_con: duckdb.DuckDBPyConnection) -> None:
    four = select_one(many_con, models=["Aspen", "Birch", "Cedar", "Fir"])
    assert len(pair_tables(many_con, four)) == 6


def test_of_more_networks_the_table_is_one(many_con: duckdb.DuckDBPyConnection, many_selection: Selection) -> None:
    assert len(pair_tables(many_con, many_selection)) == 1


@pytest.mark.parametrize(
    ("won", "sentence"),
    [
        (("AB", "AC", "AD"), "A is right more often than 3 of the 3 others"),
        (("AC", "AD", "BC", "BD"), "A and B are each right more often than 2 of the 3 others"),
        (("AB",), "no network is right more often than most of the others"),
    ],
    ids=["one", "two", "none"],
)
def test_leaders_are_named_where_they_beat_most(won: tuple[str, ...], sentence: str) -> None:
    pairs = [difference(a, b, 0.1, 0.001 if a + b in won else 0.5) for a, b in combinations("ABCD", 2)]
    assert leader_sentence(rank_by_wins(pairs)) == sentence
