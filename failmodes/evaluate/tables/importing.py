"""The import of tables without a study: check all rows, identify the evaluations, and publish missing cells."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.evaluate.notes import Note, record_notes, refuse_warnings
from failmodes.evaluate.tables.checked_table import SHOWN, CheckedTable, ImportedModel
from failmodes.evaluate.tables.checking import are_indices, compiled, extracted, refuse
from failmodes.evaluate.tables.classes import NO_PREDICTION, ClassColumns, find_classes
from failmodes.evaluate.tables.columns import Role
from failmodes.evaluate.tables.conditions import Conditions, find_conditions
from failmodes.evaluate.tables.options import TableOptions, check_label
from failmodes.evaluate.tables.outputs import blocks, check_outputs
from failmodes.evaluate.tables.reading import NO_TEXT, PredictionTable, ProgressCallback, read_tables
from failmodes.evaluate.tables.table_dataset import TableDataset, extended, record_table_dataset, stored_dataset
from failmodes.evaluate.tables.table_evaluations import TableEvaluation, prediction_facts, table_evaluations
from failmodes.evaluate.tables.table_images import with_pixels
from failmodes.ingest.axes import record_levels
from failmodes.ingest.data_files import check_names
from failmodes.ingest.datasets.metadata import parsed_texts, typed_metadata
from failmodes.ingest.datasets.side_table import DescribedImages, MetadataSpec, side_metadata
from failmodes.ingest.sources import record_corruptions
from failmodes.ingest.study_types import MAX_INT32, MAX_MODELS
from failmodes.runtime.errors import DamagedShardError, DataError, StudyError, counted, listed, shown
from failmodes.runtime.packages import library_versions
from failmodes.runtime.storage.files import StorePath, make_folder, remove_stale_temporaries
from failmodes.runtime.storage.locks import run_lock
from failmodes.warehouse.schema import (
    EVALUATIONS,
    MODELS,
    PREDICTION_FACTS,
    SOURCES,
    is_reserved,
)
from failmodes.warehouse.shards.format import Cell, ShardKey, published_cells, shard_path, write_dimension, write_shard
from failmodes.warehouse.shards.inventory import read_rows

LEAVE_OUT = "remove it from the table"
NEEDED: tuple[Role, ...] = ("image", "label")


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
        warnings = dict.fromkeys(note.line for note in self.notes if note.level == "warning")
        return [*warnings, *lines]


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
    metadata, left_out, reserved = _metadata(table, images, len(image_names))
    note = None
    if options.metadata is not None:
        described = DescribedImages(options.dataset, len(image_names), image_names, metadata)
        metadata, note = side_metadata(described, MetadataSpec(path=options.metadata), fix=LEAVE_OUT)
    own = TableDataset(options.dataset, image_names, labels, classes.names, metadata)
    if options.images is not None:
        own = with_pixels(own, options.images, on_progress)
    dataset = own if former is None else extended(former, own)
    _check_confidence(table)
    found = None if table.outputs is None else check_outputs(table, None, renormalize=options.renormalize)
    half_step = None if found is None or not found.decimals else 0.5 / 10**found.decimals
    places = {name: place for place, name in enumerate(dataset.images)}
    image_ids = np.array([places[name] for name in image_names], np.int64)[images]
    models, model_codes = _models(table, options)
    order = _class_order(table, classes, dataset)
    _check_agreement(table, classes)
    numbered = _renumbered(classes, dataset)
    kept = _distinct_rows(table, conditions, numbered, image_ids, model_codes)
    return CheckedTable(
        table, dataset, former, conditions, numbered, image_ids, models, model_codes, kept, half_step, order, left_out,
        reserved, note,
    )  # fmt: skip


def import_table(
    checked: CheckedTable,
    output: Path,
    options: TableOptions,
    on_progress: ProgressCallback = lambda _unit, _done, _total: None,
) -> TableReport:
    """Store a checked table; published cells are only rewritten if damaged, a killed import resumes.

    Raises:
        IncompleteRunError: `strict` is set and there are warnings.
        WarehouseError: another run or import writes into the folder.
        StorageError: the output folder cannot be written.
    """
    evaluations = list(table_evaluations(checked))
    if options.strict:
        refuse_warnings([note for evaluation in evaluations for note in evaluation.notes])
    with run_lock(make_folder(output)):
        return _store(checked, evaluations, output, options, on_progress)


def _store(
    checked: CheckedTable,
    evaluations: Sequence[TableEvaluation],
    output: Path,
    options: TableOptions,
    on_progress: ProgressCallback,
) -> TableReport:
    """Store a checked table; see `import_table`."""
    remove_stale_temporaries(output)
    former_id = None if checked.former is None else checked.former.dataset_id
    now = stored_dataset(output)
    if (None if now is None else now.dataset_id) != former_id:
        raise StudyError(f"another command changed the tables of {output} meanwhile: import again")
    record_corruptions(output)
    record_levels(output, checked.conditions.source_id, checked.conditions.level_rows())
    write_dimension(output, SOURCES, checked.conditions.source_id, [checked.conditions.source_row()])
    record_table_dataset(output, checked.dataset)
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
                write_shard(output, PREDICTION_FACTS, key, prediction_facts(checked, rows), facts)
                written += 1
            done += 1
            on_progress("cells", done, total)
    ids = {evaluation.model.full_label: evaluation.evaluation_id for evaluation in evaluations}
    notes = [note for evaluation in evaluations for note in evaluation.notes]
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
) -> tuple[dict[str, pa.Array], tuple[str, ...], tuple[str, ...]]:
    """Columns that are constant by image, the names of the others, and of those that are named as a column of ours."""
    constant: dict[str, pa.Array] = {}
    left_out = [*table.varying]
    reserved = tuple(name for name in table.others if is_reserved(name))
    for name, column in table.others.items():
        if name in reserved:
            continue
        codes = np.full(count, NO_TEXT, np.int32)
        codes[images] = column.codes
        if (codes[images] != column.codes).any():
            left_out.append(name)
        else:
            places = pa.array(codes, mask=codes == NO_TEXT)
            constant[name] = parsed_texts(column.dictionary).take(places)
    return typed_metadata(constant, table.parts[0].name, fix=LEAVE_OUT), tuple(left_out), reserved


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
            "class; divide percentages by 100, or leave out a column of something else with --columns confidence="
        ),
    )
    predictions = table.texts.get("prediction")
    if predictions is not None and not np.isnan(confidence).all():
        refuse(
            table,
            np.isnan(confidence) & (predictions.codes != NO_TEXT),
            lambda _: "no confidence, but other rows have one: complete the column, or leave it out",
        )


def _check_agreement(table: PredictionTable, classes: ClassColumns) -> None:
    """Refuse a predicted class that is not that of the largest output, where both are given."""
    outputs = table.outputs
    if outputs is None or classes.predicted is None:
        return
    wrong = np.zeros(len(table), np.bool_)
    for start, stop in blocks(len(table), outputs.shape[1]):
        values = np.asarray(outputs[start:stop])
        predicted = classes.predicted[start:stop]
        own = np.take_along_axis(values, np.maximum(predicted, 0)[:, None], axis=1)[:, 0]
        wrong[start:stop] = (predicted != NO_PREDICTION) & (own < values.max(axis=1))
    refuse(
        table,
        wrong,
        lambda row: (
            f"prediction {classes.names[classes.predicted[row]]!r} is not the class of the largest output, "  # type: ignore[index]
            f"{classes.names[int(np.argmax(outputs[row]))]!r}: leave out the column, or correct the "
            "order of the classes"
        ),
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
    if len(keys) > MAX_MODELS:
        raise DataError(f"{table.parts[0].name} has {len(keys):,} models and runs: at most {MAX_MODELS:,} are imported")
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
            fix = "keep one, or name the column that tells repeated trials apart with --columns run=COLUMN"
            if table.part_of(row) != table.part_of(other):
                fix = "import tables of different models by a command each, with --label, or add a column `model`"
            raise DataError(
                f"{table.place(row)}: another prediction for image {shown(image)} in {cell}, beside "
                f"{table.place(other)}: {fix}"
            )
        order = np.delete(order, again)
    return order


def _intact_cells(output: StorePath, evaluation: TableEvaluation) -> set[Cell]:
    """Cells that are published and not damaged."""
    intact = set()
    for cell in published_cells(output, evaluation.evaluation_id, attention=False):
        with suppress(DamagedShardError):
            read_rows(shard_path(output, PREDICTION_FACTS, ShardKey(evaluation.evaluation_id, cell)), PREDICTION_FACTS)
            intact.add(cell)
    return intact
