"""Findings on attention: drift beside its null, concentration, the object mask, and tallies of many networks."""

from pathlib import Path

import pytest
from model_comparisons import of_topic
from synthetic_record import write_synthetic

from failmodes.analysis.findings.attention import concentration_verdict, drift_sentence
from failmodes.analysis.findings.collection import selection_findings
from failmodes.analysis.findings.finding import Finding
from failmodes.analysis.selection import select_one
from failmodes.analysis.statistics.attention import CellDrift
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.analysis.statistics.shape_tables import ensure_shapes
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load


def test_attention_is_compared_with_its_null(all_findings: list[Finding]) -> None:
    drift, concentration, mask = of_topic(all_findings, "Attention")[:3]
    assert "stays nearer to the image's own clean map" in drift.headline
    assert "null" in drift.detail
    assert concentration.figures["spread_change"] == pytest.approx(0.05, abs=0.01)
    assert mask.figures["mask_share_change"] == pytest.approx(-0.15, abs=0.02)
    assert mask.headline.startswith("Under ")
    assert "leaves the object mask" in mask.headline


@pytest.mark.parametrize(
    ("spread", "entropy", "verdict", "phrase"),
    [
        (Estimate(0.02, 0.01, 0.03), Estimate(0.1, 0.05, 0.15), "found", "concentrates less"),
        (Estimate(-0.02, -0.03, -0.01), Estimate(-0.1, -0.2, -0.05), "found", "concentrates more"),
        (Estimate(0.02, 0.01, 0.03), Estimate(0.01, -0.01, 0.03), "undecided", "neither"),
        (Estimate(0.02, 0.01, 0.03), Estimate(-0.1, -0.2, -0.05), "undecided", "neither"),
    ],
    ids=["both grow", "both shrink", "one within noise", "opposite"],
)
def test_concentration_needs_spread_and_entropy_to_agree(
    spread: Estimate, entropy: Estimate, verdict: str, phrase: str
) -> None:
    decided, found = concentration_verdict([spread, entropy])
    assert decided == verdict
    assert phrase in found


def test_findings_do_not_mention_the_background_without_masks(all_findings: list[Finding]) -> None:
    assert not any("background" in f.headline + f.detail for f in all_findings)


def test_without_pairing_attention_is_undecided_with_the_reason(tmp_path: Path) -> None:
    write_synthetic(tmp_path, images=60, models=("Alpha",), paired=False)
    path = tmp_path / "warehouse.duckdb"
    load([tmp_path], path)
    ensure_shapes(path, ShapeSettings(resamples=50))
    with open_warehouse(path) as con:
        all_findings = selection_findings(con, select_one(con))
    (attention,) = [f for f in of_topic(all_findings, "Attention") if f.verdict != "limitation"]
    assert attention.verdict == "undecided"
    assert "labels differ" in attention.detail
    assert of_topic(all_findings, "Pairing", "limitation")


def test_attention_is_tallied() -> None:
    rows = [("A", "fog", 0.1), ("B", "fog", 0.3), ("C", "snow", 0.2), ("D", "fog", 0.25), ("E", "fog", 0.15)]
    cells = [CellDrift(label, corruption, 5, 0.5, shift, 2 * shift, 0, 1) for label, corruption, shift in rows]
    cells += [CellDrift(label, "frost", 5, 0.5, 0.05, 0.1, 0, 1) for label, _, _ in rows]
    names = {"fog": "Fog", "snow": "Snow", "frost": "Frost"}
    assert drift_sentence(cells, names) == (
        "Of 5 networks, attention moves most under fog in 4 and under snow in 1: from 0.10 in A (null 0.20) to 0.30 "
        "in B (null 0.60), in image\u00a0widths"
    )
    assert drift_sentence(cells[:2], names).startswith("Attention moves most under fog at severity 5: 0.10")
