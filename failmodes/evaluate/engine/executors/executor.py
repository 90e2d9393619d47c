"""What every executor takes and gives, and how one process of a run is set up."""

import os
from collections.abc import Sequence
from typing import Protocol

import torch

from failmodes.evaluate.engine.autobatch import choose_batch_size, save_batch_size
from failmodes.evaluate.engine.batches import BatchStream, WorkerSpec, images_per_batch, limit_workers
from failmodes.evaluate.engine.cell_evaluation import ModelRun
from failmodes.evaluate.engine.tasks import RunResult, Task
from failmodes.evaluate.engine.worker import RunCallbacks, Worker
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.study.study_schema import Study

MAX_WORKERS = 8  # processes that corrupt ahead of one model, where the study does not say


class Executor(Protocol):
    """Runs the tasks of a study, clean cells before all others."""

    def run(self, tasks: Sequence[Task], progress: RunCallbacks) -> RunResult:
        """Run all tasks; models that raise are set aside, any other error is raised."""
        ...


class SerialExecutor:
    """The executor of this process."""

    def __init__(self, study: Study, groups: list[list[Evaluation]], device: torch.device) -> None:
        self.study, self.groups, self.device = study, groups, device

    def run(self, tasks: Sequence[Task], progress: RunCallbacks) -> RunResult:
        """Run all tasks, one after the other."""
        return make_worker(self.study, self.groups, self.device, progress).run(tasks)


def make_worker(
    study: Study,
    groups: list[list[Evaluation]],
    device: torch.device,
    progress: RunCallbacks,
    *,
    process_count: int = 1,
) -> Worker:
    """A worker of this process.

    Args:
        study: the study.
        groups: its evaluations on `device`.
        device: where models run.
        progress: called as images and shards are done.
        process_count: how many processes share this machine's cores.
    """
    model_runs = make_model_runs(study, groups)
    data = [group[0].data for group in groups]
    shape = data[0].dataset.images.shape[1:]
    batch_bytes = int(torch.Size(shape).numel()) * images_per_batch(shape, max(run.batch_size for run in model_runs))
    cores, workers = os.cpu_count() or 1, study.evaluation.workers
    if workers is None:
        workers = 0 if device.type == "cpu" else min(MAX_WORKERS, max(1, cores // process_count - 1))
    stream = BatchStream(
        data,
        WorkerSpec.of(study),
        workers=limit_workers(workers * process_count, batch_bytes) // process_count,
        threads=max(1, cores // process_count),
        pinned=device.type == "cuda",
    )
    return Worker(study, model_runs, stream, progress)


def make_model_runs(study: Study, groups: list[list[Evaluation]]) -> list[ModelRun]:
    """The models of a study, each with its batch size: the study's, or the one that is tried out and remembered.

    A model that several evaluations share has one batch size.
    """
    fixed = study.evaluation.batch_size
    images = len(study.corruptions.names) * len(study.corruptions.severities)
    images *= sum(len(group[0].data.subset.corrupted_ids) for group in groups)

    def remember(evaluation: Evaluation, size: int) -> None:
        if fixed is None:
            save_batch_size(evaluation, size, study.cache)

    sizes: dict[str, int] = {}
    model_runs = []
    for evaluation in (evaluation for group in groups for evaluation in group):
        if evaluation.model_id not in sizes:
            sizes[evaluation.model_id] = fixed or choose_batch_size(evaluation, images, study.cache)
        model_runs.append(ModelRun(evaluation, sizes[evaluation.model_id], remember))
    return model_runs
