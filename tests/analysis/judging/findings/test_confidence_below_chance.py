"""Whether confidence finds failures: the lowest cell of each corruption, and titles that count cells."""

import duckdb
import pytest
from checkpoint_comparisons import judged, of_kind

from failmodes.analysis.charts import failure_prediction, risk_coverage
from failmodes.analysis.judging.findings import confidence_below_chance
from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.failure_prediction import CellAuroc, FailurePrediction, predict_failures

RATE, KEPT = Estimate(0.5, 0.45, 0.55), Estimate(0.4, 0.35, 0.45)
WORSE, BETTER, NEITHER = Estimate(0.3, 0.2, 0.4), Estimate(0.8, 0.7, 0.9), Estimate(0.5, 0.4, 0.6)


def test_of_each_corruption_the_lowest_cell_is_reported(
    con: duckdb.DuckDBPyConnection, selection: Selection, all_findings: list[Finding]
) -> None:
    for evaluation in selection.evaluations:
        one = predict_failures(con, selection, evaluation)
        assert one is not None
        found = of_kind(all_findings, "confidence_below_chance", evaluation_id=evaluation.evaluation_id)
        assert {f.corruption for f in found} == {cell.corruption for cell in one.cells}
        for finding in found:
            lowest = min((c for c in one.cells if c.corruption == finding.corruption), key=lambda c: c.auroc.value)
            assert (finding.value, finding.low, finding.high) == lowest.auroc
            assert (finding.severity, finding.n, finding.verdict) == (lowest.severity, 400, lowest.verdict)
            assert f"AUROC {lowest.auroc.value:.3f} [" in finding.sentence
            assert f"at severity {lowest.severity:g}" in finding.sentence


def replaced(monkeypatch: pytest.MonkeyPatch, *cells: Estimate) -> None:
    """Let every model have these AUROCs, at one corruption each."""
    names = ("fog", "contrast", "brightness")
    found = tuple(
        CellAuroc(name, 5.0, auroc, 400, 1e-4 if auroc.high < 0.5 else 1, 1e-4 if auroc.low > 0.5 else 1)
        for name, auroc in zip(names, cells, strict=False)
    )
    for user in (confidence_below_chance, failure_prediction, risk_coverage):
        monkeypatch.setattr(user, "predict_failures", lambda *_: FailurePrediction(found, RATE, KEPT))


def test_only_worse_than_chance_supports_the_claim(
    con: duckdb.DuckDBPyConnection, selection: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced(monkeypatch, WORSE, NEITHER, BETTER)
    found = judged(con, select_one(con, models=["Alpha"]), "confidence_below_chance")
    assert [f.verdict for f in found] == ["supported", "inconclusive", "contradicted"]
    assert "worse than chance" in found[0].sentence
    assert "is not shown to find" in found[1].sentence
    assert "better than chance" in found[2].sentence
