"""Estimates of a run before it starts: cells, minutes and disk space (`failmodes run --dry-run`).

One batch of each model is timed, and a few images under each corruption. Loading and the report are not included.
"""

import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch

from failmodes.evaluate.devices import choose_device, describe_device
from failmodes.evaluate.engine.batches import BatchSlice, count_images, make_batch
from failmodes.evaluate.engine.cell import CellEvaluation
from failmodes.evaluate.engine.plan import missing_cells, plan_evaluations
from failmodes.evaluate.engine.worker import make_model_runs
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.evaluation_data import EvaluationData, open_study_data
from failmodes.evaluate.study.study_schema import Study
from failmodes.evaluate.study_models import study_models
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.thumbnails import encode_png, stored_images
from failmodes.runtime.errors import counted
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell

ROW_BYTES = 200  # per image and cell: 190 in the demo, a third less without attention
WITH_WAREHOUSE = 3  # factor: the warehouse is twice as large as the results in the demo
EXEMPLARS = 8  # images per corruption and severity


class ModelEstimate(NamedTuple):
    """The estimate for one model over all corruption seeds: cells, missing cells and their images.

    Attributes:
        seconds: for the missing cells on one device; None for an untrained model.
    """

    label: str
    cells: int
    missing: int
    images: int
    seconds: float | None

    def describe(self) -> str:
        """The estimate in one line."""
        counts = f"{self.label}: {self.missing:,} of {self.cells:,} cells missing, {self.images:,} images"
        if not self.missing:
            return counts
        return f"{counts}, {'time unknown before training' if self.seconds is None else _minutes(self.seconds)}"


class RunEstimate(NamedTuple):
    """The estimate of a run.

    Attributes:
        models: estimates of the models.
        device: device, in words.
        device_count: number of devices that share the work.
        seconds: for all models with known speed.
        disk_bytes: additional disk space of results and warehouse.
        free_bytes: free disk space of the results folder; None for a URL.
    """

    models: list[ModelEstimate]
    device: str
    device_count: int
    seconds: float
    disk_bytes: int
    free_bytes: int | None

    def as_json(self) -> dict[str, Any]:
        """The estimate in JSON types."""
        return {**self._asdict(), "models": [model._asdict() for model in self.models]}

    def describe(self) -> list[str]:
        """The estimate in text: one line per model, and two totals."""
        missing, images = (sum(getattr(model, name) for model in self.models) for name in ("missing", "images"))
        devices = f"{self.device_count} × {self.device}" if self.device_count > 1 else self.device
        untrained = any(model.seconds is None for model in self.models)
        time_of = f"{_minutes(self.seconds)} on {devices}" + " without the models to be trained" * untrained
        free = "" if self.free_bytes is None else f", {self.free_bytes / 1e9:,.1f} GB free"
        return [
            *(model.describe() for model in self.models),
            f"to evaluate: {counted(missing, 'cell')}, {counted(images, 'image')}, {time_of}",
            f"disk space: about {self.disk_bytes / 1e6:,.0f} MB more for results and warehouse{free}",
        ]


def estimate_run(study: Study, dataset: Dataset) -> RunEstimate:
    """Estimate a run of a study; writes no results.

    Raises:
        StudyError, ModelError, DataError: as the run would raise before its first batch.
    """
    device = choose_device(study.evaluation.device)
    untrained = [model for model in study_models(study, dataset) if not model.is_ready]
    trained = [spec for spec in study.models if spec.label not in {model.spec.label for model in untrained}]
    groups = plan_evaluations(study.model_copy(update={"models": trained}), dataset, device) if trained else []
    data = open_study_data(study, dataset)
    counts = [count_images(images, cell) for images in data for cell in images.cells(study)]
    models = [ModelEstimate(model.label, len(counts), len(counts), sum(counts), None) for model in untrained]
    for evaluations in zip(*groups, strict=True):  # of one model, one per seed and shift
        missing = [count_images(e.data, cell) for e in evaluations for cell in missing_cells(study, e)]
        seconds = sum(missing) * _seconds_per_image(study, evaluations[0], len(trained)) if missing else 0.0
        models.append(ModelEstimate(evaluations[0].model.label, len(counts), len(missing), sum(missing), seconds))
    gpus = torch.cuda.device_count() if device.type == "cuda" and study.evaluation.executor != "here" else 1
    seconds = sum(model.seconds or 0 for model in models) / gpus
    disk_bytes = WITH_WAREHOUSE * ROW_BYTES * sum(model.images for model in models)
    if study.evaluation.thumbnails and (fresh := sum(model.missing == model.cells for model in models)):
        disk_bytes += _picture_bytes(study, data[0], fresh)
    return RunEstimate(models, describe_device(device), gpus, seconds, disk_bytes, _free_bytes(study))


def _seconds_per_image(study: Study, evaluation: Evaluation, models: int) -> float:
    """Seconds per image of one model; `models` share the corrupted batches."""
    (run,) = make_model_runs(study, [[evaluation]])
    data = evaluation.data
    part = BatchSlice(0, CLEAN_CELL, 0, min(run.batch_size, len(data.subset.clean_ids)))
    batch = make_batch(data, part)
    for _ in range(2):  # the first is a warm-up
        timed = CellEvaluation(run, CLEAN_CELL)
        timed.add(batch)
    started = time.perf_counter()
    middle = {name: held[len(held) // 2] for name in study.corruptions.names if (held := study.severities_of(name))}
    few = [part._replace(cell=Cell(*cell), stop=min(8, part.stop)) for cell in middle.items()]
    corrupted = sum(len(make_batch(data, batch_slice).labels) for batch_slice in few)
    corrupting_s = (time.perf_counter() - started) / max(1, corrupted)
    return timed.elapsed_s / part.stop + corrupting_s / models


def _picture_bytes(study: Study, data: EvaluationData, model_count: int) -> int:
    """Bytes of clean images and exemplars of `model_count` models, in results and warehouse."""
    few = data.subset.clean_ids[:EXEMPLARS]
    png_bytes = sum(len(encode_png(image)) for image in data.dataset.images[few]) // len(few)
    exemplars = EXEMPLARS * len(study.corruptions.names) * (len(study.severities) + 1) * model_count
    return 2 * png_bytes * (exemplars + len(stored_images(data.dataset, data.subset.clean_ids)))


def _free_bytes(study: Study) -> int | None:
    folder = study.results_folder
    if not isinstance(folder, Path):
        return None
    return shutil.disk_usage(next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())).free


def _minutes(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds >= 600 else f"about {seconds / 60:.1f} min"
