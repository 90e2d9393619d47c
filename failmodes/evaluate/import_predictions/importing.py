"""The import: check the whole file, find out which evaluation it is, publish the cells that are missing."""

import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, cast

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError

from failmodes.evaluate.cam.cam_method import CamUnavailable
from failmodes.evaluate.engine.batches import BatchSlice, images_per_batch, make_batch
from failmodes.evaluate.engine.cell import RowBuffer
from failmodes.evaluate.engine.plan import discard_damaged, missing_cells, record_plan
from failmodes.evaluate.engine.run import record_missing_exemplars
from failmodes.evaluate.engine.statistics import prediction_columns, prediction_statistics
from failmodes.evaluate.evaluation import Evaluation, make_evaluation
from failmodes.evaluate.evaluation_data import open_evaluation_data
from failmodes.evaluate.import_predictions.checks import check_predictions, count_expected
from failmodes.evaluate.import_predictions.predictions_file import Predictions, ProgressCallback, read_predictions
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.prepared_model import PreparedModel
from failmodes.evaluate.study.study_schema import OutputKind, Study
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.study_types import PRINTABLE
from failmodes.warehouse.errors import DamagedShardError, StudyError
from failmodes.warehouse.hashing import fingerprint_of, identity_of
from failmodes.warehouse.provenance import library_versions
from failmodes.warehouse.schema import (
    EVALUATIONS,
    FULL_LOGITS_CLASSES,
    IMPORTED_FAMILY,
    MODELS,
    PREDICTED_OUTPUT,
    PREDICTION_FACTS,
    SCALED_LOG_SUM_EXP,
    Table,
)
from failmodes.warehouse.shards.format import (
    Cell,
    ShardKey,
    dimension_path,
    list_results_files,
    write_shard,
)
from failmodes.warehouse.shards.inventory import read_rows
from failmodes.warehouse.storage.files import StorePath, remove_stale_temporaries

PRECISION = "as imported"
DEVICE = "elsewhere"
MAX_LABEL_LENGTH, MAX_ARCHITECTURE_LENGTH = 60, 200  # as in a study
MOST_CELLS = 2000  # that a file may hold rows of beside those of the study, with `only_study`
SPARE_ROWS = 100_000  # that are read beyond those that a study asks for, to tell what is wrong with them
PREDICTIONS_ONLY = CamUnavailable("predictions were made elsewhere")


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        evaluation_id: the evaluation.
        kind: logits or probabilities.
        written: cells published now.
        existing: cells that were there.
        rows: rows of the file.
        left_out: those of them that the study does not ask for.
        not_finite: those with a number that is not finite.
        former_label: what the same predictions were called before, if otherwise.
        namesakes: other evaluations of the same label over the same images.
    """

    evaluation_id: str
    kind: OutputKind
    written: int
    existing: int
    rows: int
    left_out: int
    not_finite: int
    former_label: str | None
    namesakes: list[str]


@dataclass(frozen=True)
class ImportedModel:
    """The row of `models` for predictions made elsewhere.

    Attributes:
        label: its name on charts.
        kind: what the file holds.
        content: hash of the predictions.
        class_names: classes, in order.
        architecture: what the user says it is.
    """

    label: str
    kind: OutputKind
    content: str
    class_names: tuple[str, ...]
    architecture: str

    def model_id(self) -> str:
        """Hash of the predictions and the class map: two labels for the same predictions are one model."""
        return identity_of({"imported": self.content, "kind": self.kind, "classes": self.class_names})

    def row(self) -> dict[str, Any]:
        """The row of `models`; what only a model that runs here has is null."""
        return {
            "model_id": self.model_id(),
            "model_label": self.label,
            "architecture": self.architecture,
            "family": IMPORTED_FAMILY,
            "class_count": len(self.class_names),
        }


def import_predictions(
    study: Study,
    dataset: Dataset,
    path: Path,
    label: str,
    *,
    architecture: str = IMPORTED_FAMILY,
    seed: int | None = None,
    only_study: bool = False,
    renormalize: bool = False,
    on_progress: ProgressCallback = lambda _unit, _done, _total: None,
) -> ImportReport:
    """Bring predictions made elsewhere into the record of a study's output folder.

    Nothing is published before all of the file is checked. A cell that is there is never written again, unless it is
    damaged; an import killed at any instant goes on with the same command.

    Args:
        study: says which images, cells and pixels the predictions are of.
        dataset: its data set.
        path: the file, Parquet or CSV.
        label: the model's name on charts.
        architecture: what the model is, in the user's words.
        seed: which of the study's corruption seeds; the first if not given.
        only_study: leave out images and cells that the study does not name, instead of refusing the file.
        renormalize: take probabilities that sum to 1 only roughly, being rounded; their softmax sums to 1.
        on_progress: called with rows read and cells written.

    Raises:
        DataError: the file is damaged, or a row, a column or a cell is not what the study asks for.
        StudyError: the study has no such seed, or the label is empty or too long.
        StorageError: the output folder cannot be written.
    """
    _check_text("label", label, MAX_LABEL_LENGTH)
    _check_text("architecture", architecture, MAX_ARCHITECTURE_LENGTH)
    classes, output, cells = dataset.class_names, study.results_folder, study.cells
    (data,) = open_evaluation_data(study, dataset, [_checked_seed(study, seed)])
    most_rows = 2 * count_expected(data, cells) + SPARE_ROWS
    if only_study:
        most_rows = max(most_rows, MOST_CELLS * len(dataset.labels))
    with read_predictions(path, classes, study.output, most_rows, on_progress) as predictions:
        counts = check_predictions(predictions, data, cells, only_study=only_study, renormalize=renormalize)
        kind = predictions.columns.kind
        model = ImportedModel(label, kind, _fingerprint(predictions, cells), classes, architecture)
        # an evaluation asks an identity, a label and a row of its model and a precision of the prepared model
        no_model = cast(PreparedModel, SimpleNamespace(precision=PRECISION))
        evaluation = make_evaluation(study.name, cast(Model, model), no_model, data, PREDICTIONS_ONLY)
        former, namesakes = _former_label(output, model), _namesakes(output, evaluation)
        remove_stale_temporaries(output)
        record_plan(study, [[evaluation]])
        for _damaged in discard_damaged(study, evaluation):
            pass
        missing = missing_cells(study, evaluation)
        for number, cell in enumerate(missing, start=1):
            _write_cell(study, evaluation, predictions, cell)
            on_progress("cells", number, len(missing))
    record_missing_exemplars(study, evaluation)
    return ImportReport(
        evaluation.evaluation_id, kind, len(missing), len(cells) - len(missing), *counts, former, namesakes
    )


def _check_text(what: str, text: str, most: int) -> None:
    """Refuse what charts have no room for, or cannot show.

    Raises:
        StudyError: it is empty, too long, blank, or holds controls.
    """
    if not 1 <= len(text) <= most:
        raise StudyError(f"{what} has {len(text)} characters: expected 1 to {most}, as charts have room for")
    try:
        TypeAdapter(Annotated[str, PRINTABLE]).validate_python(text)
    except ValidationError as error:
        raise StudyError(f"{what} {text!r}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error


def _checked_seed(study: Study, seed: int | None) -> int:
    """The seed, or the study's first.

    Raises:
        StudyError: the study has no such seed.
    """
    seeds, published = study.corruptions.seeds, study.corruptions.published
    if seed is not None and (published is not None or seed not in seeds):
        known = "a published set has none" if published else f"it has {', '.join(map(str, seeds))}"
        raise StudyError(f"the study {study.name!r} has no corruption seed {seed}: {known}")
    return seeds[0] if seed is None else seed


def _cell_logits(predictions: Predictions, cell: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (N,) int64 of a cell (by its number in the study), rising, and their logits (N, C) float32."""
    query = "select image, file_row from placed where cell = ? and requested order by image"
    found = predictions.keys.execute(query, [cell]).fetchnumpy()
    return np.asarray(found["image"]), predictions.logits[np.asarray(found["file_row"]) - 1]


def _fingerprint(predictions: Predictions, cells: list[Cell]) -> str:
    """Hash of all predictions, whatever the order of the file's rows or its format."""
    hashes = {}
    for number, cell in enumerate(cells):
        images, logits = _cell_logits(predictions, number)
        logits += np.float32(0)  # one zero
        logits[np.isnan(logits)] = np.nan  # one NaN
        hashes[f"{cell.corruption}/{cell.severity}"] = fingerprint_of([images, logits])
    return identity_of(hashes)


def _write_cell(study: Study, evaluation: Evaluation, predictions: Predictions, cell: Cell) -> None:
    """Publish the predictions of a cell, with distortion from the study's own images.

    Of log p, what depends on the lost constant is null.
    """
    _, logits = _cell_logits(predictions, study.cells.index(cell))
    has_all = logits.shape[1] <= FULL_LOGITS_CLASSES
    rows = RowBuffer(PREDICTION_FACTS, study.output, without=[PREDICTED_OUTPUT, *[SCALED_LOG_SUM_EXP] * has_all])
    shape = evaluation.data.dataset.images.shape[1:]
    step = images_per_batch(shape, 1)
    for start in range(0, len(logits), step):
        part = BatchSlice(0, cell, start, min(start + step, len(logits)))
        batch = make_batch(evaluation.data, part, threads=os.cpu_count() or 1)
        columns = prediction_columns(prediction_statistics(torch.from_numpy(logits[start : part.stop]), batch.labels))
        columns |= {"image_id": batch.image_ids, "rmse": batch.rmse, "ssim": batch.ssim}
        if predictions.columns.kind == "probabilities":
            columns |= {"log_sum_exp": None, "max_logit": None}
        rows.add(columns)
    metadata = {"device": DEVICE, "imported_from": predictions.path.name, "versions": library_versions()}
    write_shard(
        study.results_folder, PREDICTION_FACTS, ShardKey(evaluation.evaluation_id, cell), rows.table(), metadata
    )


def _former_label(output: StorePath, model: ImportedModel) -> str | None:
    """What the same predictions were called before, if otherwise."""
    for row in _rows(dimension_path(output, MODELS, model.model_id()), MODELS):
        if row["model_label"] != model.label:
            return row["model_label"]
    return None


def _namesakes(output: StorePath, evaluation: Evaluation) -> list[str]:
    """Other models' evaluations of the same images and source under the same label."""
    labels = {m["model_id"]: m["model_label"] for p in list_results_files(output, MODELS) for m in _rows(p, MODELS)}
    same = ("dataset_id", "source_id", "subset_id")
    mine = evaluation.row()
    return [
        row["evaluation_id"]
        for path in list_results_files(output, EVALUATIONS)
        for row in _rows(path, EVALUATIONS)
        if labels.get(row["model_id"]) == evaluation.model.label
        and row["model_id"] != evaluation.model_id
        and all(row[name] == mine[name] for name in same)
    ]


def _rows(path: StorePath, table: Table) -> list[dict[str, str]]:
    """The rows of a dimension's file; none where it is missing or damaged."""
    try:
        rows: list[dict[str, str]] = read_rows(path, table).to_pylist()
    except DamagedShardError:
        return []
    return rows
