"""Comparison of a model with its published row: is it reproduced within its interval, and under which protocol?"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import duckdb

from failmodes.analysis.evaluations.comparability import protocol_titled, protocol_words, unlike_published
from failmodes.analysis.evaluations.selection import TO_EVALUATE, EvaluationInfo
from failmodes.analysis.evaluations.trained_models import TrainedModel
from failmodes.analysis.statistics.difference import ModelMetrics, Term
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.model_accuracy import accuracy_over, mean_corrupted, rows_of
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, CellKey
from failmodes.ingest.protocols.protocol import Protocol, published_protocols
from failmodes.runtime.errors import StudyError, WarehouseError, did_you_mean, shown
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.evaluation_facts import RELATIONS, read_facts
from failmodes.warehouse.published_files import ACCURACY, MCE, read_published_file
from failmodes.warehouse.published_layout import PublishedModel, PublishedSet

Outcome = Literal["reproduced", "not reproduced", "not comparable"]
LEVEL = 0.95
ALEXNET = "alexnet"
MCE_PUBLISHED = "mCE, published AlexNet"
MCE_CELLS = 75  # 15 corruptions at 5 severities
NEEDED = (*RELATIONS, "prediction_facts", "cell_predictions", "images", "alexnet_errors", "corruptions")


class CheckedNumber(NamedTuple):
    """A number of a model and the published one.

    Attributes:
        name: of a cell, its corruption and severity; or the name of an average.
        cell: corruption and severity; None for an average.
        measured: with its interval; 0-1, mCE 0 to infinity.
        published: the published number.
    """

    name: str
    cell: CellKey | None
    measured: Estimate
    published: float

    @property
    def is_reproduced(self) -> bool:
        """Whether the published number is within the interval."""
        return self.measured.low <= self.published <= self.measured.high


class PublishedCheck(NamedTuple):
    """A model beside its published row.

    Attributes:
        evaluation: of the model.
        published_set: the published table.
        row: name of the row.
        protocol: protocol of the evaluation, in words.
        differences: the respects in which it is not the protocol of the row; None if that is not registered.
        numbers: cells, whose intervals hold together, then averages.
        omitted: published cells that the evaluation lacks, which are in no average.
    """

    evaluation: EvaluationInfo
    published_set: str
    row: str
    protocol: str
    differences: tuple[str, ...] | None
    numbers: tuple[CheckedNumber, ...]
    omitted: tuple[CellKey, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """Whether every number is reproduced under the protocol of the row."""
        if self.differences is None or self.differences:
            return "not comparable"
        return "reproduced" if all(number.is_reproduced for number in self.numbers) else "not reproduced"


def published_files(name: str, folder: Path) -> list[Path]:
    """The files of published accuracies of a name; those of robustbench and timm are downloaded into a folder.

    Raises:
        DownloadError: they cannot be downloaded; the message says where they are published.
    """
    from failmodes.ingest.downloads import PUBLISHED_ACCURACIES, download_dataset

    if name not in PUBLISHED_ACCURACIES:
        return [Path(name)]
    return sorted(file for file in download_dataset(name, folder / "published").iterdir() if file.suffix == ".csv")


def check_published(
    warehouse: Path, files: Sequence[Path], *, models: Sequence[str] = (), row: str | None = None
) -> list[PublishedCheck]:
    """Compare models of a warehouse with their published rows.

    A row belongs to a model whose label, architecture or checkpoint is its name, apart from case, a source before a
    colon and a suffix.

    Args:
        warehouse: the DuckDB file.
        files: published accuracies; see `read_published_file`.
        models: only these, by label.
        row: name of the row; default: that of the model.

    Raises:
        StudyError: a file does not exist, or no model has a row.
        DataError: a file is damaged.
        WarehouseError: the warehouse cannot be read, or has no evaluations.
    """
    sets = [published for file in files for published in read_published_file(file)]
    with open_warehouse(warehouse, NEEDED) as con:
        every = [EvaluationInfo(facts["evaluation_id"], str(facts["model_label"]), facts) for facts in read_facts(con)]
        if not every:
            raise WarehouseError(f"the warehouse has no evaluations: {TO_EVALUATE}")
        labels = {evaluation.label for evaluation in every}
        for name in models:
            if name not in labels:
                raise StudyError(f"no model {shown(name)} in this warehouse: {did_you_mean(name, sorted(labels))}")
        chosen = [evaluation for evaluation in every if not models or evaluation.label in models]
        checks = [
            check
            for published in sets
            for evaluation in chosen
            if (model := _row_of(published, evaluation, row)) is not None
            and (check := _check(con, published, model, evaluation)) is not None
        ]
    if not checks:
        _refuse_without_row(sets, labels if not models else set(models), row)
    return checks


def _refuse_without_row(sets: Sequence[PublishedSet], labels: set[str], row: str | None) -> None:
    names = sorted({model.name for published in sets for model in published.models})
    wanted = row or min(labels)
    raise StudyError(
        f"no evaluation here has a published row: {did_you_mean(wanted, names, f'rows are {names[0]} …')}; "
        "name the model with --model and the row with --row"
    )


def _row_of(published: PublishedSet, evaluation: EvaluationInfo, row: str | None) -> PublishedModel | None:
    facts = evaluation.facts
    known = {facts[name] or "" for name in ("model_label", "model_name", "architecture", "checkpoint")}
    return row_named(published, known - {""} if row is None else {row})


def row_named(published: PublishedSet, names: Collection[str]) -> PublishedModel | None:
    """The row of one of some names, apart from case, a source before a colon and a suffix."""
    wanted = set(map(_plain, names))
    return next((model for model in published.models if _plain(model.name) in wanted), None)


def _plain(name: str) -> str:
    return name.rpartition(":")[2].lower().removesuffix(".safetensors").removesuffix(".pth")


def _check(
    con: duckdb.DuckDBPyConnection, published: PublishedSet, model: PublishedModel, evaluation: EvaluationInfo
) -> PublishedCheck | None:
    """The check of one evaluation; None if its images are of another dataset, or the row has none of its cells."""
    protocol = protocol_titled(published.name)
    facts = evaluation.facts
    differences = None if protocol is None else tuple(unlike_published([facts], protocol))
    if protocol is not None and not is_of(facts, protocol.dataset):
        return None
    metrics = ModelMetrics(rows_of(con, TrainedModel(evaluation.label, (evaluation,))))
    numbers = (*_cells(metrics, model), *_averages(con, metrics, published, model))
    if not numbers or (model.averages and all(number.cell is not None for number in numbers)):
        return None
    held = set(metrics.candidate.cells)
    omitted = tuple(cell for name, level in model.accuracies if (cell := (name, float(level))) not in held)
    return PublishedCheck(evaluation, published.name, model.name, protocol_words(facts), differences, numbers, omitted)


def is_of(facts: Mapping[str, Any], dataset: str) -> bool:
    """Whether the nearest protocol of an evaluation, or its kind of dataset, is of these images."""
    nearest = published_protocols().get(facts["protocol"] or "")
    return facts["dataset_name"] == dataset or (nearest is not None and nearest.dataset == dataset)


def _cells(metrics: ModelMetrics, model: PublishedModel) -> Iterator[CheckedNumber]:
    """Accuracy of each cell that both have, with exact intervals that hold for all of them together."""
    published = {(corruption, float(severity)): value for (corruption, severity), value in model.accuracies.items()}
    shared = [cell for cell in metrics.candidate.cells if cell in published]
    for cell in shared:
        measured = accuracy_over(metrics, [Term(cell, 1)]).interval(LEVEL, comparisons=len(shared))
        yield CheckedNumber(
            "clean" if cell == CLEAN_CELL else f"{cell[0]} {cell[1]:g}", cell, measured, published[cell]
        )


def _averages(
    con: duckdb.DuckDBPyConnection, metrics: ModelMetrics, published: PublishedSet, model: PublishedModel
) -> Iterator[CheckedNumber]:
    """The averages of the row, from its cells or as published; mCE over each AlexNet is an average of its own."""
    of_row = {(name, float(severity)): value for (name, severity), value in model.accuracies.items() if severity}
    protocol = protocol_titled(published.name)
    asked = [*of_row] if of_row or protocol is None else protocol_cells(protocol)
    cells = [cell for cell in metrics.candidate.cells if cell in set(asked)]
    if not cells or (not of_row and len(cells) < len(asked)):  # an average is published over all of its cells
        return
    terms = mean_corrupted(cells, dict.fromkeys(name for name, _ in cells))
    mean = sum(term.weight * of_row[term.cell] for term in terms) if of_row else model.averages.get(ACCURACY)
    if mean is not None:
        yield CheckedNumber(ACCURACY, None, accuracy_over(metrics, terms).interval(LEVEL), mean)
    for name, errors in {MCE: own_alexnet(published), MCE_PUBLISHED: published_alexnet(con)}.items():
        among = [cell for cell in cells if cell[0] in errors and cell[1] in range(1, 6)]
        ratio = mean_ratio(of_row, errors) if of_row else model.averages.get(name)
        if len(among) == MCE_CELLS and ratio is not None:
            yield CheckedNumber(name, None, _mce(metrics, among, errors), ratio)


def protocol_cells(protocol: Protocol) -> list[CellKey]:
    """The cells that a protocol averages."""
    return [(corruption, float(severity)) for corruption in protocol.corruptions for severity in protocol.severities]


def own_alexnet(published: PublishedSet) -> dict[str, float]:
    """Mean errors of the AlexNet row of a published table by corruption, 0-1; empty without one."""
    row = next((model for model in published.models if model.name.lower() == ALEXNET), None)
    return {} if row is None else mean_errors({(c, float(s)): value for (c, s), value in row.accuracies.items() if s})


def published_alexnet(con: duckdb.DuckDBPyConnection) -> dict[str, float]:
    """Mean errors of AlexNet as published with ImageNet-C by corruption, 0-1."""
    return dict(con.execute("select corruption, mean_error::double from alexnet_errors").fetchall())


def mean_errors(accuracies: Mapping[CellKey, float]) -> dict[str, float]:
    """Mean errors by corruption, 0-1, over the cells of some accuracies."""
    errors: dict[str, list[float]] = {}
    for (corruption, _), accuracy in accuracies.items():
        errors.setdefault(corruption, []).append(1 - accuracy)
    return {corruption: sum(values) / len(values) for corruption, values in errors.items()}


def mean_ratio(accuracies: Mapping[CellKey, float], baseline: Mapping[str, float]) -> float | None:
    """mCE: the mean over corruptions of mean errors over those of a baseline; 1: as many errors. None without all."""
    errors = mean_errors({cell: value for cell, value in accuracies.items() if cell[0] in baseline})
    if not baseline or errors.keys() != baseline.keys() or not all(baseline.values()):
        return None
    return sum(errors[corruption] / baseline[corruption] for corruption in errors) / len(errors)


def _mce(metrics: ModelMetrics, cells: Sequence[CellKey], baseline: Mapping[str, float]) -> Estimate:
    """MCE over a baseline without error: a constant minus a weighted sum of accuracies."""
    names = {corruption for corruption, _ in cells}
    constant = sum(1 / baseline[corruption] for corruption in names) / len(names)
    terms = [Term(cell, 1 / (len(cells) * baseline[cell[0]])) for cell in cells]
    summed = accuracy_over(metrics, terms).interval(LEVEL)
    return Estimate(constant - summed.value, constant - summed.high, constant - summed.low, LEVEL, summed.n)
