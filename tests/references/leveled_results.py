"""Results of predictions known by label and prediction alone, on levels of any number, through the writers of a run.

Rows are made up: they serve the tests of levels, of sets without clean images, and of different images in each cell.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from failmodes.ingest.axes import Axis, level_rows, rank_levels, record_levels
from failmodes.runtime.hashing import identity_of
from failmodes.warehouse import schema
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
