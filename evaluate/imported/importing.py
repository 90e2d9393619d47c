"""The import: check the whole file, find out which evaluation it is, publish the cells that are missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

from evaluate.attention.ways import NoWay
from evaluate.engine.exemplars import exemplars_are_done, record_exemplars
from evaluate.evaluation import Evaluation, make_evaluation
from evaluate.imported.checking import Tell, sort_rows
from evaluate.imported.columns import Kind, find_layout
from evaluate.imported.completeness import check_cells, fingerprint
from evaluate.imported.expected import Expected, expect
from evaluate.imported.model import ImportedModel
from evaluate.imported.reading import column_names, is_csv
from evaluate.imported.scratch import CellKey, Scratch
from evaluate.imported.writing import write_cell
from evaluate.models.checkpoints import Model
from evaluate.models.network import Network
from evaluate.study import Study
from ingest.datasets import Dataset
from ingest.dimensions import record_corruptions, record_dataset, record_source
from warehouse.errors import DamagedShardError, StudyError
from warehouse.place import Place, is_there
from warehouse.publish import sweep_temporaries
from warehouse.record import Cell, dimension_path, read_stored, recorded_files, shard_path, write_dimension
from warehouse.schema import CLEAN, EVALUATIONS, IMPORTED_FAMILY, MODELS, PREDICTIONS

PRECISION = "as imported"
LONGEST_LABEL = 60  # as in a study
NO_ATTENTION = NoWay("predictions were made elsewhere")


class _Elsewhere(NamedTuple):
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
    kind: Kind
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
    tell: Tell = lambda _what, _done, _of: None,
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
    if not 1 <= len(label) <= LONGEST_LABEL:
        raise StudyError(f"a label of {len(label)} characters: expected 1 to {LONGEST_LABEL}, as charts have room for")
    classes = dataset.class_names
    layout = find_layout(path, column_names(path), classes, csv=is_csv(path))
    expected = expect(study, dataset, seed)
    output = study.record_output
    sweep_temporaries(output)
    with Scratch(study.output, len(classes)) as scratch:
        sorting = sort_rows(path, layout, expected, scratch, tell, only_study=only_study)
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


def _evaluation(study: str, model: ImportedModel, expected: Expected) -> Evaluation:
    # an evaluation asks an identity and a label of its model and a precision of its network, and these have them
    return make_evaluation(
        study,
        cast(Model, model),
        cast(Network, _Elsewhere()),
        expected.dataset,
        expected.source,
        expected.subset,
        expected.source.pairing,
        NO_ATTENTION,
    )


def _record_dimensions(output: Place, evaluation: Evaluation, model: ImportedModel) -> None:
    record_dataset(output, evaluation.dataset)
    record_corruptions(output)
    record_source(output, evaluation.source)
    write_dimension(output, MODELS, evaluation.model_id, [model.row()])
    write_dimension(output, EVALUATIONS, evaluation.evaluation_id, [evaluation.row()])


def _record_exemplars(output: Place, evaluation: Evaluation, cells: Sequence[CellKey]) -> None:
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


def _is_whole(output: Place, evaluation: Evaluation, key: CellKey) -> bool:
    """Whether the cell's shard is published and undamaged."""
    path = shard_path(output, PREDICTIONS, Cell(evaluation.evaluation_id, *key))
    try:
        return is_there(path) and bool(read_stored(path))
    except DamagedShardError:
        return False


def _former_label(output: Place, model: ImportedModel) -> str | None:
    path = dimension_path(output, MODELS, model.model_id())
    try:
        former = str(read_stored(path).rows["model_label"][0]) if is_there(path) else model.label
    except DamagedShardError:
        return None
    return former if former != model.label else None


def _namesakes(output: Place, evaluation: Evaluation) -> list[str]:
    """Other models' evaluations of the same images and source under the same label."""
    labels = {m["model_id"]: m["model_label"] for p in recorded_files(output, MODELS) for m in _rows(p)}
    same = ("dataset_id", "source_id", "subset_id")
    mine = evaluation.row()
    return [
        row["evaluation_id"]
        for path in recorded_files(output, EVALUATIONS)
        for row in _rows(path)
        if labels.get(row["model_id"]) == evaluation.model.label
        and row["model_id"] != evaluation.model_id
        and all(row[name] == mine[name] for name in same)
    ]


def _rows(path: Place) -> list[dict[str, str]]:
    try:
        return read_stored(path).rows.to_pylist()
    except DamagedShardError:
        return []
