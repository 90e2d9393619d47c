"""Which corruption costs most: judged by its lead over each other, inconclusive where noise could explain it."""

import duckdb
import pytest
from checkpoint_comparisons import judged, of_kind
from synthetic_results import Synthetic

from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.model_accuracy import drop_rankings


def test_the_corruption_of_the_largest_drop_is_named(all_findings: list[Finding], synthetic: Synthetic) -> None:
    first, *others = of_kind(all_findings, "largest_drop", model_label="Alpha")
    correct = synthetic.correct["Alpha", "gaussian_noise"].sum(axis=1)
    drop = (correct[0] - correct[-1]) / 400
    assert (first.corruption, first.verdict, first.severity) == ("gaussian_noise", "supported", 5)
    assert first.value == pytest.approx(drop)
    assert f"{100 * drop:.1f}\u00a0points [{100 * first.low:.1f}" in first.sentence
    assert [finding.verdict for finding in others] == ["contradicted"] * 4
    for other in others:
        rows = synthetic.correct["Alpha", other.corruption].sum(axis=1)
        assert other.value == pytest.approx((rows[0] - rows[-1]) / 400)


def test_the_verdict_is_by_the_lead_over_each_other(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    for evaluation, ranking in drop_rankings(con, selection).items():
        first, *others = of_kind(
            judged(con, selection, "largest_drop"), "largest_drop", evaluation_id=evaluation.evaluation_id
        )
        assert (first.verdict == "supported") == ranking.is_clear
        assert [f.verdict == "contradicted" for f in others] == [lead.above_zero for lead in ranking.leads]


def test_drops_that_cannot_be_distinguished_are_inconclusive(con: duckdb.DuckDBPyConnection) -> None:
    close = select_one(con, models=["Alpha"], corruptions=["fog", "contrast"])
    found = judged(con, close, "largest_drop")
    assert {finding.verdict for finding in found} == {"inconclusive"}
    assert "0.5\u00a0points [" in found[0].sentence
