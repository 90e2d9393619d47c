"""Results on any number of levels, without a reference level, on clean images only, of other images in each cell."""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.analysis.report.rendering import write_report
from failmodes.analysis.results.opened_warehouse import Warehouse
from failmodes.ingest.axes import Axis, level_rows, parse_axis, rank_levels, record_levels
from failmodes.runtime.errors import StudyError, WarehouseError
from failmodes.runtime.hashing import identity_of
from failmodes.warehouse import schema
from failmodes.warehouse.database.load import load
from failmodes.warehouse.metrics.intervals import exact_interval
from failmodes.warehouse.shards.format import Cell, ShardKey, write_dimension, write_shard

CLASSES = 4
Correct = Mapping[float, float]  # share of correct predictions by value of the level


class Leveled(NamedTuple):
    """What was written: the folder, evaluation ids by model, and correct counts by model, corruption and severity."""

    output: Path
    evaluations: dict[str, str]
    correct: dict[tuple[str, str, int], int]


def write_leveled(
    output: Path,
    curves: Mapping[Axis, Correct],
    *,
    images: int = 160,
    models: Sequence[str] = ("Observer",),
    pairs: bool = False,
    clean: float | None = None,
    unequal: bool = False,
) -> Leveled:
    """Write results of some models, each with the same shares.

    Args:
        output: the folder.
        curves: shares of correct predictions by level, of each axis; a level at the axis' reference is clean.
        images: of each cell.
        models: labels.
        pairs: whether all cells have the same images; else each has its own.
        clean: share of clean images that are correct, where no axis holds its reference.
        unequal: let each cell have one image fewer than the one before.
    """
    cells: dict[tuple[str, int], float] = {} if clean is None else {(schema.CLEAN, 0): clean}
    levels = []
    for axis, shares in curves.items():
        ranks = rank_levels(shares, axis)
        levels += level_rows("levels", axis, ranks)
        cells |= {(axis.corruption if ranks[value] else schema.CLEAN, ranks[value]): s for value, s in shares.items()}
    total = images if pairs else images * len(cells)
    _write_dimensions(output, total, [axis.corruption for axis in curves])
    record_levels(output, "levels", levels)
    evaluations = {}
    correct = {}
    rng = np.random.default_rng(0)
    for label in models:
        evaluations[label] = evaluation_id = identity_of({"model": label})
        _write_evaluation(output, label, evaluation_id, total, paired=pairs)
        for place, ((corruption, severity), share) in enumerate(cells.items()):
            count = images - place * unequal
            ids = np.arange(count) + (0 if pairs else place * images)
            are_correct = rng.permutation(count) < round(share * count)
            correct[label, corruption, severity] = int(are_correct.sum())
            key = ShardKey(evaluation_id, Cell(corruption, Decimal(severity).quantize(Decimal("0.001"))))
            write_shard(output, schema.PREDICTION_FACTS, key, _rows(ids, are_correct))
    return Leveled(output, evaluations, correct)


def _rows(ids: np.ndarray, correct: np.ndarray) -> pa.Table:
    labels = ids % CLASSES
    known = {
        "image_id": ids, "label": labels, "predicted": np.where(correct, labels, (labels + 1) % CLASSES),
        "finite": np.ones(len(ids), bool),
    }  # fmt: skip
    arrow = schema.PREDICTION_FACTS.arrow(without=(*schema.PARTITIONS, schema.PREDICTED_OUTPUT))
    arrays = [
        pa.array(known[field.name]).cast(field.type) if field.name in known else pa.nulls(len(ids), field.type)
        for field in arrow
    ]
    return pa.table(arrays, schema=arrow)


def _write_dimensions(output: Path, images: int, corruptions: Sequence[str]) -> None:
    dataset = {
        "dataset_id": "images", "dataset_name": "table", "dataset_label": "Leveled images", "split": schema.WHOLE,
        "image_count": images, "class_count": CLASSES, "height_px": 32, "width_px": 32, "note": None,
    }  # fmt: skip
    write_dimension(output, schema.DATASETS, "images", [dataset])
    classes = [{"dataset_id": "images", "class_index": i, "class_name": f"class {i}"} for i in range(CLASSES)]
    write_dimension(output, schema.CLASSES, "images", classes)
    rows = [{"dataset_id": "images", "image_id": i, "label": i % CLASSES} for i in range(images)]
    write_dimension(output, schema.IMAGES, "images", rows)
    source = {"source_id": "levels", "source_kind": "table", "source_label": "table of predictions"}
    write_dimension(output, schema.SOURCES, "levels", [source])
    for name in (schema.CLEAN, *corruptions):
        row = {
            "corruption": name, "corruption_label": "Clean" if name == schema.CLEAN else name.capitalize(),
            "corruption_group": "clean" if name == schema.CLEAN else schema.OTHER_GROUP, "headline": False,
            "corruption_order": 0 if name == schema.CLEAN else 2000, "dose_ordered": True, "interpolable": False,
        }  # fmt: skip
        write_dimension(output, schema.CORRUPTIONS, name, [row])


def _write_evaluation(output: Path, label: str, evaluation_id: str, images: int, *, paired: bool) -> None:
    model_id = identity_of({"model_id": label})
    model = {
        "model_id": model_id, "model_label": label, "architecture": "imported", "class_count": CLASSES,
        "family": schema.IMPORTED_FAMILY,
    }  # fmt: skip
    write_dimension(output, schema.MODELS, model_id, [model])
    evaluation = {
        "evaluation_id": evaluation_id, "study": "table", "model_id": model_id, "dataset_id": "images",
        "source_id": "levels", "image_count": images, "subset": "all images", "subset_id": "all",
        "precision": "as imported", "attention_method": "none", "attention_note": "predictions were made elsewhere",
        "paired": paired, "pairing_note": None if paired else "cells show different images",
    }  # fmt: skip
    write_dimension(output, schema.EVALUATIONS, evaluation_id, [evaluation])


CONTRAST = parse_axis("contrast", "%,100..1,log")
NOISE = parse_axis("noise", "width,,0..0.9")
HIGH_PASS = parse_axis("high_pass", "cutoff,px,inf..0.4,log")
SHARES = {100: 0.86, 50: 0.83, 30: 0.8, 15: 0.73, 10: 0.6, 5: 0.35, 3: 0.15, 1: 0.06}
WITHOUT_CLEAN = {value: share for value, share in SHARES.items() if value < 100}
THREE_AXES = {
    HIGH_PASS: {math.inf: 0.9, 3.0: 0.8, 1.5: 0.5, 0.4: 0.1}, NOISE: {0.05: 0.8, 0.1: 0.7, 0.9: 0.2}, CONTRAST: SHARES,
}  # fmt: skip
IMAGES = 160
Found = tuple[Leveled, Warehouse]


def loaded(folder: Path, curves: Mapping, **options: object) -> Found:
    """What was written of models A and B, and its warehouse, with all that a load derives."""
    written = write_leveled(folder, curves, models=("A", "B"), **options)
    load([written.output], folder / "warehouse.duckdb", derivation=DERIVATION)
    return written, Warehouse(folder / "warehouse.duckdb")


@pytest.fixture(scope="module")
def on_three_axes(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return loaded(tmp_path_factory.mktemp("axes"), THREE_AXES, pairs=True)


@pytest.fixture(scope="module")
def without_clean(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """A and B without clean images, and C and D on clean images only."""
    folder = tmp_path_factory.mktemp("without")
    write_leveled(folder, {}, models=("C", "D"), clean=0.8, pairs=True)
    return loaded(folder, {CONTRAST: WITHOUT_CLEAN}, pairs=True)


@pytest.fixture(scope="module")
def on_one_level(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return loaded(tmp_path_factory.mktemp("one"), {CONTRAST: {10: 0.6}, NOISE: {0.1: 0.7}})


@pytest.fixture(scope="module")
def on_clean_images(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return loaded(tmp_path_factory.mktemp("clean"), {}, clean=0.8, pairs=True)


@pytest.fixture(scope="module")
def on_other_images(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return loaded(tmp_path_factory.mktemp("other"), {CONTRAST: SHARES}, unequal=True)


def ticks(w: Warehouse, name: str, **choices: object) -> dict[tuple[str, str], float]:
    """Positions of the ticks of a chart over values, by corruption and text."""
    (data,) = w.chart(name, axis="value", **choices).to_dict()["datasets"].values()
    return {(row["corruption"], row["tick"]): row["position"] for row in data if row.get("tick")}


def test_severities_are_ranks_with_values_and_exact_intervals(on_three_axes: Found) -> None:
    written, w = on_three_axes
    cells = "corruption in ('none', 'contrast')"
    rows = w.sql(f"from accuracy_by_severity where model_label = 'A' and {cells} order by severity").rows(named=True)
    assert [row["severity"] for row in rows] == list(range(8))
    assert [row["level_value"] for row in rows[1:]] == list(WITHOUT_CLEAN)
    assert {row["level_unit"] for row in rows[1:]} == {"%"}
    for row in rows:
        corruption = "contrast" if row["severity"] else "none"
        count = written.correct["A", corruption, int(row["severity"])]
        assert row["correct_count"] == count
        ends = exact_interval(count, IMAGES)
        assert [row["accuracy_low"], row["accuracy_high"]] == pytest.approx([float(end) for end in ends])
    clean = rows[0]["accuracy"]
    assert [row["accuracy_drop"] for row in rows] == pytest.approx([clean - row["accuracy"] for row in rows])
    shapes = w.table("shapes_over_distortion", axis="level_value", corruption="contrast")
    assert shapes["axis_end"].to_list() == [1.0, 1.0]


def test_curves_are_drawn_over_the_values_of_levels(on_three_axes: Found) -> None:
    """A reference level off the scale is at the left, and names no shape."""
    _, w = on_three_axes
    found = ticks(w, "curves", model="A", corruption=["contrast", "noise"])
    assert found["Contrast, % (log)", "100"] == 0
    assert found["Contrast, % (log)", "10"] == pytest.approx(0.5)
    assert found["Contrast, % (log)", "1"] == pytest.approx(1)
    assert found["Noise: width", "0.1"] == pytest.approx(1 / 9)
    inner = 1 / 3 + 2 / 3 * math.log(3 / 1.5) / math.log(3 / 0.4)
    high_pass = {
        text: position for (_, text), position in ticks(w, "curves", model="A", corruption="high_pass").items()
    }
    assert [high_pass[text] for text in ("∞", "3", "1.5", "0.4")] == pytest.approx([0, 1 / 3, inner, 1])
    shapes = w.table("shapes_over_distortion", axis="level_value", corruption="high_pass")["shape"]
    assert set(shapes) == {"inconclusive"}


@pytest.mark.test_all
def test_onset_over_values_is_of_one_corruption(on_three_axes: Found) -> None:
    _, w = on_three_axes
    with pytest.raises(WarehouseError, match="choose one"):
        w.chart("onset", axis="value")
    found = ticks(w, "onset", corruption="contrast")
    assert {text for _, text in found} == {"100", "50", "30", "15", "10", "5", "3", "1"}
    with pytest.raises(StudyError, match="has one axis"):
        w.chart("shapes", axis="value")


@pytest.mark.test_all
def test_a_set_without_a_reference_level_has_accuracies_and_no_drops(without_clean: Found) -> None:
    _, w = without_clean
    rows = w.table("accuracy_by_severity", model_label="A")
    assert sorted(rows["severity"]) == [1, 2, 3, 4, 5, 6, 7]
    assert rows["clean_accuracy"].null_count() == rows["accuracy_drop"].null_count() == 7
    assert w.table("shapes").is_empty()
    assert w.sql("from findings where kind = 'largest_drop'").is_empty()
    compared = w.compare("A", "B")
    assert compared.comparison.clean is None
    assert all(row.scope != "clean" for row in compared.comparison.verdicts)


@pytest.mark.test_all
def test_models_on_clean_images_only_are_compared(without_clean: Found) -> None:
    _, w = without_clean
    (row,) = w.table("accuracy_by_severity", model_label="C").rows(named=True)
    assert (row["corruption"], row["severity"], row["accuracy"]) == ("none", 0, 0.8)
    compared = w.compare("C", "D").comparison
    assert compared.overall.scope == "clean"
    assert compared.overall.estimate.value == pytest.approx(0)


@pytest.mark.test_all
def test_cells_may_have_other_images_and_other_numbers_of_them(on_other_images: Found) -> None:
    written, w = on_other_images
    rows = w.table("accuracy_by_severity", model_label="A").sort("severity")
    assert rows["image_count"].to_list() == [IMAGES - place for place in range(8)]
    for severity, accuracy, count in rows.select("severity", "accuracy", "image_count").rows():
        corruption = "contrast" if severity else "none"
        assert accuracy == pytest.approx(written.correct["A", corruption, int(severity)] / count)
    (drop,) = w.sql("select value from findings where kind = 'largest_drop' and model_label = 'A'").rows()[0]
    assert drop == pytest.approx(rows["accuracy"][0] - rows["accuracy"][-1])
    assert w.table("shapes").is_empty()


@pytest.mark.test_all
def test_one_level_is_no_curve(on_one_level: Found) -> None:
    _, w = on_one_level
    with pytest.raises(WarehouseError, match="no curve"):
        w.chart("curves")


@pytest.mark.test_all
@pytest.mark.parametrize(
    ("made", "shown", "absent"),
    [
        ("on_one_level", "no curve to show", "points per"),
        ("on_clean_images", "80.0", "points per"),
        ("without_clean", "Mean accuracy over", "points per"),
        ("on_other_images", "Mean accuracy over", "no curve to show"),
    ],
)
def test_a_report_says_what_there_is(made: str, shown: str, absent: str, request: pytest.FixtureRequest) -> None:
    _, w = request.getfixturevalue(made)
    text = write_report(w.path).read_text("utf-8")
    assert shown in text
    assert absent not in text
    assert '":NaN' not in text
