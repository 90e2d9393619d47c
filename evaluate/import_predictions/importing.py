"""The import: check the whole file, find out which evaluation it is, publish the cells that are missing.

A model known by its predictions only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from failmodes.evaluate.cam.cam_method import CamUnavailable
from failmodes.evaluate.engine.exemplars import exemplars_are_done, record_exemplars
from failmodes.evaluate.evaluation import Evaluation, make_evaluation
from failmodes.evaluate.import_predictions.checks import ProgressCallback, check_cells, check_rows, fingerprint
from failmodes.evaluate.import_predictions.expected import ExpectedCells, expected_cells
from failmodes.evaluate.import_predictions.imported_cells import write_cell
from failmodes.evaluate.import_predictions.predictions_file import (
    OutputKind,
    Scratch,
    column_names,
    find_columns,
    is_csv,
)
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.network import Network
from failmodes.evaluate.study.study_schema import Study
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.dimensions import record_corruptions, record_dataset, record_source
from failmodes.warehouse.errors import DamagedShardError, StudyError
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.schema import CLEAN, EVALUATIONS, IMPORTED_FAMILY, MODELS, PREDICTIONS
from failmodes.warehouse.shards.format import (
    Cell,
    ShardKey,
    dimension_path,
    list_record_files,
    read_verified,
    shard_path,
    write_dimension,
)
from failmodes.warehouse.storage.files import StorePath, exists, remove_stale_temporaries

PRECISION = "as imported"

MAX_LABEL_LENGTH = 60  # as in a study

PREDICTIONS_ONLY = CamUnavailable("predictions were made elsewhere")


class NoNetwork(NamedTuple):
    """What an evaluation asks of its network, where there is none."""

    precision: str = PRECISION


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        evaluation_id: the evaluation.
        kind: logits or probabilities.
        made: cells published now.
        found: cells that were there.
        rows: rows of the file.
        left_out: those of them that the study does not ask for.
        not_finite: those with a number that is not finite.
        former_label: what the same predictions were called before, if otherwise.
        namesakes: other evaluations of the same label over the same images.
    """

    evaluation_id: str
    kind: OutputKind
    made: int
    found: int
    rows: int
    left_out: int
    not_finite: int
    former_label: str | None
    namesakes: list[str]


def import_predictions(
    study: Study,
    dataset: Dataset,
    path: Path,
    label: str,
    *,
    architecture: str = IMPORTED_FAMILY,
    seed: int | None = None,
    only_study: bool = False,
    tell: ProgressCallback = lambda _what, _done, _of: None,
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
        tell: who is told of progress.

    Raises:
        DataError: the file is damaged, or a row, a column or a cell is not what the study asks for.
        StudyError: the study has no such seed, or the label is empty or too long.
        StorageError: the output folder cannot be written.
    """
    if not 1 <= len(label) <= MAX_LABEL_LENGTH:
        raise StudyError(
            f"a label of {len(label)} characters: expected 1 to {MAX_LABEL_LENGTH}, as charts have room for"
        )
    classes = dataset.class_names
    layout = find_columns(path, column_names(path), classes, csv=is_csv(path))
    expected = expected_cells(study, dataset, seed)
    output = study.record_output
    remove_stale_temporaries(output)
    with Scratch(study.output, len(classes)) as scratch:
        sorting = check_rows(path, layout, expected, scratch, tell, only_study=only_study)
        check_cells(path, expected, scratch, sorting, only_study=only_study)
        content = fingerprint(path, expected, scratch)
        model = ImportedModel(label, layout.kind, content, classes, architecture)
        evaluation = _evaluation(study.name, model, expected)
        former = _former_label(output, model)
        namesakes = _namesakes(output, evaluation)
        _record_dimensions(output, evaluation, model)
        missing = [cell for cell in expected.cells if not _is_whole(output, evaluation, cell)]
        for number, cell in enumerate(missing, start=1):
            write_cell(output, evaluation, cell, scratch.read(cell)["values"], layout.kind, path.name, study.output)
            tell("cells", number, len(missing))
    _record_exemplars(output, evaluation, expected.cells)
    return ImportReport(
        evaluation.evaluation_id, layout.kind, len(missing), len(expected.cells) - len(missing), sorting.rows,
        sorting.left_out, sorting.not_finite, former, namesakes,
    )  # fmt: skip


@dataclass(frozen=True)
class ImportedModel:
    """What stands in `models` for predictions made elsewhere.

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
    architecture: str = IMPORTED_FAMILY

    def model_id(self) -> str:
        """Hash of the predictions and the class map: two labels for the same predictions are one model."""
        return identity_of({"imported": self.content, "kind": self.kind, "classes": self.class_names})

    def row(self) -> dict[str, Any]:
        """The row of `models`; what only a network has is null."""
        return {
            "model_id": self.model_id(),
            "model_label": self.label,
            "architecture": self.architecture,
            "family": IMPORTED_FAMILY,
            "class_count": len(self.class_names),
        }


def _evaluation(study: str, model: ImportedModel, expected: ExpectedCells) -> Evaluation:
    # an evaluation asks an identity and a label of its model and a precision of its network, and these have them
    return make_evaluation(
        study,
        cast(Model, model),
        cast(Network, NoNetwork()),
        expected.dataset,
        expected.source,
        expected.subset,
        expected.source.pairing,
        PREDICTIONS_ONLY,
    )


def _record_dimensions(output: StorePath, evaluation: Evaluation, model: ImportedModel) -> None:
    record_dataset(output, evaluation.dataset)
    record_corruptions(output)
    record_source(output, evaluation.source)
    write_dimension(output, MODELS, evaluation.model_id, [model.row()])
    write_dimension(output, EVALUATIONS, evaluation.evaluation_id, [evaluation.row()])


def _record_exemplars(output: StorePath, evaluation: Evaluation, cells: Sequence[Cell]) -> None:
    """Exemplars of each corruption, without maps; none where images do not pair."""
    if not evaluation.pairing.paired:
        return
    for corruption in dict.fromkeys(cell.corruption for cell in cells if cell.corruption != CLEAN):
        severities = [cell.severity for cell in cells if cell.corruption == corruption]
        try:
            done = exemplars_are_done(output, evaluation, corruption, severities)
        except DamagedShardError:
            done = False  # made again: what they are made from is at hand
        if not done:
            record_exemplars(output, evaluation, None, corruption, severities)


def _is_whole(output: StorePath, evaluation: Evaluation, cell: Cell) -> bool:
    """Whether the cell's shard is published and undamaged."""
    path = shard_path(output, PREDICTIONS, ShardKey(evaluation.evaluation_id, cell))
    try:
        return exists(path) and bool(read_verified(path))
    except DamagedShardError:
        return False


def _former_label(output: StorePath, model: ImportedModel) -> str | None:
    path = dimension_path(output, MODELS, model.model_id())
    try:
        former = str(read_verified(path).rows["model_label"][0]) if exists(path) else model.label
    except DamagedShardError:
        return None
    return former if former != model.label else None


def _namesakes(output: StorePath, evaluation: Evaluation) -> list[str]:
    """Other models' evaluations of the same images and source under the same label."""
    labels = {m["model_id"]: m["model_label"] for p in list_record_files(output, MODELS) for m in _rows(p)}
    same = ("dataset_id", "source_id", "subset_id")
    mine = evaluation.row()
    return [
        row["evaluation_id"]
        for path in list_record_files(output, EVALUATIONS)
        for row in _rows(path)
        if labels.get(row["model_id"]) == evaluation.model.label
        and row["model_id"] != evaluation.model_id
        and all(row[name] == mine[name] for name in same)
    ]


def _rows(path: StorePath) -> list[dict[str, str]]:
    try:
        return read_verified(path).rows.to_pylist()
    except DamagedShardError:
        return []
