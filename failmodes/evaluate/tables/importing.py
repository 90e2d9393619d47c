"""The import of tables without a study: check all rows, identify the evaluations, and publish missing cells."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.evaluate.fact_rows import fact_rows
from failmodes.evaluate.notes import Note, record_notes, refuse_warnings
from failmodes.evaluate.tables.checking import are_indices, compiled, extracted, refuse
from failmodes.evaluate.tables.classes import NO_PREDICTION, ClassColumns, find_classes
from failmodes.evaluate.tables.columns import Columns, Role
from failmodes.evaluate.tables.conditions import Conditions, find_conditions
from failmodes.evaluate.tables.options import TableOptions, check_label
from failmodes.evaluate.tables.outputs import (
    as_logits,
    blocks,
    check_outputs,
    filled,
    prediction_columns,
)
from failmodes.evaluate.tables.reading import NO_TEXT, PredictionTable, ProgressCallback, read_tables
from failmodes.evaluate.tables.table_dataset import TableDataset, extended, record_table_dataset, stored_dataset
from failmodes.ingest.axes import record_levels
from failmodes.ingest.data_files import check_names
from failmodes.ingest.sources import record_corruptions
from failmodes.ingest.study_types import MAX_INT32
from failmodes.runtime.errors import DamagedShardError, DataError, StudyError, counted, listed, shown
from failmodes.runtime.hashing import fingerprint_of, identity_of
from failmodes.runtime.packages import library_versions
from failmodes.runtime.storage.files import StorePath, remove_stale_temporaries
from failmodes.warehouse.schema import (
    EVALUATIONS,
    FULL_LOGITS_CLASSES,
    IMPORTED_FAMILY,
    MODELS,
    PREDICTED_OUTPUT,
    PREDICTION_FACTS,
    SCALED_LOG_SUM_EXP,
    SCHEMA_VERSION,
    SOURCES,
)
from failmodes.warehouse.shards.format import Cell, ShardKey, published_cells, shard_path, write_dimension, write_shard
from failmodes.warehouse.shards.inventory import read_rows

NEEDED: tuple[Role, ...] = ("image", "label")
ELSEWHERE = "predictions were made elsewhere"
AS_IMPORTED = "as imported"  # precision
NOT_PAIRED = "cells show different images"
NOT_FINITE = "not_finite_rows"  # fact of a shard
SHOWN = 6


class ImportedModel(NamedTuple):
    """A model of a table, or one of its runs: its label, its training seed, and the name of the run in the table."""

    label: str
    seed: int | None = None
    run: str | None = None

    @property
    def full_label(self) -> str:
        """The label with the training seed, by which runs of one model are known."""
        return self.label if self.seed is None else f"{self.label}, seed {self.seed}"


@dataclass(frozen=True, eq=False)
class CheckedTable:
    """A table whose rows are all valid.

    Attributes:
        table: its rows.
        dataset: its images.
        former: the dataset that the output folder holds; None without one.
        conditions: its cells.
        classes: the classes of the rows, as `dataset` numbers them.
        image_ids: (N,) int64.
        models: its models and their runs.
        model_codes: (N,) int64 model of each row.
        kept: rows that are stored, ordered by model, cell and image.
        half_step: half the step of rounded probabilities.
        class_order: (C,) column of the outputs of each class; None without outputs.
        left_out: columns that are not constant by image.
    """

    table: PredictionTable
    dataset: TableDataset
    former: TableDataset | None
    conditions: Conditions
    classes: ClassColumns
    image_ids: NDArray[np.int64]
    models: tuple[ImportedModel, ...]
    model_codes: NDArray[np.int64]
    kept: NDArray[np.int64]
    half_step: float | None
    class_order: NDArray[np.int64] | None
    left_out: tuple[str, ...]

    @cached_property
    def image_hashes(self) -> NDArray[np.uint64]:
        """Hash of the name of each image, by image_id."""
        return text_hashes(self.dataset.images)

    @cached_property
    def class_hashes(self) -> NDArray[np.uint64]:
        """Hash of the name of each class, and 0 for none at the end."""
        return np.append(text_hashes(self.dataset.class_names), np.uint64(0))

    def describe(self) -> list[str]:
        """What the columns were taken for and what the table holds, one line per fact."""
        columns: Columns = self.table.columns
        lines = [f"columns: {columns.describe()}"]
        if metadata := [name for name in columns.others if name not in self.left_out]:
            lines.append(f"metadata of images: {listed(metadata, SHOWN)}")
        if self.left_out:
            lines.append(f"ignored, since they are not constant by image: {listed(self.left_out, SHOWN)}")
        lines.append(self.dataset.describe())
        lines += self._of_cells()
        labels = list(dict.fromkeys(model.label for model in self.models))
        runs = f", {counted(len(self.models), 'run')}" if any(model.run for model in self.models) else ""
        lines.append(f"{counted(len(labels), 'model')}: {listed(labels, SHOWN)}{runs}")
        return [*lines, *self._absent()]

    def _of_cells(self) -> Iterator[str]:
        cells = self.conditions.cells
        named = [str(cell) for cell in cells if cell.corruption not in self.conditions.axes]
        if named:
            yield f"{counted(len(named), 'cell')}: {listed(named, SHOWN)}"
        for axis, ranks in self.conditions.axes.values():
            levels = ", ".join(f"{value:g} = {rank}" for value, rank in ranks.items())
            yield f"severities of {axis.corruption}, {axis}: {levels}"
        if not cells[0].is_clean:
            yield "no reference level: there are accuracies, but no accuracy drops"

    def _absent(self) -> Iterator[str]:
        """What the table lacks, and what therefore is not measured."""
        if self.table.outputs is None and self.table.confidence is None:
            yield "no confidence: no calibration, no failure prediction"
        if self.table.outputs is None:
            yield "no logits of all classes: no log-loss, top-5 accuracy or temperature"
        yield "no pixels: no distortion, thumbnails or attention"


@dataclass(frozen=True)
class TableReport:
    """The result of an import.

    Attributes:
        evaluation_ids: the evaluations, by label.
        written: number of published cells.
        existing: number of cells already present.
        notes: warnings and notes.
    """

    evaluation_ids: dict[str, str]
    written: int
    existing: int
    notes: list[Note]

    def describe(self) -> list[str]:
        """A summary, one line per fact."""
        evaluations = counted(len(self.evaluation_ids), "evaluation")
        if not self.written:
            lines = [f"already present, nothing to do: {evaluations}"]
        else:
            lines = [f"{counted(self.written, 'cell')} imported, {self.existing} already present: {evaluations}"]
        return [*(note.line for note in self.notes if note.level == "warning"), *lines]


def check_tables(
    tables: Sequence[Any],
    output: StorePath,
    options: TableOptions,
    on_progress: ProgressCallback = lambda _unit, _done, _total: None,
) -> CheckedTable:
    """Read tables and check every row.

    Args:
        tables: paths of files, or data frames.
        output: the folder that they will be imported into; its tables share images and labels.
        options: how they are read.
        on_progress: called with the number of rows read.

    Raises:
        StudyError: an option does not fit the table, or a file does not exist.
        DataError: a file is damaged, or a row, named by its line, is invalid.
        StorageError: a file cannot be read.
    """
    table = read_tables(tables, options.columns, NEEDED, on_progress)
    former = stored_dataset(output)
    conditions = find_conditions(table, options.axes, options.level_pattern, options.reference)
    known = () if former is None else former.class_names
    classes = find_classes(table, options.missing, more_classes=options.more_classes, known=known)
    image_names, images = _images(table, options.image_pattern)
    labels = _labels_of_images(table, images, len(image_names), classes)
    metadata, left_out = _metadata(table, images, len(image_names))
    own = TableDataset(options.dataset, image_names, labels, classes.names, metadata)
    dataset = own if former is None else extended(former, own)
    _check_confidence(table)
    found = None if table.outputs is None else check_outputs(table, None, renormalize=options.renormalize)
    half_step = None if found is None or not found.decimals else 0.5 / 10**found.decimals
    places = {name: place for place, name in enumerate(dataset.images)}
    image_ids = np.array([places[name] for name in image_names], np.int64)[images]
    models, model_codes = _models(table, options)
    order = _class_order(table, classes, dataset)
    numbered = _renumbered(classes, dataset)
    kept = _distinct_rows(table, conditions, numbered, image_ids, model_codes)
    return CheckedTable(
        table, dataset, former, conditions, numbered, image_ids, models, model_codes, kept, half_step, order, left_out
    )


def import_table(
    checked: CheckedTable,
    output: StorePath,
    options: TableOptions,
    on_progress: ProgressCallback = lambda _unit, _done, _total: None,
) -> TableReport:
    """Store a checked table; published cells are only rewritten if damaged, a killed import resumes.

    Raises:
        IncompleteRunError: `strict` is set and there are warnings.
        StorageError: the output folder cannot be written.
    """
    evaluations = list(_evaluations(checked))
    notes = [note for evaluation in evaluations for note in evaluation.notes]
    if options.strict:
        refuse_warnings(notes)
    remove_stale_temporaries(output)
    former_id = None if checked.former is None else checked.former.dataset_id
    now = stored_dataset(output)
    if (None if now is None else now.dataset_id) != former_id:
        raise StudyError(f"another command changed the tables of {output} meanwhile: import again")
    record_corruptions(output)
    record_levels(output, checked.conditions.source_id, checked.conditions.level_rows())
    write_dimension(output, SOURCES, checked.conditions.source_id, [checked.conditions.source_row()])
    record_table_dataset(output, checked.dataset, checked.former)
    imported_from = listed([Path(part.name).name for part in checked.table.parts], SHOWN)
    facts = {"device": "elsewhere", "imported_from": imported_from, "versions": library_versions()}
    total = sum(len(evaluation.cells) for evaluation in evaluations)
    written = done = 0
    for evaluation in evaluations:
        write_dimension(output, MODELS, evaluation.model_id, [evaluation.model_row(options)])
        write_dimension(output, EVALUATIONS, evaluation.evaluation_id, [evaluation.row(options)])
        record_notes(output, evaluation.evaluation_id, "settings", evaluation.notes)
        present = _intact_cells(output, evaluation)
        for cell, rows in evaluation.cells.items():
            if cell not in present:
                key = ShardKey(evaluation.evaluation_id, cell)
                write_shard(output, PREDICTION_FACTS, key, _facts(checked, rows), facts)
                written += 1
            done += 1
            on_progress("cells", done, total)
    ids = {evaluation.model.full_label: evaluation.evaluation_id for evaluation in evaluations}
    return TableReport(ids, written, total - written, notes)


def _images(table: PredictionTable, pattern: str | None) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The distinct names of images in their order, numbers by value, and the (N,) one of each row."""
    column = table.texts["image"]
    refuse(table, column.codes == NO_TEXT, lambda _: "no image")
    parts: list[str | None] = list(column.names)
    if pattern is not None:
        parts = extracted(compiled("--image-pattern", pattern), column.names)
    used = np.unique(column.codes)
    lacking = np.array([not part for part in parts])
    refuse(table, lacking[column.codes], lambda row: f"image {shown(column.text(row))} does not match --image-pattern")
    names = {part for code in used.tolist() if (part := parts[code]) is not None}
    in_order = sorted(names, key=int) if are_indices(tuple(names)) else sorted(names)
    check_names(in_order, table.parts[0].name)
    codes = column.recoded(parts, {name: code for code, name in enumerate(in_order)})
    return tuple(in_order), codes


def _labels_of_images(
    table: PredictionTable, images: NDArray[np.int64], count: int, classes: ClassColumns
) -> NDArray[np.int64]:
    """(count,) the label of each image, which all of its rows share."""
    first = np.full(count, len(table), np.int64)
    np.minimum.at(first, images, np.arange(len(table)))
    labels = classes.labels[first]
    column = table.texts["image"]
    refuse(
        table,
        classes.labels != labels[images],
        lambda row: (
            f"label {classes.names[classes.labels[row]]!r} of image {shown(column.text(row))} contradicts "
            f"{classes.names[labels[images[row]]]!r} at {table.place(int(first[images[row]]))}"
        ),
    )
    return labels


def _metadata(
    table: PredictionTable, images: NDArray[np.int64], count: int
) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """Columns that are constant by image, and the names of the others."""
    metadata: dict[str, list[str]] = {}
    left_out = []
    for name, column in table.others.items():
        values = np.full(count, NO_TEXT, np.int64)
        values[images] = column.codes
        if (values[images] != column.codes).any():
            left_out.append(name)
        else:
            metadata[name] = ["" if code == NO_TEXT else column.names[code] for code in values.tolist()]
    check_names([name for name in metadata if name], table.parts[0].name)
    return metadata, tuple(left_out)


def _check_confidence(table: PredictionTable) -> None:
    confidence = table.confidence
    if confidence is None:
        return
    with np.errstate(invalid="ignore"):
        outside = ~((confidence >= 0) & (confidence <= 1 + 1e-6)) & ~np.isnan(confidence)
    refuse(
        table,
        outside,
        lambda row: (
            f"confidence {confidence[row]:g} is outside 0 to 1: expected the probability of the predicted "
            "class; divide percentages by 100"
        ),
    )
    predictions = table.texts.get("prediction")
    if predictions is not None and not np.isnan(confidence).all():
        refuse(
            table,
            np.isnan(confidence) & (predictions.codes != NO_TEXT),
            lambda _: "no confidence, but other rows have one: complete the column, or leave it out",
        )


def _models(table: PredictionTable, options: TableOptions) -> tuple[tuple[ImportedModel, ...], NDArray[np.int64]]:
    """The models and runs of a table, and the (N,) one of each row."""
    models = table.texts.get("model")
    runs = table.texts.get("run")
    for column, role in ((models, "model"), (runs, "run")):
        if column is not None:
            refuse(table, column.codes == NO_TEXT, lambda _, role=role: f"no {role}")  # type: ignore[misc]
    none = np.zeros(len(table), np.int64)
    of_models = none if models is None else models.codes.astype(np.int64)
    of_runs = none if runs is None else runs.codes.astype(np.int64)
    width = 1 if runs is None else len(runs.names)
    keys, codes = np.unique(of_models * width + of_runs, return_inverse=True)
    seeds = {} if runs is None else _seeds([runs.names[code] for code in np.unique(of_runs)])
    found = []
    for key in keys.tolist():
        label = options.label if models is None else models.names[key // width]
        run = None if runs is None else runs.names[key % width]
        check_label(label)
        found.append(ImportedModel(label, None if run is None else seeds[run], run))
    return tuple(found), codes


def _seeds(runs: Sequence[str]) -> dict[str, int]:
    """A number for each run: that at its end, if these are distinct, else its rank from 1."""
    ends = [re.search(r"([0-9]{1,9})\Z", run) for run in runs]
    numbers = [int(end[1]) for end in ends if end is not None]
    if len(set(numbers)) == len(runs) and max(numbers) <= MAX_INT32:
        return dict(zip(runs, numbers, strict=True))
    return {run: rank for rank, run in enumerate(sorted(runs), start=1)}


def _class_order(table: PredictionTable, classes: ClassColumns, dataset: TableDataset) -> NDArray[np.int64] | None:
    """(C,) column of the outputs of each class of the dataset."""
    if table.outputs is None:
        return None
    places = {name: place for place, name in enumerate(classes.names)}
    if lacking := [name for name in dataset.class_names if name not in places]:
        raise DataError(
            f"{table.parts[0].name} has no {table.columns.kind} of {listed(lacking, SHOWN)}, classes of the tables "
            "that this folder holds: import into another folder"
        )
    return np.array([places[name] for name in dataset.class_names], np.int64)


def _renumbered(classes: ClassColumns, dataset: TableDataset) -> ClassColumns:
    """The classes of rows as a dataset numbers them."""
    places = {name: place for place, name in enumerate(dataset.class_names)}
    lookup = np.array([*(places[name] for name in classes.names), NO_PREDICTION], np.int64)
    predicted = None if classes.predicted is None else lookup[classes.predicted]
    return ClassColumns(dataset.class_names, lookup[classes.labels], predicted, classes.missing)


def _distinct_rows(
    table: PredictionTable,
    conditions: Conditions,
    classes: ClassColumns,
    image_ids: NDArray[np.int64],
    models: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The rows by model, cell and image, each once; clean images may be repeated beside each corruption.

    Raises:
        DataError: an image has two predictions in one cell.
    """
    keys = (models * len(conditions.cells) + conditions.codes) * (int(image_ids.max()) + 1) + image_ids
    order = np.argsort(keys, kind="stable")
    again = np.flatnonzero(np.diff(keys[order]) == 0) + 1
    if len(again):
        rows, others = order[again], order[again - 1]
        words = table.texts.get("corruption")
        is_same = np.zeros(len(rows), np.bool_)
        if words is not None and classes.predicted is not None:
            is_same = (classes.predicted[rows] == classes.predicted[others]) & (
                words.codes[rows] != words.codes[others]
            )
        if not is_same.all():
            first = int(np.flatnonzero(~is_same)[0])
            row, other = int(rows[first]), int(others[first])
            cell = conditions.cells[conditions.codes[row]]
            image = table.texts["image"].text(row)
            raise DataError(
                f"{table.place(row)}: another prediction for image {shown(image)} in {cell}, beside "
                f"{table.place(other)}: keep one, or name the column that tells repeated trials apart with --columns "
                "run=COLUMN"
            )
        order = np.delete(order, again)
    return order


class _Evaluation:
    """An evaluation of a table: a model or one of its runs, and its rows by cell."""

    def __init__(self, checked: CheckedTable, model: ImportedModel, rows: NDArray[np.int64], images: NDArray[np.int64]):
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
        self.images = images  # of all runs of the model
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
        notes = [Note("outputs", f"{kind or known} as imported", label, "note")]
        if self.model.run is not None:
            notes.append(Note("run", f"run {self.model.run} of the table", label, "note"))
        if not self.paired:
            notes.append(
                Note("pairing", f"{NOT_PAIRED}: intervals of differences are of independent samples", label, "note")
            )
        predicted = self.checked.classes.predicted
        if predicted is not None:
            rows = np.concatenate([*self.cells.values()])
            missing = int((predicted[rows] == NO_PREDICTION).sum())
            if missing:
                text = f"{missing:,} of {len(rows):,} predictions are missing; they count as incorrect"
                notes.append(Note("missing_predictions", text, label))
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


def _evaluations(checked: CheckedTable) -> Iterator[_Evaluation]:
    models = checked.model_codes[checked.kept]
    starts = np.searchsorted(models, np.arange(len(checked.models) + 1))
    of_model = [checked.kept[start:stop] for start, stop in zip(starts, starts[1:], strict=False)]
    images: dict[str, NDArray[np.int64]] = {}
    for model, rows in zip(checked.models, of_model, strict=True):
        former = images.get(model.label, np.zeros(0, np.int64))
        images[model.label] = np.union1d(former, checked.image_ids[rows])
    for model, rows in zip(checked.models, of_model, strict=True):
        yield _Evaluation(checked, model, rows, images[model.label])


def _intact_cells(output: StorePath, evaluation: _Evaluation) -> set[Cell]:
    """Cells that are published and not damaged."""
    intact = set()
    for cell in published_cells(output, evaluation.evaluation_id, attention=False):
        with suppress(DamagedShardError):
            read_rows(shard_path(output, PREDICTION_FACTS, ShardKey(evaluation.evaluation_id, cell)), PREDICTION_FACTS)
            intact.add(cell)
    return intact


def _facts(checked: CheckedTable, rows: NDArray[np.int64]) -> pa.Table:
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


def text_hashes(texts: Sequence[str]) -> NDArray[np.uint64]:
    """(K,) hash of each text."""
    return np.array([int(identity_of(text), 16) for text in texts], np.uint64)
