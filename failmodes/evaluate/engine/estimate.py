"""What a run would do, before anything is computed: cells, models, minutes and disk space (`failmodes run --dry-run`).

The speed of a model is that of earlier shards of the same evaluation on the same device, where there are some; else one
batch is timed, under each corruption of the study. Loading and the report are not part of the time.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from failmodes.evaluate.devices import choose_device, describe_device
from failmodes.evaluate.engine.batches import BatchSlice, make_batch
from failmodes.evaluate.engine.cell_evaluation import CellEvaluation
from failmodes.evaluate.engine.executors.executor import make_model_runs
from failmodes.evaluate.engine.plan import missing_cells, plan_evaluations
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.evaluation_data import EvaluationData, open_evaluation_data
from failmodes.evaluate.study.study_schema import Study
from failmodes.evaluate.study_models import study_models
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.thumbnails import MOST_BYTES, encode_png
from failmodes.warehouse.schema import PREDICTION_FACTS
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell, ShardKey, read_footer, shard_path

READ_SHARDS = 5  # of an evaluation; their median speed counts
ROW_BYTES = 200  # of an image in a cell: the demo's record has 190, a third less without attention
WITH_WAREHOUSE = 3  # times the record: the demo's warehouse is twice as large
EXEMPLARS = 8  # images a corruption, at each severity
UNTRAINED = "time unknown before it is trained"


@dataclass
class ModelEstimate:
    """One model, over all seeds of the corruptions: its cells, those that are missing, and their images.

    Attributes:
        seconds: what the missing ones take on one device; None of a model that is to be trained first.
        source: where that is from, in words.
    """

    label: str
    cells: int
    missing: int
    images: int
    seconds: float | None
    source: str

    def describe(self) -> str:
        """The same in a line."""
        counts = f"{self.label}: {self.missing:,} of {self.cells:,} cells missing, {self.images:,} images"
        if not self.missing:
            return counts
        return f"{counts}, {self.source if self.seconds is None else f'{_minutes(self.seconds)} ({self.source})'}"


@dataclass
class RunEstimate:
    """What a run would do.

    Attributes:
        models: one each.
        device: where they run, in words.
        device_count: how many of it share the work.
        disk_bytes: what record and warehouse take more.
        free_bytes: free where they lie; None of a URL.
    """

    models: list[ModelEstimate]
    device: str
    device_count: int
    disk_bytes: int
    free_bytes: int | None

    @property
    def seconds(self) -> float:
        """What all models take whose time is known."""
        return sum(model.seconds or 0 for model in self.models) / self.device_count

    def as_json(self) -> dict[str, Any]:
        """The same in JSON's types."""
        return asdict(self) | {"seconds": self.seconds}

    def describe(self) -> list[str]:
        """The same in words: a line a model, and two of them all."""
        missing, images = (sum(getattr(model, name) for model in self.models) for name in ("missing", "images"))
        devices = f"{self.device_count} × {self.device}" if self.device_count > 1 else self.device
        untrained = any(model.seconds is None for model in self.models)
        time_s = f"{_minutes(self.seconds)} on {devices}" + " beside the models to be trained" * untrained
        free = "" if self.free_bytes is None else f", {self.free_bytes / 1e9:,.1f} GB free"
        return [
            *(model.describe() for model in self.models),
            f"to evaluate: {missing:,} cells, {images:,} images, {time_s}",
            f"disk space: about {self.disk_bytes / 1e6:,.0f} MB more for record and warehouse{free}",
        ]


def estimate_run(study: Study, dataset: Dataset) -> RunEstimate:
    """Estimate what a run of a study would do; writes no results.

    Raises:
        StudyError, ModelError, DataError: what the run would raise before its first batch.
    """
    device = choose_device(study.evaluation.device)
    untrained = [model for model in study_models(study, dataset) if not model.is_there]
    trained = [spec for spec in study.models if spec.label not in {model.spec.label for model in untrained}]
    groups = plan_evaluations(study.model_copy(update={"models": trained}), dataset, device) if trained else []
    data = list(open_evaluation_data(study, dataset))
    cells, images = len(study.cells) * len(data), sum(_image_count(one, study.cells) for one in data)
    models = [ModelEstimate(model.label, cells, cells, images, None, UNTRAINED) for model in untrained]
    speeds = _Speeds(study, groups)
    for evaluations in zip(*groups, strict=True):  # of one model, on the data of each seed
        missing = [missing_cells(study, one) for one in evaluations]
        count = sum(_image_count(one.data, cells) for one, cells in zip(evaluations, missing, strict=True))
        per_image_s, source = speeds.seconds_per_image(evaluations) if count else (0.0, "")
        shards = sum(map(len, missing))
        models.append(ModelEstimate(evaluations[0].model.label, cells, shards, count, count * per_image_s, source))
    gpus = torch.cuda.device_count() if device.type == "cuda" and study.evaluation.executor != "here" else 1
    disk_bytes = sum(model.images for model in models) * ROW_BYTES * WITH_WAREHOUSE
    if study.evaluation.thumbnails and data[0].paired:
        disk_bytes += _picture_bytes(study, data[0], sum(model.missing == model.cells for model in models))
    return RunEstimate(models, describe_device(device), gpus, disk_bytes, _free_bytes(study))


class _Speeds:
    """Seconds an image of models, by earlier shards or by a batch that is timed."""

    def __init__(self, study: Study, groups: Sequence[Sequence[Evaluation]]) -> None:
        self.study = study
        self.runs = {run.evaluation.evaluation_id: run for run in make_model_runs(study, [list(g) for g in groups])}
        self.model_count = len(groups[0]) if groups else 0
        self.corrupting_s: float | None = None

    def seconds_per_image(self, evaluations: Sequence[Evaluation]) -> tuple[float, str]:
        """Of one model, with the source of the figure."""
        stored = [speed for one in evaluations for speed in self._stored(one)]
        if stored:
            return 1 / median(stored), "by the speed of earlier shards"
        return self._timed(evaluations[0]), "by one timed batch"

    def _stored(self, evaluation: Evaluation) -> Iterator[float]:
        done = [cell for cell in self.study.cells if cell not in missing_cells(self.study, evaluation)]
        for cell in done[-READ_SHARDS:]:
            key = ShardKey(evaluation.evaluation_id, cell)
            facts = read_footer(shard_path(self.study.results_folder, PREDICTION_FACTS, key))["facts"]
            if facts["images_per_s"] and facts["device"] == describe_device(evaluation.prepared.device):
                yield facts["images_per_s"]

    def _timed(self, evaluation: Evaluation) -> float:
        """One batch of clean images through the model, after another; models share the making of corrupted ones."""
        run, data = self.runs[evaluation.evaluation_id], evaluation.data
        part = BatchSlice(0, CLEAN_CELL, 0, min(run.batch_size, len(data.subset.clean_ids)))
        batch = make_batch(data, part)
        for _ in range(2):  # what is compiled or loaded at first does not count
            cell = CellEvaluation(run, CLEAN_CELL, self.study.output)
            cell.add(batch)
        if self.corrupting_s is None:
            self.corrupting_s = self._time_corruptions(data, part)
        return cell.elapsed_s / part.stop + self.corrupting_s / self.model_count

    def _time_corruptions(self, data: EvaluationData, part: BatchSlice) -> float:
        """Seconds an image, the mean over the study's corruptions at the middle severity."""
        names, severity = self.study.corruptions.names, self.study.severities[len(self.study.severities) // 2]
        started = time.perf_counter()
        count = sum(len(make_batch(data, part._replace(cell=Cell(name, severity))).labels) for name in names)
        return (time.perf_counter() - started) / max(1, count)


def _image_count(data: EvaluationData, cells: Sequence[Cell]) -> int:
    return sum(len(data.subset.clean_ids if cell.is_clean else data.subset.corrupted_ids) for cell in cells)


def _picture_bytes(study: Study, data: EvaluationData, model_count: int) -> int:
    """Of the clean images and the exemplars of `model_count` models, which the warehouse has too."""
    ids = data.subset.clean_ids
    png_bytes = sum(len(encode_png(data.dataset.images[i])) for i in ids[:EXEMPLARS]) // len(ids[:EXEMPLARS])
    exemplars = EXEMPLARS * len(study.corruptions.names) * (len(study.severities) + 1) * model_count
    clean_bytes = min(MOST_BYTES, len(ids) * png_bytes) if model_count else 0
    return 2 * (exemplars * png_bytes + clean_bytes)


def _free_bytes(study: Study) -> int | None:
    folder = study.results_folder
    if not isinstance(folder, Path):
        return None
    return shutil.disk_usage(next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())).free


def _minutes(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds >= 600 else f"about {seconds / 60:.1f} min"
