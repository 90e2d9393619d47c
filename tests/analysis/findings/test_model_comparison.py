"""Findings on pairs of networks: undecided with the reason, and one finding with counts for many pairs."""

from itertools import combinations

import duckdb
import pytest
from model_comparisons import decided_by_hand, of_topic, pair
from synthetic_record import Synthetic

from failmodes.analysis.findings.collection import selection_findings
from failmodes.analysis.findings.finding import Finding
from failmodes.analysis.findings.model_comparison import leader_sentence
from failmodes.analysis.report.report_tables import pair_tables
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.mcnemar import correct_jointly, rank_by_wins


def test_comparison_is_undecided_and_says_why(all_findings: list[Finding]) -> None:
    (comparison,) = of_topic(all_findings, "Comparison")
    assert comparison.verdict == "undecided"
    assert "one training run" in comparison.detail


def comparisons(many_con: duckdb.DuckDBPyConnection, many_selection: Selection) -> list[Finding]:
    return [finding for finding in selection_findings(many_con, many_selection) if finding.topic == "Comparison"]


def test_all_pairs_are_one_finding_with_counts_and_method(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection, many_record: Synthetic
) -> None:
    (found,) = comparisons(many_con, many_selection)
    assert found.headline.startswith("As checkpoints on these images, of 15\u00a0pairs of networks ")
    assert (
        f"{found.figures['pairs_decided']} are decided; Birch and Fir are each right more often than" in found.headline
    )
    for phrase in ("exact McNemar tests, Holm's correction over all 75 cells of all pairs", "one training run"):
        assert phrase in found.detail
    assert found.figures["pairs_decided"] == len(decided_by_hand(many_record))
    assert found.verdict == "found"


def test_up_to_four_networks_keep_a_finding_and_a_table_a_pair(many_con: duckdb.DuckDBPyConnection) -> None:
    four = select_one(many_con, models=["Aspen", "Birch", "Cedar", "Fir"])
    assert len(comparisons(many_con, four)) == len(pair_tables(many_con, four)) == 6
    assert comparisons(many_con, four)[0].headline.startswith("Whether Aspen or Birch has the more robust ")


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
    pairs = [pair(a, b, (30, 0) if a + b in won else (1, 1)) for a, b in combinations("ABCD", 2)]
    assert leader_sentence(rank_by_wins(correct_jointly(pairs))) == sentence
