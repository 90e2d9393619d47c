"""Findings on confidence: cell by cell, over- and underconfidence apart; many models are counted, not listed."""

import duckdb
import pytest
from checkpoint_comparisons import judged, of_kind

from failmodes.analysis.charts.calibration import chart
from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.judging.findings.overconfidence import overconfidence_phrase
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.calibration import clean_calibration, overconfidence_by_corruption
from failmodes.analysis.statistics.shares import TITLE_ERROR

OVER, UNDER, NEITHER = Estimate(0.2, 0.1, 0.3), Estimate(-0.05, -0.08, -0.02), Estimate(0.01, -0.01, 0.03)


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


def test_sentences_say_where_and_by_how_much(all_findings: list[Finding]) -> None:
    words = {
        "supported": " is overconfident by ",
        "contradicted": " is underconfident by ",
        "inconclusive": "not shown",
    }
    for finding in of_kind(all_findings, "overconfidence"):
        assert words[finding.verdict] in finding.sentence
        assert f"{abs(100 * finding.value):.1f}\u00a0points [" in finding.sentence
        assert finding.sentence.startswith("When clean" if finding.corruption == "none" else "Under ")
        assert finding.model_label in finding.sentence


def test_sizes_are_positive_whichever_way() -> None:
    assert overconfidence_phrase(OVER) == "overconfident by 20.0\u00a0points [10.0,\u00a030.0]"
    assert overconfidence_phrase(UNDER) == "underconfident by 5.0\u00a0points [2.0,\u00a08.0]"
    assert overconfidence_phrase(NEITHER).endswith(": 1.0\u00a0points [\u22121.0,\u00a03.0]")


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


def test_the_noise_of_a_calibrated_model_is_no_finding(
    con: duckdb.DuckDBPyConnection, selection: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "failmodes.analysis.judging.findings.calibration_error.clean_calibration",
        lambda con, selection, evaluation: clean_calibration(con, selection, evaluation)._replace(p_value=0.06),
    )
    found = judged(con, selection, "calibration_error")
    assert {finding.verdict for finding in found} == {"inconclusive"}


def test_a_title_names_the_farthest_cell_of_two_models(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    title = chart(con, selection).title
    for evaluation in selection.evaluations:
        farthest = overconfidence_by_corruption(con, selection, evaluation)[0]
        assert f"{evaluation.label} is {overconfidence_phrase(farthest.overconfidence)}" in title


def test_a_title_of_many_models_counts_those_for_which_the_claim_is_supported(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection
) -> None:
    cells = [overconfidence_by_corruption(many_con, many_selection, one) for one in many_selection.evaluations]
    count = sum(any(c.verdict == "supported" and c.p_value <= TITLE_ERROR for c in own) for own in cells)
    assert chart(many_con, many_selection).title.endswith(f" for {count} of 6 models")
