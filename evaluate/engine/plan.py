"""The plan: which evaluations a study asks for, which of their cells are missing, which files are damaged."""

from collections.abc import Iterator
from decimal import Decimal

import torch

from evaluate.attention.finding import find_way
from evaluate.attention.reference import reference_path
from evaluate.attention.ways import NoWay, Way
from evaluate.engine.materials import Material, open_materials
from evaluate.evaluation import Evaluation, make_evaluation
from evaluate.models.model import Model
from evaluate.models.network import Network, compile_network
from evaluate.study import Study
from evaluate.zoo import load_zoo
from ingest.datasets import Dataset
from ingest.dimensions import record_corruptions, record_dataset, record_source
from warehouse.errors import DamagedShardError, ModelError
from warehouse.place import Place, is_there, remove
from warehouse.record import Cell, clean_cell, dimension_path, done_cells, read_stored, shard_path, write_dimension
from warehouse.schema import ATTENTION, CLEAN_MAPS, EVALUATIONS, EXEMPLARS, MODELS, PREDICTIONS


def plan(study: Study, dataset: Dataset, device: torch.device) -> list[list[Evaluation]]:
    """Evaluations of a study, a group for each of its materials; each network is on the device once.

    Raises:
        ModelError: a network is not trained yet, does not fit, cannot be attended to as asked, or stands there twice.
    """
    ready = [_ready(study, dataset, model, device) for model in load_zoo(study, dataset)]
    _refuse_twins([model for model, _, _ in ready])
    return [
        [_evaluation(study, material, model, network, way) for model, network, way in ready]
        for material in open_materials(study, dataset)
    ]


def _refuse_twins(zoo: list[Model]) -> None:
    """Refuse one network under two labels: its rows would be made twice, and go by the second."""
    labels: dict[str, str] = {}
    for model in zoo:
        known = labels.setdefault(model.model_id(), model.label)
        if known != model.label:
            raise ModelError(
                f"models {known!r} and {model.label!r} are one network: the same weights, preprocessing and classes; "
                "leave one of them out"
            )


def record_plan(study: Study, groups: list[list[Evaluation]]) -> None:
    """Put on record what the evaluations are of: data set, corruptions, sources, models, and they themselves."""
    output = study.record_output
    record_dataset(output, groups[0][0].dataset)
    record_corruptions(output)
    for evaluation in groups[0]:
        write_dimension(output, MODELS, evaluation.model_id, [evaluation.model.row()])
    for group in groups:
        record_source(output, group[0].source)
        for evaluation in group:
            write_dimension(output, EVALUATIONS, evaluation.evaluation_id, [evaluation.row()])


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
    output, attends = study.record_output, evaluation.attends
    done = done_cells(output, evaluation.evaluation_id, attention=attends)
    missing = [cell for cell in study_cells(study, evaluation.evaluation_id) if cell not in done]
    clean = clean_cell(evaluation.evaluation_id)
    if attends and clean not in missing and not is_there(reference_path(output, evaluation)):
        missing.insert(0, clean)
    return missing


def discard_damaged(study: Study, evaluation: Evaluation) -> Iterator[Place]:
    """Remove the evaluation's files that no longer match their hash; gives their paths."""
    output, identity = study.record_output, evaluation.evaluation_id
    paths = [shard_path(output, t, c) for c in study_cells(study, identity) for t in (PREDICTIONS, ATTENTION)]
    paths.append(dimension_path(output, CLEAN_MAPS, identity))
    paths += [dimension_path(output, EXEMPLARS, f"{identity}-{name}") for name in study.corruptions.names]
    for path in paths:
        try:
            if is_there(path):
                read_stored(path)
        except DamagedShardError:
            remove(path)
            yield path


def _ready(study: Study, dataset: Dataset, model: Model, device: torch.device) -> tuple[Model, Network, Way | NoWay]:
    settings, spec = study.evaluation, model.spec
    network = model.network(device, settings.precision)
    shape = (int(dataset.images.shape[1]), int(dataset.images.shape[2]))
    way = find_way(network, shape, wanted=spec.attention or settings.attention_wanted, layer=spec.attention_layer)
    if settings.compile:
        compile_network(network)  # after the way has put its hook in place, which is compiled with the rest
    return model, network, way


def _evaluation(study: Study, material: Material, model: Model, network: Network, way: Way | NoWay) -> Evaluation:
    dataset, source, subset = material
    return make_evaluation(study.name, model, network, dataset, source, subset, source.pairing, way)
