"""What every executor takes and gives, and how one process of a run is set up."""

import os
from collections.abc import Sequence
from typing import Protocol

import torch

from failmodes.evaluate.engine.autobatch import choose_batch_size, save_batch_size
from failmodes.evaluate.engine.batches import BatchStream, images_per_batch, limit_workers
from failmodes.evaluate.engine.cell_evaluation import ModelRun
from failmodes.evaluate.engine.evaluation_data import EvaluationData, WorkerSpec
from failmodes.evaluate.engine.tasks import RunResult, Task
from failmodes.evaluate.engine.worker import RunCallbacks, Worker, model_runs
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.study.study_schema import Study

MAX_WORKERS = 8  # processes that corrupt ahead of one network, where nothing else is said


class Executor(Protocol):
    """Does the tasks of a run, clean cells before all others."""

    def run(self, tasks: Sequence[Task], progress: RunCallbacks) -> RunResult:
        """Do all tasks; networks that raise are set aside, whatever else goes wrong is raised."""


def make_worker(
    study: Study, groups: list[list[Evaluation]], device: torch.device, progress: RunCallbacks, *, share: int = 1
) -> Worker:
    """A worker of this process.

    Args:
        study: the study.
        groups: its evaluations on `device`.
        device: where networks run.
        progress: who is told.
        share: how many processes share this machine's cores.
    """
    members = make_model_runs(study, groups)
    materials = [EvaluationData(group[0].dataset, group[0].source, group[0].subset) for group in groups]
    shape = materials[0].dataset.images.shape[1:]
    block_bytes = int(torch.Size(shape).numel()) * images_per_batch(shape, max(m.batch_size for m in members))
    wanted = study.evaluation.workers
    if wanted is None:
        wanted = 0 if device.type == "cpu" else min(MAX_WORKERS, max(1, (os.cpu_count() or 1) // share - 1))
    stream = BatchStream(
        materials,
        WorkerSpec.of(study),
        workers=limit_workers(wanted * share, block_bytes) // share,
        threads=max(1, (os.cpu_count() or 1) // share),
        pinned=device.type == "cuda",
    )
    return Worker(study, members, stream, progress)


def make_model_runs(study: Study, groups: list[list[Evaluation]]) -> list[ModelRun]:
    """The networks of a study, each with its batch size: the study's, or the one that is tried out and remembered."""
    images = len(study.corruptions.names) * len(study.corruptions.severities)
    images *= sum(len(group[0].subset.corrupted_ids) for group in groups)

    def batch_size(evaluation: Evaluation) -> int:
        return study.evaluation.batch_size or choose_batch_size(evaluation, images, study.cache)

    def remembered(evaluation: Evaluation, size: int) -> None:
        if study.evaluation.batch_size is None:
            save_batch_size(evaluation, size, study.cache)

    return model_runs([evaluation for group in groups for evaluation in group], batch_size, remembered)


class SerialExecutor:
    """The executor of this process."""

    def __init__(self, study: Study, groups: list[list[Evaluation]], device: torch.device) -> None:
        self.study, self.groups, self.device = study, groups, device

    def run(self, tasks: Sequence[Task], progress: RunCallbacks) -> RunResult:
        """Do all tasks, one after the other."""
        return make_worker(self.study, self.groups, self.device, progress).do(tasks) if tasks else RunResult()


def clean_cells_first(tasks: Sequence[Task]) -> list[list[Task]]:
    """Tasks that may be done at the same time: the clean cells, network by network; then all others.

    What drift is measured against must be on record before another process can measure it.
    """
    clean = [part for task in tasks if task.cell.is_clean for part in task.split()]
    return [wave for wave in (clean, [task for task in tasks if not task.cell.is_clean]) if wave]
