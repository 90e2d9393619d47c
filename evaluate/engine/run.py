"""The run: which cells are missing, in which order they are made, and what is done about damage."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from evaluate.attention.finding import find_way
from evaluate.attention.reference import Reference, recall_reference, reference_path
from evaluate.devices import BATCH_SIZE, choose_device
from evaluate.engine.cells import Member, evaluate_cell, evaluate_clean
from evaluate.engine.exemplars import exemplars_are_done, record_exemplars
from evaluate.evaluation import Evaluation, choose_subset, make_evaluation
from evaluate.study import Study
from evaluate.zoo import load_zoo
from ingest.datasets import Dataset
from ingest.dimensions import record_corruptions, record_dataset, record_source
from ingest.sources import open_source
from warehouse.errors import DamagedShardError
from warehouse.publish import sweep_temporaries
from warehouse.record import Cell, cell_is_done, clean_cell, dimension_path, read_stored, shard_path, write_dimension
from warehouse.schema import ATTENTION, CLEAN_MAPS, EVALUATIONS, EXEMPLARS, MODELS, PREDICTIONS


class Progress(NamedTuple):
    """What happens during a run, for whoever shows it.

    Attributes:
        begin: (shards missing, images missing) before the first one.
        images: so many images went through a network.
        shard: a shard was published: its cell.
    """

    begin: Callable[[int, int], None] = lambda _shards, _images: None
    images: Callable[[int], None] = lambda _count: None
    shard: Callable[[Cell], None] = lambda _cell: None


@dataclass(frozen=True)
class RunReport:
    """What a run did: evaluations, shards made and found, damaged files that were made again."""

    evaluation_ids: list[str]
    made: int
    found: int
    redone: list[Path] = field(default_factory=list)


def evaluate_study(
    study: Study, dataset: Dataset, *, redo_damaged: bool = False, progress: Progress | None = None
) -> RunReport:
    """Evaluate all that is missing: the clean cell of each network first, then cell by cell over all networks.

    A published shard is never done again; a run killed at any instant goes on with the same command.

    Args:
        study: the study, its networks trained.
        dataset: its data set.
        redo_damaged: check the hash of every stored file of the study, and make damaged ones again.
        progress: who is told.

    Raises:
        ModelError, DataError, StorageError, DamagedShardError: as the message says.
    """
    progress = progress or Progress()
    sweep_temporaries(study.output)
    batch_size = study.evaluation.batch_size or BATCH_SIZE[choose_device(study.evaluation.device).type]
    groups = list(plan(study, dataset))
    evaluations = [evaluation for group in groups for evaluation in group]
    redone = [path for e in evaluations for path in _discard_damaged(study, e)] if redo_damaged else []
    todo = {e.evaluation_id: missing_cells(study, e) for e in evaluations}
    missing = sum(len(cells) for cells in todo.values())
    progress.begin(missing, sum(len(todo[e.evaluation_id]) * len(e.subset.corrupted_ids) for e in evaluations))
    for group in groups:
        members = [_with_reference(study.output, e, todo[e.evaluation_id], batch_size, progress) for e in group]
        _evaluate_corrupted(study, members, todo, batch_size, progress)
        _record_exemplars(study, members)
    found = len(evaluations) * len(study_cells(study, "")) - missing
    return RunReport([e.evaluation_id for e in evaluations], missing, found, redone)


def plan(study: Study, dataset: Dataset) -> Iterator[list[Evaluation]]:
    """Evaluations of a study, grouped by source of corruption, their dimensions on record."""
    device = choose_device(study.evaluation.device)
    record_dataset(study.output, dataset)
    record_corruptions(study.output)
    zoo = load_zoo(study, dataset)
    networks = [model.network(device, study.evaluation.precision) for model in zoo]
    shape = (int(dataset.images.shape[1]), int(dataset.images.shape[2]))
    ways = [
        find_way(
            network, shape, wanted=model.spec.attention or study.evaluation.attention_wanted,
            layer=model.spec.attention_layer,
        )
        for model, network in zip(zoo, networks, strict=True)
    ]  # fmt: skip
    for model in zoo:
        row = model.row()
        write_dimension(study.output, MODELS, row["model_id"], [row])
    seeds = study.corruptions.seeds if study.corruptions.published is None else study.corruptions.seeds[:1]
    for seed in seeds:
        source = open_source(study.corruptions, seed, dataset, study.cache)
        record_source(study.output, source)
        paired = source.pairing
        subset = choose_subset(dataset, source, paired, study.dataset.images)
        group = [
            make_evaluation(study.name, model, network, dataset, source, subset, paired, way)
            for model, network, way in zip(zoo, networks, ways, strict=True)
        ]
        for evaluation in group:
            write_dimension(study.output, EVALUATIONS, evaluation.evaluation_id, [evaluation.row()])
        yield group


def study_cells(study: Study, evaluation_id: str) -> list[Cell]:
    """All cells of one evaluation, the clean one first."""
    cells = [
        Cell(evaluation_id, corruption, severity)
        for corruption in study.corruptions.names
        for severity in severities_of(study)
    ]
    return [clean_cell(evaluation_id), *cells]


def severities_of(study: Study) -> list[Decimal]:
    """The study's severities, rising, as the record writes them."""
    return sorted(Decimal(str(severity)).quantize(Decimal("0.001")) for severity in study.corruptions.severities)


def missing_cells(study: Study, evaluation: Evaluation) -> list[Cell]:
    """Cells of an evaluation that are not published; the clean one too where its maps are gone."""
    attends = evaluation.attends
    missing = [
        cell
        for cell in study_cells(study, evaluation.evaluation_id)
        if not cell_is_done(study.output, cell, attention=attends)
    ]
    clean = clean_cell(evaluation.evaluation_id)
    if attends and clean not in missing and not reference_path(study.output, evaluation).exists():
        missing.insert(0, clean)
    return missing


def _with_reference(
    output: Path, evaluation: Evaluation, missing: list[Cell], batch_size: int, progress: Progress
) -> Member:
    clean = clean_cell(evaluation.evaluation_id)
    if clean in missing:
        reference: Reference | None = evaluate_clean(evaluation, output, batch_size, progress.images)
        progress.shard(clean)
    else:
        reference = recall_reference(output, evaluation) if evaluation.attends else None
    return Member(evaluation, reference)


def _evaluate_corrupted(
    study: Study, members: list[Member], todo: dict[str, list[Cell]], batch_size: int, progress: Progress
) -> None:
    for corruption in study.corruptions.names:
        for severity in severities_of(study):
            lacking = [
                m for m in members if m.evaluation.cell(corruption, severity) in todo[m.evaluation.evaluation_id]
            ]
            if not lacking:
                continue
            evaluate_cell(lacking, corruption, severity, study.output, batch_size, progress.images)
            for member in lacking:
                progress.shard(member.evaluation.cell(corruption, severity))


def _record_exemplars(study: Study, members: list[Member]) -> None:
    severities = severities_of(study)
    for evaluation, reference in members:
        for corruption in study.corruptions.names if evaluation.pairing.paired else ():
            if not exemplars_are_done(study.output, evaluation, corruption, severities):
                record_exemplars(study.output, evaluation, reference, corruption, severities)


def _discard_damaged(study: Study, evaluation: Evaluation) -> Iterator[Path]:
    """Remove the evaluation's files that no longer match their hash; gives their paths."""
    output, identity = study.output, evaluation.evaluation_id
    paths = [shard_path(output, t, c) for c in study_cells(study, identity) for t in (PREDICTIONS, ATTENTION)]
    paths.append(dimension_path(output, CLEAN_MAPS, identity))
    paths += [dimension_path(output, EXEMPLARS, f"{identity}-{name}") for name in study.corruptions.names]
    for path in paths:
        try:
            if path.exists():
                read_stored(path)
        except DamagedShardError:
            path.unlink()
            yield path
