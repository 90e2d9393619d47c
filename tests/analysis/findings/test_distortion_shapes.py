"""Findings on the two axes of shape: where they disagree, where they agree, and where that cannot be told."""

import duckdb
import pytest
from checkpoint_comparisons import of_kind

from failmodes.analysis.charts.distortion_shapes import (
    KIND,
    axes_verdict,
    axis_pairs,
    distortion_shape_findings,
    distortion_shapes_sentence,
)
from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.judging.findings.headlines import headlines
from failmodes.analysis.selection import Selection, select_one

STEADY = {"shape": "near_linear", "stability": 1.0, "curvature_low": 0.0, "curvature_high": 0.1, "reason": None}
LATE = STEADY | {"shape": "late_collapse"}
OPEN = STEADY | {"stability": 0.9}


@pytest.fixture(scope="module")
def found(bent_axis: duckdb.DuckDBPyConnection) -> list[Finding]:
    return distortion_shape_findings(bent_axis, select_one(bent_axis))


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        (LATE, STEADY, "supported"),
        (LATE, LATE, "contradicted"),
        (LATE, OPEN, "inconclusive"),
        (OPEN, LATE, "inconclusive"),
    ],
)
def test_both_classes_must_be_stable(first: dict, second: dict, verdict: str) -> None:
    assert axes_verdict(first, second) == verdict


def test_a_shape_that_is_another_is_reported_with_its_curvature(found: list[Finding]) -> None:
    (fog,) = of_kind(found, KIND, corruption="fog", claim="rmse")
    assert (fog.verdict, fog.unit) == ("supported", "curvature")
    assert fog.value is not None
    assert abs(fog.value) < 0.01
    assert "Under fog Alpha falls late over severity but near-linearly over RMSE: curvature " in fog.sentence


def test_a_shape_that_is_the_same_is_contradicted(found: list[Finding]) -> None:
    (fog,) = of_kind(found, KIND, corruption="fog", claim="1-ssim")
    assert fog.verdict == "contradicted"
    assert "falls late over 1\u00a0\u2212\u00a0SSIM as over severity" in fog.sentence


def test_nothing_is_judged_over_distortion_that_does_not_rise(
    bent_axis: duckdb.DuckDBPyConnection, found: list[Finding]
) -> None:
    assert [f.claim for f in found if f.corruption == "contrast"] == ["1-ssim"]
    reasons = bent_axis.execute(
        "select reason from shapes_over_distortion where corruption = 'contrast' and axis = 'rmse'"
    ).fetchall()
    assert reasons == [("mean RMSE falls from severity 3 to 4",)]


def test_the_largest_change_comes_first(found: list[Finding], bent_axis: duckdb.DuckDBPyConnection) -> None:
    assert (found[0].corruption, found[0].claim) == ("fog", "rmse")
    text = [headline for headline in headlines(found) if headline.kind == KIND]
    assert [headline.sentence for headline in text if headline.verdict == "supported"] == [found[0].sentence]
    sentence = distortion_shapes_sentence(bent_axis, select_one(bent_axis))
    assert sentence.startswith("Under fog Alpha falls late over severity but near-linearly over RMSE: curvature ")
    assert sentence.endswith("; the axes disagree for 1 of 3\u00a0curves")


def test_where_the_axes_agree_it_is_said(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    verdicts = [axes_verdict(*pair) for pair in axis_pairs(con, selection)]
    assert "supported" not in verdicts
    sentence = distortion_shapes_sentence(con, selection)
    assert (
        "No curve is shown to have another shape over RMSE and 1\u00a0\u2212\u00a0SSIM than over severity" in sentence
    )
    assert f"{verdicts.count('contradicted')} alike" in sentence


def test_curves_that_do_not_fall_are_not_judged(all_findings: list[Finding]) -> None:
    judged = {f.corruption for f in of_kind(all_findings, KIND)}
    assert judged == {"fog", "contrast", "motion_blur"}
