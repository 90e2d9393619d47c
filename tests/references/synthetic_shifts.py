"""Natural shifts of a synthetic record, with exact numbers of correct images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from synthetic_results import CLASSES, Texts, _write_cell, _write_evaluation, _write_shared_dimensions

from failmodes.ingest.sources import NoCorruption, record_source
from failmodes.runtime.hashing import identity_of
from failmodes.warehouse import schema
from failmodes.warehouse.shards.format import CLEAN_CELL, ShardKey, list_results_files, write_dimension
from failmodes.warehouse.shards.inventory import read_rows


def write_shift(
    output: Path,
    shift: str,
    correct: Mapping[str, int],
    *,
    images: int = 200,
    clean: Mapping[str, str] | None = None,
    clean_correct: Mapping[str, int] | None = None,
    clean_images: int = 100,
    classes: int = len(CLASSES),
    order: int = 1,
    note: str | None = None,
) -> dict[str, str]:
    """Write a shift, and its own clean images where `clean_correct` is given; gives its evaluations by model.

    Args:
        output: the folder of a record.
        shift: its label.
        correct: number of correct images by model, the first ones of the shift.
        images: of the shift.
        clean: evaluations that it is compared with, by model; without them, the shift is restricted.
        clean_correct: number of correct clean images by model, if the shift is restricted.
        clean_images: of these.
        classes: of the shift.
        order: in the study.
        note: on the shift.
    """
    record_source(output, NoCorruption())
    if clean is None:
        assert clean_correct is not None
        clean = _write(output, f"clean of {shift}", clean_correct, clean_images, classes)
    made = _write(output, shift, correct, images, classes)
    sources = _rows(output, schema.SOURCES)
    corrupting = {row["source_id"] for row in sources if row["source_kind"] != schema.NO_CORRUPTION}
    evaluations = _rows(output, schema.EVALUATIONS)
    (dataset_id,) = {row["dataset_id"] for row in evaluations if row["source_id"] in corrupting}
    for label, evaluation_id in made.items():
        row = {
            "evaluation_id": evaluation_id, "shift": shift, "shift_kind": "folder", "shift_order": order,
            "clean_evaluation_id": clean[label], "clean": "Synthetic digits", "dataset_id": dataset_id,
            "class_count": classes, "clean_class_count": len(CLASSES), "restricted": clean_correct is not None,
            "source": "A paper", "note": note,
        }  # fmt: skip
        write_dimension(output, schema.SHIFTS, evaluation_id, [row])
    return made


def _rows(output: Path, table: schema.Table) -> list[dict[str, Any]]:
    return [row for path in list_results_files(output, table) for row in read_rows(path, table).to_pylist()]


def _write(output: Path, name: str, correct: Mapping[str, int], images: int, classes: int) -> dict[str, str]:
    """Write evaluations of clean images only, by model."""
    dataset_id, source_id = identity_of({"shift": name, "images": images}), NoCorruption().source_id
    labels = np.arange(images) % classes
    texts = Texts(dataset=name, classes=CLASSES[:classes])
    _write_shared_dimensions(output, dataset_id, source_id, labels, texts, 0, ())
    record_source(output, NoCorruption())
    made = {}
    for label, count in correct.items():
        evaluation_id = made[label] = identity_of({"model": label, "shift": name, "images": images})
        _write_evaluation(output, label, evaluation_id, dataset_id, source_id, images, True, classes, "synthetic", {})
        rng = np.random.default_rng([images, count])
        is_correct = np.arange(images) < count
        _write_cell(output, ShardKey(evaluation_id, CLEAN_CELL), labels, is_correct, rng, 0, True, classes)
    return made
