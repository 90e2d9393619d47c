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


def test_titles_count_cells_and_say_what_abstaining_gains(
    con: duckdb.DuckDBPyConnection, selection: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced(monkeypatch, WORSE, BETTER, BETTER)
    title = failure_prediction.chart(con, selection).title
    for label in selection.labels.values():
        assert f"better than chance in 2 and worse in 1 of 3\u00a0cells of {label}" in title
    title = risk_coverage.chart(con, selection).title
    assert "without the 20% least confident images" in title
    assert "40.0% [35.0,\u00a045.0] for Alpha (of all images 50.0%)" in title


def test_titles_of_many_models_count_them(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced(monkeypatch, WORSE, BETTER, BETTER)
    title = failure_prediction.chart(many_con, many_selection).title
    assert title.endswith("better than chance in 12 and worse in 6 of 18\u00a0cells of 6\u00a0models")
    title = risk_coverage.chart(many_con, many_selection).title
    assert "\u221210.0 to \u221210.0\u00a0points of error rate" in title
