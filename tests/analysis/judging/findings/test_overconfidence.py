"""Findings on confidence: cell by cell, over- and underconfidence apart; many models are counted, not listed."""

import duckdb
from checkpoint_comparisons import of_kind

from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.calibration import clean_calibration, overconfidence_by_corruption


def test_every_cell_is_judged_by_itself(con: duckdb.DuckDBPyConnection, all_findings: list[Finding]) -> None:
    selection = select_one(con)
    for evaluation in selection.evaluations:
        found = of_kind(all_findings, "overconfidence", evaluation_id=evaluation.evaluation_id)
        cells = overconfidence_by_corruption(con, selection, evaluation)
        assert [(f.corruption, f.severity, f.verdict, f.n) for f in found] == [
            (cell.corruption, cell.severity, cell.verdict, cell.image_count) for cell in cells
        ]
        assert [(f.value, f.low, f.high) for f in found] == [tuple(cell.overconfidence) for cell in cells]
    both = {finding.verdict for finding in of_kind(all_findings, "overconfidence", model_label="Alpha")}
    assert both >= {"supported", "contradicted"}, "over- and underconfidence of different cells do not cancel"


def test_clean_calibration_error_stands_beside_its_noise(
    con: duckdb.DuckDBPyConnection, selection: Selection, all_findings: list[Finding]
) -> None:
    for evaluation in selection.evaluations:
        (found,) = of_kind(all_findings, "calibration_error", evaluation_id=evaluation.evaluation_id)
        clean = clean_calibration(con, selection, evaluation)
        assert clean is not None
        assert (found.value, found.unit, found.corruption) == (clean.ece, "ECE", "none")
        assert found.p_value == clean.p_value
        assert (found.verdict_alone == "supported") == (clean.p_value <= 0.05)
        assert (found.low, found.high) == (clean.low, clean.high)
        for figure in (clean.ece, clean.low, clean.high, clean.noise_floor):
            assert f"{figure:.4f}" in found.sentence
