"""The evaluations of a checked table: their identity, their rows of dimensions, and their predictions by cell."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.evaluate.fact_rows import fact_rows
from failmodes.evaluate.notes import Note
from failmodes.evaluate.tables.checked_table import CheckedTable, ImportedModel
from failmodes.evaluate.tables.classes import NO_PREDICTION
from failmodes.evaluate.tables.options import TableOptions
from failmodes.evaluate.tables.outputs import as_logits, blocks, filled, prediction_columns
from failmodes.runtime.hashing import fingerprint_of, identity_of
from failmodes.warehouse.schema import (
    FULL_LOGITS_CLASSES,
    IMPORTED_FAMILY,
    PREDICTED_OUTPUT,
    PREDICTION_FACTS,
    SCALED_LOG_SUM_EXP,
    SCHEMA_VERSION,
)
from failmodes.warehouse.shards.format import Cell

ELSEWHERE = "predictions were made elsewhere"
AS_IMPORTED = "as imported"  # precision
NOT_PAIRED = "cells show different images"


class TableEvaluation:
    """An evaluation of a table: a model or one of its runs, and its rows by cell."""

    def __init__(
        self, checked: CheckedTable, model: ImportedModel, rows: NDArray[np.int64], of_model: NDArray[np.int64]
    ) -> None:
        """The rows of one run, and those of all runs of the model."""
        self.checked = checked
        self.model = model
        codes = checked.conditions.codes[rows]
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        self.cells: dict[Cell, NDArray[np.int64]] = {
            checked.conditions.cells[codes[start]]: rows[start:stop]
            for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True)
        }
        own = [checked.image_ids[part] for part in self.cells.values()]
        self.paired = all(len(part) == len(own[0]) and bool((part == own[0]).all()) for part in own)
        self.image_count = len(np.unique(np.concatenate(own)))
        self.images = np.unique(checked.image_ids[of_model])
        self.missing = _missing_predictions(checked, model.label, of_model)
        self.model_id = identity_of(
            {
                "imported": {
                    f"{cell.corruption}/{cell.severity}": self._fingerprint(part) for cell, part in self.cells.items()
                },
                "label": model.label,
                "run": model.run,
            }
        )
        self.evaluation_id = identity_of(
            {
                "schema": SCHEMA_VERSION,
                "model": self.model_id,
                "source": checked.conditions.source_id,
                "images": self.subset_id,
            }
        )

    @property
    def subset_id(self) -> str:
        """Hash of the names of all images of the model."""
        return identity_of([self.checked.dataset.images[image] for image in self.images.tolist()])

    @property
    def notes(self) -> list[Note]:
        """Notes and warnings about the predictions."""
        label = self.model.full_label
        kind = self.checked.table.columns.kind
        known = "classes" if self.checked.table.confidence is None else "classes and their confidence"
        notes = [Note("outputs", f"{kind or known} as imported", label, "note"), *self.missing]
        if self.model.run is not None:
            notes.append(Note("run", f"run {self.model.run} of the table", label, "note"))
        if not self.paired:
            notes.append(
                Note("pairing", f"{NOT_PAIRED}: intervals of differences are of independent samples", label, "note")
            )
        return notes

    def model_row(self, options: TableOptions) -> dict[str, Any]:
        """The row of `models`."""
        return {
            "model_id": self.model_id,
            "model_label": self.model.full_label,
            "architecture": options.architecture,
            "family": IMPORTED_FAMILY,
            "class_count": len(self.checked.dataset.class_names),
            "training_seed": self.model.seed,
        }

    def row(self, options: TableOptions) -> dict[str, Any]:
        """The row of `evaluations`."""
        return {
            "evaluation_id": self.evaluation_id,
            "study": options.dataset,
            "model_id": self.model_id,
            "dataset_id": self.checked.dataset.dataset_id,
            "source_id": self.checked.conditions.source_id,
            "image_count": self.image_count,
            "subset": f"all {self.image_count:,} images of the table",
            "subset_id": self.subset_id,
            "precision": AS_IMPORTED,
            "attention_method": "none",
            "attention_note": ELSEWHERE,
            "paired": self.paired,
            "pairing_note": None if self.paired else NOT_PAIRED,
        }

    def _fingerprint(self, rows: NDArray[np.int64]) -> str:
        """Hash of the predictions of a cell, which does not depend on how images and classes are numbered."""
        checked = self.checked
        images = checked.image_hashes[checked.image_ids[rows]]
        order = np.argsort(images)
        arrays: list[NDArray[Any]] = [images[order], checked.class_hashes[checked.classes.labels[rows]][order]]
        if checked.classes.predicted is not None:
            arrays.append(checked.class_hashes[checked.classes.predicted[rows]][order])
        if checked.table.confidence is not None:
            arrays.append(_plain_numbers(checked.table.confidence[rows])[order])
        if checked.table.outputs is not None:
            arrays.append(_plain_numbers(np.asarray(checked.table.outputs[rows])[:, checked.class_order])[order])
        return fingerprint_of(arrays)


def table_evaluations(checked: CheckedTable) -> Iterator[TableEvaluation]:
    """The evaluations of a table, one per model and run."""
    models = checked.model_codes[checked.kept]
    starts = np.searchsorted(models, np.arange(len(checked.models) + 1))
    of_model = [checked.kept[start:stop] for start, stop in zip(starts, starts[1:], strict=False)]
    for model, rows in zip(checked.models, of_model, strict=True):
        runs = [other for one, other in zip(checked.models, of_model, strict=True) if one.label == model.label]
        yield TableEvaluation(checked, model, rows, np.concatenate(runs))


def _missing_predictions(checked: CheckedTable, label: str, rows: NDArray[np.int64]) -> list[Note]:
    """A warning if predictions of a model are missing; the same for each of its runs."""
    predicted = checked.classes.predicted
    count = 0 if predicted is None else int((predicted[rows] == NO_PREDICTION).sum())
    if not count:
        return []
    texts = ", ".join(repr(text) for text in checked.classes.missing)
    text = f"{label}: {count:,} of {len(rows):,} predictions are missing ({texts}); they count as incorrect"
    return [Note("missing_predictions", text)]


def prediction_facts(checked: CheckedTable, rows: NDArray[np.int64]) -> pa.Table:
    """Rows of `prediction_facts` of a cell."""
    if checked.table.outputs is None:
        return pa.Table.from_batches([_of_predictions(checked, rows)])
    count = checked.table.outputs.shape[1]
    omitted = [PREDICTED_OUTPUT, *[SCALED_LOG_SUM_EXP] * (count <= FULL_LOGITS_CLASSES)]
    kind = checked.table.columns.kind
    assert kind is not None
    parts = []
    for start, stop in blocks(len(rows), count):
        block = rows[start:stop]
        logits = as_logits(np.asarray(checked.table.outputs[block])[:, checked.class_order], kind)
        logits = filled(logits, checked.half_step) if kind == "probabilities" else logits
        columns = prediction_columns(logits, checked.classes.labels[block], kind)
        parts.append(fact_rows(PREDICTION_FACTS, columns | {"image_id": checked.image_ids[block]}, omitted))
    return pa.Table.from_batches(parts)


def _of_predictions(checked: CheckedTable, rows: NDArray[np.int64]) -> pa.RecordBatch:
    """Rows without outputs: columns that need more than class and confidence are null."""
    assert checked.classes.predicted is not None
    predicted = checked.classes.predicted[rows]
    is_missing = predicted == NO_PREDICTION
    columns: dict[str, Any] = {
        "image_id": checked.image_ids[rows],
        "label": checked.classes.labels[rows],
        "predicted": np.ma.masked_array(predicted, is_missing),
        "finite": ~is_missing,
    }
    if checked.table.confidence is not None:
        confidence = checked.table.confidence[rows]
        columns["confidence"] = np.ma.masked_array(confidence, is_missing | np.isnan(confidence))
    return fact_rows(PREDICTION_FACTS, columns, [PREDICTED_OUTPUT, SCALED_LOG_SUM_EXP])


def _plain_numbers(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers whose bytes are equal where they are: −0 is 0, and all NaNs are the same."""
    plain = values + 0.0
    plain[np.isnan(plain)] = np.nan
    return plain
