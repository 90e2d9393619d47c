"""Severities between the published ones, other numbers of them, and an extra: charts, tables, views and findings."""

from pathlib import Path

import pytest
from checkpoint_comparisons import of_kind
from opened_results import opened

from failmodes.analysis.charts.registry import draw_selection, warehouse_charts
from failmodes.analysis.evaluations.selection import select_one
from failmodes.analysis.judging.findings.correction import selection_findings
from failmodes.analysis.report.report_tables import tables
from failmodes.analysis.statistics.model_accuracy import drop_rankings


@pytest.mark.parametrize(
    ("severities", "whole"),
    [
        pytest.param([0.5, 1, 1.5, 2.5, 5], [2, 5], marks=pytest.mark.test_all, id="uneven"),
        pytest.param([0.25, 0.5, 0.75], [1, 2, 3], marks=pytest.mark.nightly, id="mild"),
    ],
)
def test_everything_takes_any_grid(tmp_path: Path, severities: list[float], whole: list[int]) -> None:
    """Means are over whole severities, where there are none over all; an extra is in none of them and is not ranked."""
    options = {"severities": severities, "corruptions": ("fog", "contrast", "spatter")}
    with opened(tmp_path, images=400, resamples=200, **options) as it:
        alone = select_one(it.con, models=["Alpha"])
        for name in set(warehouse_charts()) - {"shifts", "abstention"}:  # no severity; no threshold among 400 images
            draw_selection(name, it.con, it.selection if name == "differences" else alone)
        accuracy = next(table for table in tables(it.con, alone) if table.caption.startswith("Accuracy"))
        found = selection_findings(it.con, alone)
        (ranking,) = drop_rankings(it.con, alone).values()
        errors = it.con.sql("select model_label, corruption, mean_error from corruption_error_by_model").fetchall()
        onsets = it.con.sql("select distinct severity from onset_by_corruption order by severity").pl()
    assert len(accuracy.columns) == min(len(severities), 5) + 2
    drops = of_kind(found, "largest_drop")
    assert {(drop.corruption, drop.severity) for drop in drops} == {(c, severities[-1]) for c in ("fog", "contrast")}
    assert [drop.corruption for drop in ranking.extras] == ["spatter"]
    assert {(label, c): error for label, c, error in errors} == pytest.approx(
        {key: 1 - correct[whole].mean() for key, correct in it.made.correct.items()}
    )
    assert onsets["severity"].cast(float).to_list() == [0, *severities]
