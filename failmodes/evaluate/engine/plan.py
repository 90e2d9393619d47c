"""The plan of a run: evaluations of a study, their missing cells, and damaged files."""

from collections.abc import Iterator
from typing import Any, get_args

import torch

from failmodes.evaluate.cam.cam_method import CamMethod, CamUnavailable
from failmodes.evaluate.cam.method_selection import select_cam_method
from failmodes.evaluate.engine.clean_baseline import clean_baseline_path
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.evaluation_data import EvaluationData, open_study_data
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.notes import Step, notes_path
from failmodes.evaluate.stated_protocol import stated_protocol
from failmodes.evaluate.study.study_schema import Study
from failmodes.evaluate.study_models import load_study_models
from failmodes.ingest.axes import record_levels
from failmodes.ingest.datasets.dataset import Dataset, record_dataset
from failmodes.ingest.datasets.thumbnails import record_thumbnails
from failmodes.ingest.sources import record_corruptions, record_source
from failmodes.runtime.errors import DamagedShardError, StudyError
from failmodes.runtime.storage.files import StorePath, delete, exists
from failmodes.warehouse.schema import (
    CLEAN_MAPS,
    EVALUATION_NOTES,
    EVALUATIONS,
    EXEMPLARS,
    FACTS,
    MODELS,
    SHARDED,
    SHIFTS,
)
from failmodes.warehouse.shards.format import (
    CLEAN_CELL,
    Cell,
    ShardKey,
    dimension_path,
    published_cells,
    shard_path,
    write_dimension,
)
from failmodes.warehouse.shards.inventory import read_rows


def plan_evaluations(study: Study, dataset: Dataset, device: torch.device) -> list[list[Evaluation]]:
    """Evaluations of a study, one group per corruption seed and shift, in the order of `open_study_data`.

    Models are loaded to the device once.

    Args:
        study: the study.
        dataset: its dataset.
        device: where models run.

    Raises:
        StudyError: a model does not allow the requested attention, has other classes than the dataset, or occurs twice.
        ModelError: a model is not trained yet, or its checkpoint does not match.
    """
    settings = study.evaluation
    shape = (int(dataset.images.shape[1]), int(dataset.images.shape[2]))
    images = open_study_data(study, dataset)
    groups: list[list[Evaluation]] = [[] for _ in images]
    labels: dict[str, str] = {}
    for loaded in load_study_models(study, dataset):
        model = loaded.to(device, settings.precision)
        method = model.spec.attention or settings.attention_method
        attention = select_cam_method(model, shape, method, model.spec.attention_layer)
        for data, group in zip(images, groups, strict=True):
            group.append(_evaluation(study, model, attention, data))
        if settings.compile:
            model.compile()  # after CAM methods have registered their hooks, which are compiled too
        known = labels.setdefault(model.model_id, model.label)
        if known != model.label:  # its rows would be computed twice, under the second label
            raise StudyError(
                f"models {known!r} and {model.label!r} are the same model (weights, preprocessing and classes): "
                "remove one of them"
            )
    return groups


def _evaluation(study: Study, model: Model, attention: CamMethod | CamUnavailable, data: EvaluationData) -> Evaluation:
    """The evaluation of a model on some images: for a shift, among the classes of the shift."""
    if data.shift is not None:
        model = model.of_classes(data.dataset.class_names, restricted=data.shift.restricted)
    if isinstance(attention, CamMethod):
        attention = attention.for_model(model)
    return Evaluation(study.name, model, attention, data, study.evaluation.logits == "all")


def record_plan(study: Study, groups: list[list[Evaluation]]) -> None:
    """Store dimensions: datasets, corruptions, sources, levels, models, clean images, evaluations, shifts."""
    output = study.results_folder
    for dataset in {group[0].data.dataset.dataset_id: group[0].data.dataset for group in groups}.values():
        record_dataset(output, dataset)
    record_corruptions(output)
    for evaluation in groups[0]:
        write_dimension(output, MODELS, evaluation.model.model_id, [evaluation.model.row()])
    for group in groups:
        dataset, source, subset, shift = group[0].data
        record_source(output, source)
        if shift is None:
            record_levels(output, source.source_id, study.corruptions.levels_of(source.source_id))
        if study.evaluation.thumbnails and (shift is None or group[0].data.is_shifted):
            record_thumbnails(output, dataset, subset.clean_ids, subset.subset_id)
        for evaluation in group:
            write_dimension(output, EVALUATIONS, evaluation.evaluation_id, [_evaluation_row(study, evaluation)])
    for row in _shift_rows(groups):
        write_dimension(output, SHIFTS, row["evaluation_id"], [row])


def _evaluation_row(study: Study, evaluation: Evaluation) -> dict[str, Any]:
    """The row of `evaluations`: its protocol is judged by the cells of this and of earlier runs."""
    earlier = published_cells(study.results_folder, evaluation.evaluation_id, attention=False)
    cells = {*evaluation.data.cells(study), *earlier}
    return evaluation.row() | stated_protocol(evaluation, cells, study.protocols)


def _shift_rows(groups: list[list[Evaluation]]) -> Iterator[dict[str, Any]]:
    """The rows of `shifts`."""
    shifted = [group for group in groups if group[0].data.is_shifted]
    for order, group in enumerate(shifted, start=1):
        shift = group[0].data.shift
        assert shift is not None
        clean = next(evaluations for evaluations in groups if evaluations[0].data.is_clean_of(shift))
        for evaluation, reference in zip(group, clean, strict=True):
            yield {
                "evaluation_id": evaluation.evaluation_id,
                "shift": shift.label,
                "shift_kind": shift.spec.kind,
                "shift_order": order,
                "dataset_id": groups[0][0].data.dataset.dataset_id,
                "clean_evaluation_id": reference.evaluation_id,
                "clean": shift.clean,
                "class_count": len(shift.dataset.class_names),
                "clean_class_count": shift.clean_class_count,
                "restricted": shift.restricted,
                "source": shift.source or None,
                "note": shift.note or None,
            }


def missing_cells(study: Study, evaluation: Evaluation) -> list[Cell]:
    """Unpublished cells of an evaluation; also the clean cell if its maps or notes are missing."""
    output = study.results_folder
    attention = evaluation.has_attention
    identity = evaluation.evaluation_id
    published = published_cells(output, identity, attention=attention, logits=evaluation.keeps_logits)
    missing = [cell for cell in evaluation.data.cells(study) if cell not in published]
    beside = [notes_path(output, identity, "clean"), *[clean_baseline_path(output, evaluation)] * attention]
    if CLEAN_CELL not in missing and not all(map(exists, beside)):
        missing.insert(0, CLEAN_CELL)
    return missing


def discard_damaged(study: Study, evaluation: Evaluation) -> Iterator[StorePath]:
    """Remove files of the evaluation that do not match their hash or schema; yields their paths."""
    output = study.results_folder
    identity = evaluation.evaluation_id
    keys = [ShardKey(identity, cell) for cell in evaluation.data.cells(study)]
    tables = SHARDED if evaluation.keeps_logits else FACTS
    files = [(table, shard_path(output, table, key)) for key in keys for table in tables]
    files += [
        (CLEAN_MAPS, clean_baseline_path(output, evaluation)),
        *((EVALUATION_NOTES, notes_path(output, identity, step)) for step in get_args(Step)),
    ]
    files += [(EXEMPLARS, dimension_path(output, EXEMPLARS, f"{identity}-{name}")) for name in study.corruptions.names]
    for table, path in files:
        try:
            if exists(path):
                read_rows(path, table)
        except DamagedShardError:
            delete(path)
            yield path
