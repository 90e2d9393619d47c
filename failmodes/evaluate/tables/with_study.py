"""The import of a table of a study's images: check all rows, identify the evaluation, and publish missing cells."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from failmodes.evaluate.cam.cam_method import CamUnavailable
from failmodes.evaluate.engine.batches import BatchSlice, images_per_batch, make_batch
from failmodes.evaluate.engine.exemplars import record_missing_exemplars
from failmodes.evaluate.engine.plan import discard_damaged, missing_cells, record_plan
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.evaluation_data import open_evaluation_data
from failmodes.evaluate.fact_rows import fact_rows
from failmodes.evaluate.models.model import Model, OutputMap
from failmodes.evaluate.notes import Note, Step, record_notes, refuse_warnings
from failmodes.evaluate.probabilities import FLOOR
from failmodes.evaluate.self_check import (
    NOT_FINITE_ROWS,
    clean_notes,
    clean_rows,
    corrupted_notes,
    settings_notes,
)
from failmodes.evaluate.study.study_schema import ModelSpec, OutputKind, Study
from failmodes.evaluate.tables.columns import Role
from failmodes.evaluate.tables.outputs import prediction_columns
from failmodes.evaluate.tables.reading import ProgressCallback
from failmodes.evaluate.tables.study_rows import Predictions, read_predictions
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.specification import validate
from failmodes.ingest.study_types import PRINTABLE, StrictModel
from failmodes.runtime.errors import StudyError, counted
from failmodes.runtime.hashing import fingerprint_of, identity_of
from failmodes.runtime.packages import library_versions
from failmodes.runtime.storage.files import remove_stale_temporaries
from failmodes.warehouse.schema import (
    FULL_LOGITS_CLASSES,
    IMPORTED_FAMILY,
    PREDICTED_OUTPUT,
    PREDICTION_FACTS,
    SCALED_LOG_SUM_EXP,
)
from failmodes.warehouse.shards.format import Cell, ShardKey, write_shard

PREDICTIONS_ONLY = CamUnavailable("predictions were made elsewhere")


@dataclass(frozen=True)
class ImportReport:
    """The result of an import.

    Attributes:
        evaluation_id: the evaluation.
        label: name of the model in charts.
        kind: logits or probabilities.
        written: number of published cells.
        existing: number of cells already present.
        rows: number of rows of the file.
        left_out: number of rows not in the study.
        notes: notes on images and predictions.
    """

    evaluation_id: str
    label: str
    kind: OutputKind
    written: int
    existing: int
    rows: int
    left_out: int
    notes: list[Note]

    def describe(self) -> list[str]:
        """A summary, one line per fact."""
        if self.written:
            lines = [
                f"{counted(self.written, 'cell')} imported, {self.existing} already present: {self.label}, "
                f"{self.kind}, evaluation {self.evaluation_id}"
            ]
        else:
            lines = [f"already present, nothing to do: {self.label}, evaluation {self.evaluation_id}"]
        if self.left_out:
            lines.append(f"{self.left_out:,} of {self.rows:,} rows ignored: their image or cell is not in the study")
        shown = [note for note in self.notes if note.level == "warning" or note.topic in ("zeros", "clean_accuracy")]
        return [*lines, *(note.line for note in shown)]


class ImportNames(StrictModel):
    """The names that the user gives to a model of imported predictions."""

    label: Annotated[str, Field(min_length=1, max_length=60), PRINTABLE]
    architecture: Annotated[str, Field(min_length=1, max_length=200), PRINTABLE]


def import_predictions(
    study: Study,
    dataset: Dataset,
    path: Path,
    label: str,
    *,
    columns: Mapping[Role, str] | None = None,
    architecture: str = IMPORTED_FAMILY,
    seed: int | None = None,
    only_study: bool = False,
    renormalize: bool = False,
    strict: bool = False,
    on_progress: ProgressCallback = lambda _unit, _done, _total: None,
) -> ImportReport:
    """Import a table of predictions into the results of a study.

    Nothing is published before the whole file is checked. Published cells are only rewritten if damaged; a killed
    import resumes with the same command.

    Args:
        study: defines the images, cells and pixels of the predictions.
        dataset: its dataset.
        path: the file, CSV, Parquet or JSON lines.
        label: name of the model in charts.
        columns: columns that the user names, by role.
        architecture: architecture of the model, as stated by the user.
        seed: corruption seed of the study. Default: the first.
        only_study: ignore images and cells that are not in the study, instead of refusing the file.
        renormalize: accept rounded probabilities, which sum to 1 only approximately; their softmax sums to 1.
        strict: treat warnings as errors and publish nothing.
        on_progress: called with rows read and cells written.

    Raises:
        IncompleteRunError: `strict` is set and there are warnings.
        DataError: the file is damaged, or a row, column or cell does not match the study.
        StudyError: the dataset has one class, the seed is not in the study, or the label is empty or too long.
        StorageError: the output folder cannot be written.
    """
    cells = study.cells
    if len(dataset.class_names) < 2:
        raise StudyError(
            f"{dataset.label} has one class, {', '.join(dataset.class_names)}: expected two or more to predict"
        )
    names = validate(ImportNames, {"label": label, "architecture": architecture}, "import")
    (data,) = open_evaluation_data(study, dataset, [_chosen_seed(study, seed)])
    predictions = read_predictions(
        path,
        data,
        cells,
        study.output,
        on_progress,
        columns=columns or {},
        only_study=only_study,
        renormalize=renormalize,
    )
    model = _imported_model(names, dataset.class_names, predictions, cells)
    evaluation = Evaluation(study.name, model, PREDICTIONS_ONLY, data)
    notes: dict[Step, list[Note]] = {
        "settings": _settings_notes(evaluation, predictions),
        "clean": _clean_notes(evaluation, predictions),
    }
    if strict:
        refuse_warnings([*notes["settings"], *notes["clean"]])
    output = study.results_folder
    remove_stale_temporaries(output)
    record_plan(study, [[evaluation]])
    for step, step_notes in notes.items():
        record_notes(output, evaluation.evaluation_id, step, step_notes)
    list(discard_damaged(study, evaluation))
    missing = missing_cells(study, evaluation)
    for number, cell in enumerate(missing, start=1):
        _write_cell(study, evaluation, predictions, cell, path.name)
        on_progress("cells", number, len(missing))
    notes["corrupted"] = corrupted_notes(output, evaluation, cells)
    record_notes(output, evaluation.evaluation_id, "corrupted", notes["corrupted"])
    record_missing_exemplars(study, evaluation)
    return ImportReport(
        evaluation_id=evaluation.evaluation_id,
        label=label,
        kind=predictions.kind,
        written=len(missing),
        existing=len(cells) - len(missing),
        rows=predictions.row_count,
        left_out=predictions.row_count - len(predictions.rows),
        notes=[note for step_notes in notes.values() for note in step_notes],
    )


def _chosen_seed(study: Study, seed: int | None) -> int:
    """The corruption seed of the predictions: the first of the study by default.

    Raises:
        StudyError: the study does not have this seed.
    """
    spec = study.corruptions
    if seed is not None and (spec.published is not None or seed not in spec.seeds):
        known = "a published dataset has none" if spec.published else f"it has {', '.join(map(str, spec.seeds))}"
        raise StudyError(f"the study {study.name!r} has no corruption seed {seed}: {known}")
    return spec.seeds[0] if seed is None else seed


def _imported_model(
    names: ImportNames, class_names: tuple[str, ...], predictions: Predictions, cells: list[Cell]
) -> Model:
    """The model of imported predictions, identified by these and the classes; the identity is independent of names."""
    content = {"imported": _fingerprint(predictions, cells), "kind": predictions.kind, "classes": class_names}
    count = len(class_names)
    return Model(
        module=None, spec=ModelSpec.model_construct(label=names.label), architecture=names.architecture,
        class_names=class_names, output_map=OutputMap(tuple(range(count)), count=count),
        model_id=identity_of(content), precision="as imported",
    )  # fmt: skip


def _settings_notes(evaluation: Evaluation, predictions: Predictions) -> list[Note]:
    """Notes on images and values, and on the replacement of probabilities of 0, whose loss would be infinite.

    For rounded probabilities it is a warning, since losses are less exact.
    """
    label = evaluation.model.label
    kind = Note("outputs", f"{predictions.kind} as imported", label, "note")
    notes = [*settings_notes([evaluation])[0], kind]
    if predictions.rows["has_zeros"].any():
        is_exact = predictions.half_step is None
        notes.append(Note("zeros", _of_zeros(predictions), label, "note" if is_exact else "warning"))
    return notes


def _clean_notes(evaluation: Evaluation, predictions: Predictions) -> list[Note]:
    """Notes on the clean cell, which is the first."""
    _, logits = predictions.of_cell(0)
    subset = evaluation.data.subset
    labels = evaluation.data.dataset.labels[subset.clean_ids]
    columns = prediction_columns(logits, labels, "logits") | {"image_id": subset.clean_ids}
    return clean_notes(evaluation, clean_rows([fact_rows(PREDICTION_FACTS, columns)], logits.min(axis=1)))


def _of_zeros(predictions: Predictions) -> str:
    """The number of rows with probabilities of 0, and their replacement."""
    count = int(predictions.rows["has_zeros"].sum())
    words = f"{count:,} of {len(predictions.rows):,} rows have probabilities of 0, whose loss would be infinite: "
    if predictions.half_step is None:
        return f"{words}each is replaced by at most {FLOOR:.1e}"
    return (
        f"{words}all are rounded to {predictions.decimals} decimals, so those of a row together are replaced by half "
        f"of that step, {predictions.half_step:.1g}; for exact losses, import unrounded probabilities or logits"
    )


def _fingerprint(predictions: Predictions, cells: list[Cell]) -> str:
    """Hash of all predictions, independent of the order of rows and the file format."""
    hashes = {}
    for number, cell in enumerate(cells):
        images, logits = predictions.of_cell(number)
        logits += np.float32(0)  # −0 and 0 are the same
        logits[np.isnan(logits)] = np.nan  # all NaNs are the same
        hashes[f"{cell.corruption}/{cell.severity}"] = fingerprint_of([images, logits])
    return identity_of(hashes)


def _write_cell(study: Study, evaluation: Evaluation, predictions: Predictions, cell: Cell, file_name: str) -> None:
    """Publish the predictions of a cell, with the distortion of the study's images.

    For probabilities, columns that depend on the unknown constant of the logits are null.
    """
    _, logits = predictions.of_cell(study.cells.index(cell))
    omitted = [PREDICTED_OUTPUT, *[SCALED_LOG_SUM_EXP] * (logits.shape[1] <= FULL_LOGITS_CLASSES)]
    rows = []
    step = images_per_batch(evaluation.data.dataset.images.shape[1:], 1)
    for start in range(0, len(logits), step):
        part = BatchSlice(0, cell, start, min(start + step, len(logits)))
        batch = make_batch(evaluation.data, part, threads=os.cpu_count() or 1)
        columns = prediction_columns(logits[start : part.stop], batch.labels, predictions.kind)
        columns |= {"image_id": batch.image_ids, "rmse": batch.rmse, "ssim": batch.ssim}
        rows.append(fact_rows(PREDICTION_FACTS, columns, omitted))
    not_finite = int((~np.isfinite(logits).all(axis=1)).sum())
    metadata = {
        "device": "elsewhere",
        "imported_from": file_name,
        "versions": library_versions(),
        NOT_FINITE_ROWS: not_finite,
    }
    key = ShardKey(evaluation.evaluation_id, cell)
    write_shard(study.results_folder, PREDICTION_FACTS, key, pa.Table.from_batches(rows), metadata)
