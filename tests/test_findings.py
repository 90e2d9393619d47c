"""Findings: verdicts follow the figures, undecided where they cannot tell; tests against scikit, scipy and by hand."""

from pathlib import Path

import duckdb
import numpy as np
import pytest
from scipy import stats

from failmodes.analysis.estimate import Estimate
from failmodes.analysis.findings.attention import concentration_verdict
from failmodes.analysis.findings.collection import findings
from failmodes.analysis.findings.finding import Finding
from failmodes.analysis.formatting import (
    format_interval,
    format_number,
    format_percent,
    format_points,
    join_names,
    lower_label,
)
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.attention import changes_at_last, drift_at_last
from failmodes.analysis.statistics.calibration import calibration_summary
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.analysis.statistics.mcnemar import compare_pairs, exact_mcnemar, holm
from failmodes.analysis.statistics.shape_tables import ensure_shapes
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from tests.synthetic_record import Synthetic, write_synthetic


@pytest.fixture(scope="module")
def con(synthetic: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    path = tmp_path_factory.mktemp("findings") / "warehouse.duckdb"
    load([synthetic.output], path)
    ensure_shapes(path, ShapeSettings(resamples=300))
    return open_warehouse(path)


@pytest.fixture(scope="module")
def selection(con: duckdb.DuckDBPyConnection) -> Selection:
    return select_one(con)


@pytest.fixture(scope="module")
def said(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    return findings(con, selection)


def of_topic(said: list[Finding], topic: str, verdict: str = "") -> list[Finding]:
    return [f for f in said if f.topic == topic and verdict in ("", f.verdict)]


def test_cost_names_first_and_lead(said: list[Finding], synthetic: Synthetic) -> None:
    first = of_topic(said, "Cost")[0]
    right = synthetic.correct["Alpha", "gaussian_noise"].mean(axis=1)
    assert first.headline.startswith("Gaussian noise costs Alpha most")
    assert first.figures["drop"] == pytest.approx(right[0] - right[-1])
    assert first.verdict == "found"
    assert "motion blur" in first.detail  # dearest on average over severities


def test_costs_that_cannot_be_told_apart_are_undecided(con: duckdb.DuckDBPyConnection) -> None:
    close = select_one(con, models=["Alpha"], corruptions=["fog", "contrast"])
    (cost,) = of_topic(findings(con, close), "Cost")
    assert cost.verdict == "undecided"
    assert "cannot be told apart" in cost.headline


def test_shapes_and_collapse_are_named(said: list[Finding]) -> None:
    shape, collapse = of_topic(said, "Shape")[0], of_topic(said, "Collapse")[0]
    assert shape.figures["shape_fog"] == "late_collapse"
    assert "fog: late collapse" in shape.headline
    assert "between severity 4 and 5" in collapse.headline
    assert "39.8\u00a0points, under fog" in collapse.headline


def test_attention_is_held_against_its_null(said: list[Finding]) -> None:
    drift, concentration, mask = of_topic(said, "Attention")[:3]
    assert "stays nearer to the image's own clean map" in drift.headline
    assert "null" in drift.detail
    assert concentration.figures["spread_change"] == pytest.approx(0.05, abs=0.01)
    assert mask.figures["mask_share_change"] == pytest.approx(-0.15, abs=0.02)
    assert mask.headline.startswith("Under ")
    assert "leaves the object mask" in mask.headline


@pytest.mark.parametrize(
    ("spread", "entropy", "verdict", "words"),
    [
        (Estimate(0.02, 0.01, 0.03), Estimate(0.1, 0.05, 0.15), "found", "concentrates less"),
        (Estimate(-0.02, -0.03, -0.01), Estimate(-0.1, -0.2, -0.05), "found", "concentrates more"),
        (Estimate(0.02, 0.01, 0.03), Estimate(0.01, -0.01, 0.03), "undecided", "neither"),
        (Estimate(0.02, 0.01, 0.03), Estimate(-0.1, -0.2, -0.05), "undecided", "neither"),
    ],
    ids=["both grow", "both shrink", "one within noise", "opposite"],
)
def test_concentration_needs_spread_and_entropy_to_agree(
    spread: Estimate, entropy: Estimate, verdict: str, words: str
) -> None:
    decided, said = concentration_verdict([spread, entropy])
    assert decided == verdict
    assert words in said


def test_no_word_of_the_background_without_masks(said: list[Finding]) -> None:
    assert not any("background" in f.headline + f.detail for f in said)


def test_comparison_is_undecided_and_says_why(said: list[Finding]) -> None:
    (comparison,) = of_topic(said, "Comparison")
    assert comparison.verdict == "undecided"
    assert "one training run" in comparison.detail


def test_limits_name_seed_data_and_severity(said: list[Finding]) -> None:
    limits = " ".join(f.headline + f.detail for f in said if f.verdict == "limit")
    for words in ("single training runs", "synthetic: no real images", "not a dose", "ImageNet-C only"):
        assert words in limits


def test_without_pairing_attention_is_undecided_with_the_reason(tmp_path: Path) -> None:
    write_synthetic(tmp_path, images=60, models=("Alpha",), paired=False)
    path = tmp_path / "warehouse.duckdb"
    load([tmp_path], path)
    ensure_shapes(path, ShapeSettings(resamples=50))
    with open_warehouse(path) as con:
        said = findings(con, select_one(con))
    (attention,) = [f for f in of_topic(said, "Attention") if f.verdict != "limit"]
    assert attention.verdict == "undecided"
    assert "labels differ" in attention.detail
    assert of_topic(said, "Pairing", "limit")


def test_drift_and_changes_agree_with_numpy(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    evaluation = selection.evaluations[0]
    rows = con.sql(
        "select * from attention where evaluation_id = ? and target = 'clean'", params=[evaluation.evaluation_id]
    ).pl()
    fog = rows.filter(corruption="fog", severity=5)
    drift = next(d for d in drift_at_last(con, selection, evaluation) if d.corruption == "fog")
    difference = (fog["null_centroid_shift"] - fog["centroid_shift"]).to_numpy().astype(float)
    low, high = stats.norm.interval(0.95, difference.mean(), stats.sem(difference))
    assert drift.below_null == pytest.approx((difference.mean(), low, high), abs=1e-6)
    assert drift.median_shift == pytest.approx(float(np.median(fog["centroid_shift"])), abs=1e-6)
    change = next(c for c in changes_at_last(con, selection, evaluation) if c.measure == "mass")
    assert change.clean == pytest.approx(rows.filter(corruption="none")["mass"].mean(), abs=1e-4)
    assert change.change.below_zero


def test_confidence_agrees_with_numpy(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    evaluation = selection.evaluations[0]
    rows = con.sql(
        "select confidence, correct from outcomes where evaluation_id = ? and severity = 5",
        params=[evaluation.evaluation_id],
    ).pl()
    found = calibration_summary(con, selection, evaluation)
    wrong = rows.filter(~rows["correct"])
    assert found.last_gap.value == pytest.approx(
        float((rows["confidence"] - rows["correct"].cast(int)).mean()), abs=1e-6
    )
    assert found.failure_count == len(wrong)
    assert found.sure_failures is not None
    assert found.sure_failures.value == pytest.approx(float((wrong["confidence"] >= 0.9).mean()))
    assert found.sure_failures.low < found.sure_failures.value < found.sure_failures.high


def test_mcnemar_counts_agree_with_correctness(
    con: duckdb.DuckDBPyConnection, selection: Selection, synthetic: Synthetic
) -> None:
    (pair,) = compare_pairs(con, selection)
    assert len(pair.cells) == 26
    cell = next(c for c in pair.cells if (c.corruption, c.severity) == ("fog", 5))
    a, b = synthetic.correct["Alpha", "fog"][5], synthetic.correct["Beta", "fog"][5]
    assert (cell.only_a, cell.only_b) == (int((a & ~b).sum()), int((b & ~a).sum()))


def test_exact_mcnemar_by_hand() -> None:
    assert exact_mcnemar(0, 0) == 1
    assert exact_mcnemar(5, 0) == pytest.approx(2 / 2**5)
    assert exact_mcnemar(3, 1) == pytest.approx(2 * (1 + 4) / 2**4)


def test_holm_by_hand() -> None:
    # sorted: .01 x 3 = .03; .02 x 2 = .04; .04 x 1 = .04 (never below a smaller one)
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_numbers_as_a_reader_sees_them() -> None:
    assert format_number(-0.04, 1) == "0.0"
    assert format_number(-1.25, 1, signed=True) == "\u22121.2"
    assert format_percent(0.9478) == "94.8\u00a0%"
    assert format_points(-0.431) == "\u221243.1\u00a0points"
    assert format_interval(0.1, 0.25) == "[10.0,\u00a025.0]"
    assert join_names(["a", "b", "c"]) == "a, b and c"
    assert lower_label("Fog") == "fog"
    assert lower_label("Gaussian noise") == "Gaussian noise"
    assert lower_label("JPEG compression") == "JPEG compression"
    assert Estimate(1, 0.5, 2).above_zero
    assert not Estimate(1, -0.5, 2).above_zero
