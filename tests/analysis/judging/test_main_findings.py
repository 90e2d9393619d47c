"""The verdict: two sentences that say what the findings say, and no more."""

from pathlib import Path

import duckdb
import pytest
from checkpoint_comparisons import FALLS, of_kind
from synthetic_results import write_synthetic

from failmodes.analysis.evaluations.selection import Selection, select, select_one
from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.analysis.judging.findings.better_model import leading
from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.judging.main_findings import main_findings
from failmodes.analysis.statistics.model_pairs import compare_models_of
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load


def test_of_two_models_each_is_reported_with_its_drop_and_manner(
    con: duckdb.DuckDBPyConnection, selection: Selection, all_findings: list[Finding]
) -> None:
    breaks, better, misleading = main_findings(con, selection)
    for finding in of_kind(all_findings, "largest_drop", verdict="supported"):
        assert f"{finding.model_label} " in breaks
        (shape,) = of_kind(all_findings, "shape", model_label=finding.model_label, corruption=finding.corruption)
        manner = {"late": "late, ", "early": "early, ", "near_linear": "near-linearly, "}.get(shape.claim, "")
        assert f"{finding.model_label} drops {manner}from " in breaks
    (pair,) = of_kind(all_findings, "better_model")
    assert ("The data do not show" in better) == (pair.verdict == "inconclusive")
    assert f"{100 * abs(pair.value or 0):.1f}\u00a0points" in better
    assert ", on the same images" in better
    largest = max(of_kind(all_findings, "overconfidence", verdict="supported"), key=lambda one: one.value or 0)
    assert misleading.startswith(largest.statement)


@pytest.mark.test_all
def test_of_many_models_the_best_is_named_only_where_it_beats_all_others(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection, many_findings: list[Finding]
) -> None:
    _, better, _ = main_findings(many_con, many_selection)
    wins = {name: len(of_kind(many_findings, "better_model", model_label=name, verdict="supported")) for name in FALLS}
    assert max(wins.values()) < len(FALLS) - 1  # two are alike
    assert better.startswith("Birch is the most accurate of 6\u00a0models")
    assert better.endswith("the data do not separate it from Fir.")
    trio = select_one(many_con, models=["Aspen", "Birch", "Cedar"])
    leads = [leading(pair) for pair in compare_models_of(many_con, trio)]
    _, second, lead = min((one for one in leads if one[0].label == "Birch"), key=lambda one: one[2].value)
    said = main_findings(many_con, trio)[1]
    assert said.startswith(f"Birch is the best checkpoint: {100 * lead.value:.1f}\u00a0points [")
    assert f"than {second.label}, the next, and more accurate than " in said


@pytest.mark.test_all
def test_of_too_few_images_nothing_is_said_and_of_a_single_severity_no_shape(tmp_path: Path) -> None:
    for images in (29, 400):
        write_synthetic(tmp_path, images=images, corruptions=("gaussian_noise", "fog"), severities=(3,))
    load([tmp_path], tmp_path / "w.duckdb", derivation=DERIVATION)
    with open_warehouse(tmp_path / "w.duckdb") as con:
        said = {selection.image_count: main_findings(con, selection) for selection in select(con)}
    assert ["too few" in sentence for sentence in said[29]] == [True]
    assert any("drops from" in one and "at severity 3" in one for one in said[400]), said
