"""Findings on curves: shape, one step, flat and rise, each with its verdict, its figures and its reason."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest
from checkpoint_comparisons import judged, of_kind
from rewritten_shards import cell_of, reply_with
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.judging.findings.shape import STABLE, is_stable, shape_of
from failmodes.analysis.selection import Selection, read_for_selection, select_one
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load

SHAPES = {"fog": "late_collapse", "motion_blur": "early_drop", "contrast": "near_linear",
          "gaussian_noise": "non_monotone", "brightness": "inconclusive"}  # fmt: skip


def test_shapes_are_named_with_their_curvature(all_findings: list[Finding]) -> None:
    found = {f.corruption: f for f in of_kind(all_findings, "shape", model_label="Alpha")}
    assert {corruption: finding.claim for corruption, finding in found.items()} == SHAPES
    assert {c for c, finding in found.items() if finding.verdict == "supported"} == SHAPES.keys() - {"brightness"}
    words = {"fog": "falls late", "motion_blur": "falls early", "contrast": "falls near-linearly"}
    for corruption, said in words.items():
        finding = found[corruption]
        assert said in finding.sentence
        assert finding.unit == "curvature"
        curvature = f"{finding.value:+.2f} [{finding.low:.2f},\u00a0{finding.high:.2f}]".replace("-", "\u2212")
        assert f"curvature {curvature}" in finding.sentence
    rises = found["gaussian_noise"]
    assert "falls and rises again" in rises.sentence
    assert rises.unit == "accuracy"


def test_an_inconclusive_shape_gives_its_reason(all_findings: list[Finding]) -> None:
    (finding,) = of_kind(all_findings, "shape", model_label="Alpha", corruption="brightness")
    assert finding.verdict == "inconclusive"
    assert "Alpha under brightness is inconclusive: so many images show drops from" in finding.sentence


def test_a_class_needs_nearly_all_resamples(many_findings: list[Finding]) -> None:
    found = of_kind(many_findings, "shape", model_label="Aspen", corruption="contrast")
    assert [(f.verdict, f.claim) for f in found] == [("inconclusive", "inconclusive")]
    assert "near-linear in" in found[0].sentence
    row = {"reason": None, "stability": STABLE, "shape": "early_drop", "curvature_low": -0.4, "curvature_high": -0.3}
    assert (is_stable(row), shape_of(row)) == (True, "early_drop")
    assert shape_of(row | {"stability": STABLE - 0.001}) == "inconclusive"
    assert shape_of(row | {"reason": "too few"}) == "inconclusive"
    assert shape_of(row | {"curvature_high": -0.4}) == "inconclusive", (
        "no resample has another curvature: too few images change"
    )


def test_a_curve_that_ends_at_chance_says_so(many_findings: list[Finding], many_results: Synthetic) -> None:
    correct = many_results.correct["Cedar", "motion_blur"].mean(axis=1)
    assert correct[2] < 0.25
    (finding,) = of_kind(many_findings, "shape", model_label="Cedar", corruption="motion_blur")
    assert "to chance from severity" in finding.sentence
    (aspen,) = of_kind(many_findings, "shape", model_label="Aspen", corruption="motion_blur")
    assert "chance" not in aspen.sentence


def test_a_collapse_in_one_step_names_the_step(all_findings: list[Finding], synthetic: Synthetic) -> None:
    found = {f.corruption: f for f in of_kind(all_findings, "abrupt_drop", model_label="Alpha")}
    verdicts = {corruption: finding.verdict for corruption, finding in found.items()}
    assert verdicts == {"fog": "supported", "motion_blur": "supported", "contrast": "contradicted",
                        "gaussian_noise": "inconclusive", "brightness": "inconclusive"}  # fmt: skip
    correct = synthetic.correct["Alpha", "fog"].mean(axis=1)
    assert found["fog"].value == pytest.approx(correct[4] - correct[5])
    assert "between severity 4 and 5" in found["fog"].sentence
    assert "between clean and 1" in found["motion_blur"].sentence
    assert "does not collapse in one step" in found["contrast"].sentence


def test_leaving_the_clean_accuracy_contradicts_flat(all_findings: list[Finding], synthetic: Synthetic) -> None:
    found = {f.corruption: f for f in of_kind(all_findings, "flat", model_label="Alpha")}
    assert {c for c, finding in found.items() if finding.verdict == "contradicted"} == found.keys() - {"brightness"}
    assert found["brightness"].verdict == "inconclusive"
    correct = synthetic.correct["Alpha", "fog"].mean(axis=1)
    assert found["fog"].value == pytest.approx(correct[-1] - correct[0]), "down is negative here"
    assert found["fog"].low < found["fog"].value < found["fog"].high < 0
    assert "2\u00a0points" in found["fog"].sentence


def test_rises_are_judged_for_all_curves_together(all_findings: list[Finding], synthetic: Synthetic) -> None:
    found = {f.corruption: f for f in of_kind(all_findings, "rise", model_label="Alpha")}
    verdicts = {corruption: finding.verdict for corruption, finding in found.items()}
    assert verdicts == {"fog": "inconclusive", "brightness": "inconclusive", "contrast": "contradicted",
                        "motion_blur": "contradicted", "gaussian_noise": "contradicted"}  # fmt: skip
    for corruption, finding in found.items():
        correct = synthetic.correct["Alpha", corruption].mean(axis=1)
        assert finding.value == pytest.approx(correct[1:].max() - correct[0])
        assert finding.severity == 1 + correct[1:].argmax()
        assert f"severity {finding.severity:g}" in finding.sentence


@pytest.fixture(scope="module")
def many_images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """1,500 images: Level hardly falls under brightness, Riser gains accuracy under fog."""
    folder = tmp_path_factory.mktemp("many_images")
    write_synthetic(folder, images=1500, models=("Level", "Riser"), falls={"Level": 0.2, "Riser": -0.1},
                    corruptions=("brightness", "fog"), severities=(2, 5))  # fmt: skip
    load([folder], folder / "w.duckdb")
    ensure_shapes(folder / "w.duckdb", ShapeSettings(resamples=200))
    with open_warehouse(folder / "w.duckdb") as con:
        yield con


def test_enough_images_show_that_a_curve_stays_flat(many_images: duckdb.DuckDBPyConnection) -> None:
    selection = select_one(many_images, models=["Level"])
    (flat,) = of_kind(judged(many_images, selection, "flat"), "flat", corruption="brightness")
    (shape,) = of_kind(judged(many_images, selection, "shape"), "shape", corruption="brightness")
    assert (flat.verdict, shape.verdict, shape.claim) == ("supported", "supported", "flat")
    assert -0.02 < flat.low < flat.value < flat.high < 0.02
    assert "stays within 2\u00a0points" in flat.sentence
    assert "stays flat" in shape.sentence


def test_a_gain_in_accuracy_is_a_rise(many_images: duckdb.DuckDBPyConnection) -> None:
    selection = select_one(many_images, models=["Riser"])
    (rise,) = of_kind(judged(many_images, selection, "rise"), "rise", corruption="fog")
    (shape,) = of_kind(judged(many_images, selection, "shape"), "shape", corruption="fog")
    assert (rise.verdict, rise.severity, shape.claim) == ("supported", 5, "rise")
    assert rise.low > 0
    assert "more accurate than when clean at severity 5" in rise.sentence
    assert shape.value < 0, "its drop is negative"
    (flat,) = of_kind(judged(many_images, selection, "flat"), "flat", corruption="fog")
    assert flat.verdict == "contradicted"
    assert flat.value > 0


@pytest.mark.slow
def test_a_curve_that_falls_and_comes_back_contradicts_flat(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path, images=200, models=("A",), corruptions=("fog",), severities=(2, 5))
    clean = np.arange(200) % 4
    for severity, incorrect in ((0, 20), (2, 100), (5, 20)):
        predictions = np.where(np.arange(200) < incorrect, (clean + 1) % 4, clean)
        reply_with(made, cell_of(made, "A", "fog", severity), predictions.tolist())
    load([tmp_path], tmp_path / "w.duckdb")
    ensure_shapes(tmp_path / "w.duckdb", ShapeSettings(resamples=50))
    with open_warehouse(tmp_path / "w.duckdb") as con:
        (flat,) = judged(con, select_one(con), "flat")
    assert flat.high < -0.3, "its largest change lies far beyond the margin with its whole interval"
    assert flat.verdict == "contradicted"


def test_the_same_drop_is_the_same_number_wherever_it_is_reported(all_findings: list[Finding]) -> None:
    for drop in of_kind(all_findings, "largest_drop"):
        (shape,) = of_kind(all_findings, "shape", evaluation_id=drop.evaluation_id, corruption=drop.corruption)
        if shape.unit == "accuracy":
            assert shape.value == drop.value


def test_every_curve_is_judged_four_times(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    curves = len(read_for_selection(con, "shapes", selection))
    for kind in ("shape", "abrupt_drop", "flat", "rise"):
        found = judged(con, selection, kind)
        assert len(found) == curves
        assert np.isfinite([finding.value for finding in found]).all()
