"""Results on any number of levels, without a reference level, on clean images only, of other images in each cell."""

import math
from pathlib import Path

import pytest
from leveled_results import Leveled, write_leveled

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.analysis.judging.stored import open_current
from failmodes.analysis.report.rendering import write_report
from failmodes.analysis.results.opened_warehouse import Warehouse
from failmodes.ingest.axes import parse_axis
from failmodes.runtime.errors import StudyError, WarehouseError
from failmodes.warehouse.database.load import load
from failmodes.warehouse.metrics.intervals import exact_interval

CONTRAST = parse_axis("contrast", "%,100..1,log")
NOISE = parse_axis("noise", "width,,0..0.9")
SHARES = {100: 0.86, 50: 0.83, 30: 0.8, 15: 0.73, 10: 0.6, 5: 0.35, 3: 0.15, 1: 0.06}
IMAGES = 160


def loaded(folder: Path, written: Leveled) -> Warehouse:
    """A warehouse of written results, with all that a load derives."""
    load([written.output], folder / "warehouse.duckdb", derivation=DERIVATION)
    return Warehouse(folder / "warehouse.duckdb")


def test_severities_are_ranks_with_values_and_exact_intervals(tmp_path):
    written = write_leveled(tmp_path, {CONTRAST: SHARES}, models=("A", "B"))
    w = loaded(tmp_path, written)
    rows = w.sql("from accuracy_by_severity where model_label = 'A' order by severity").rows(named=True)
    assert [row["severity"] for row in rows] == list(range(8))
    assert [row["level_value"] for row in rows] == list(SHARES)
    assert {row["level_unit"] for row in rows} == {"%"}
    for row in rows:
        corruption = "contrast" if row["severity"] else "none"
        count = written.correct["A", corruption, int(row["severity"])]
        assert row["correct_count"] == count
        ends = exact_interval(count, IMAGES)
        assert [row["accuracy_low"], row["accuracy_high"]] == pytest.approx([float(end) for end in ends])
    clean = rows[0]["accuracy"]
    assert [row["accuracy_drop"] for row in rows] == pytest.approx([clean - row["accuracy"] for row in rows])
    shapes = w.table("shapes_over_distortion")
    assert set(shapes.filter(axis="level_value")["axis_end"]) == {1.0}
    assert len(shapes.filter(axis="level_value")) == 2


def test_a_set_without_a_reference_level_has_accuracies_and_no_drops(tmp_path):
    without = {value: share for value, share in SHARES.items() if value < 100}
    w = loaded(tmp_path, write_leveled(tmp_path, {CONTRAST: without}, models=("A", "B"), pairs=True))
    rows = w.table("accuracy_by_severity", model_label="A")
    assert sorted(rows["severity"]) == [1, 2, 3, 4, 5, 6, 7]
    assert rows["clean_accuracy"].null_count() == rows["accuracy_drop"].null_count() == 7
    assert w.table("shapes").is_empty()
    assert w.sql("from findings where kind = 'largest_drop'").is_empty()
    compared = w.compare("A", "B")
    assert compared.comparison.clean is None
    assert all(row.scope != "clean" for row in compared.comparison.verdicts)
    text = write_report(tmp_path / "warehouse.duckdb").read_text("utf-8")
    assert "Mean accuracy over" in text
    assert "points per" not in text


def test_one_level_is_no_curve(tmp_path):
    w = loaded(tmp_path, write_leveled(tmp_path, {CONTRAST: {10: 0.6}, NOISE: {0.1: 0.7}}, models=("A", "B")))
    with pytest.raises(WarehouseError, match="no curve"):
        w.chart("curves")
    text = write_report(tmp_path / "warehouse.duckdb").read_text("utf-8")
    assert '":NaN' not in text
    assert "no curve to show" in text


def test_models_on_clean_images_only_are_reported_and_compared(tmp_path):
    w = loaded(tmp_path, write_leveled(tmp_path, {}, models=("A", "B"), clean=0.8, pairs=True))
    (row,) = w.table("accuracy_by_severity", model_label="A").rows(named=True)
    assert (row["corruption"], row["severity"], row["accuracy"]) == ("none", 0, 0.8)
    compared = w.compare("A", "B").comparison
    assert compared.overall.scope == "clean"
    assert compared.overall.estimate.value == pytest.approx(0)
    assert write_report(tmp_path / "warehouse.duckdb").exists()


def test_cells_may_have_other_images_and_other_numbers_of_them(tmp_path):
    written = write_leveled(tmp_path, {CONTRAST: SHARES}, models=("A", "B"), unequal=True)
    w = loaded(tmp_path, written)
    rows = w.table("accuracy_by_severity", model_label="A").sort("severity")
    assert rows["image_count"].to_list() == [IMAGES - place for place in range(8)]
    for severity, accuracy, count in rows.select("severity", "accuracy", "image_count").rows():
        corruption = "contrast" if severity else "none"
        assert accuracy == pytest.approx(written.correct["A", corruption, int(severity)] / count)
    (drop,) = w.sql("select value from findings where kind = 'largest_drop' and model_label = 'A'").rows()[0]
    assert drop == pytest.approx(rows["accuracy"][0] - rows["accuracy"][-1])
    assert w.table("shapes").is_empty()
    with open_current(tmp_path / "warehouse.duckdb"):
        pass
    assert write_report(tmp_path / "warehouse.duckdb").exists()


def test_a_reference_level_off_the_scale_is_at_the_left_and_names_no_shape(tmp_path):
    high_pass = parse_axis("high_pass", "cutoff,px,inf..0.4,log")
    shares = {math.inf: 0.9, 3.0: 0.8, 1.5: 0.5, 0.4: 0.1}
    w = loaded(tmp_path, write_leveled(tmp_path, {high_pass: shares}))
    (data,) = w.chart("curves", axis="value").to_dict()["datasets"].values()
    ticks = {row["tick"]: row["position"] for row in data if row.get("tick")}
    inner = 1 / 3 + 2 / 3 * math.log(3 / 1.5) / math.log(3 / 0.4)
    assert [ticks[text] for text in ("∞", "3", "1.5", "0.4")] == pytest.approx([0, 1 / 3, inner, 1])
    (shape,) = w.table("shapes_over_distortion", axis="level_value")["shape"]
    assert shape == "inconclusive"


def test_onset_over_values_is_of_one_corruption(tmp_path):
    noise = {0.05: 0.8, 0.1: 0.7, 0.9: 0.2}
    w = loaded(tmp_path, write_leveled(tmp_path, {CONTRAST: SHARES, NOISE: noise}, pairs=True))
    with pytest.raises(WarehouseError, match="choose one"):
        w.chart("onset", axis="value")
    (data,) = w.chart("onset", axis="value", corruption="contrast").to_dict()["datasets"].values()
    assert {row["tick"] for row in data if row.get("tick")} == {"100", "50", "30", "15", "10", "5", "3", "1"}
    with pytest.raises(StudyError, match="has one axis"):
        w.chart("shapes", axis="value")


def test_curves_are_drawn_over_the_values_of_levels(tmp_path):
    noise = {0.05: 0.8, 0.1: 0.7, 0.9: 0.2}
    w = loaded(tmp_path, write_leveled(tmp_path, {CONTRAST: SHARES, NOISE: noise}, pairs=True))
    rows = w.chart("curves", axis="value").to_dict()["datasets"]
    (data,) = rows.values()
    ticks = {(row["corruption"], row["tick"]): row["position"] for row in data if row.get("tick")}
    assert ticks["Contrast, % (log)", "100"] == 0
    assert ticks["Contrast, % (log)", "10"] == pytest.approx(0.5)
    assert ticks["Contrast, % (log)", "1"] == pytest.approx(1)
    assert ticks["Noise: width", "0.1"] == pytest.approx(1 / 9)
