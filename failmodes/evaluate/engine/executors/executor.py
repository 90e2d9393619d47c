"""How one process of a run is set up, in this process and in others."""

import os
import pickle
from collections.abc import Sequence

import torch

from failmodes.evaluate.allocator import keep_freed_memory
from failmodes.evaluate.devices import choose_device
from failmodes.evaluate.engine.batches import BatchStream, WorkerSpec, images_per_batch, limit_workers
from failmodes.evaluate.engine.cell import ModelRun, choose_batch_size
from failmodes.evaluate.engine.plan import plan_evaluations
from failmodes.evaluate.engine.tasks import RunCallbacks, RunResult, Task
from failmodes.evaluate.engine.worker import Worker
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.study.study_schema import Study

MAX_WORKERS = 8  # processes that corrupt ahead of one model, where the study does not say


def run_here(
    study: Study, groups: list[list[Evaluation]], device: torch.device, tasks: Sequence[Task], progress: RunCallbacks
) -> RunResult:
    """Run all tasks in this process, one after the other."""
    return make_worker(study, groups, device, progress).run(tasks)


def open_worker(
    worker_spec: bytes, progress: RunCallbacks, *, threads: int, number: int = 0, process_count: int = 1
) -> Worker:
    """The worker of a process that was started for a run: it opens the study for itself.

    Args:
        worker_spec: WorkerSpec of the study as a pickle, from the process that began the run; opened here, where the
            user's modules can be imported, and a mistake in them is an error of this call.
        progress: called as images and shards are done.
        threads: how many the models run on.
        number: of the process on its machine, from 0: processes take the GPUs in turn.
        process_count: how many processes share the machine.
    """
    keep_freed_memory()
    torch.set_num_threads(threads)
    study, dataset = pickle.loads(worker_spec).open()
    device = choose_device(study.evaluation.device)
    if device.type == "cuda":
        device = torch.device("cuda", number % torch.cuda.device_count())
        torch.cuda.set_device(device)  # else whatever names no device would go to the first
    groups = plan_evaluations(study, dataset, device)
    return make_worker(study, groups, device, progress, process_count=process_count)


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
    """The models of a study, each with its batch size: the study's, or what the memory rule gives.

    A model that several evaluations share has one batch size.
    """
    sizes: dict[str, int] = {}
    model_runs = []
    for evaluation in (evaluation for group in groups for evaluation in group):
        if evaluation.model.model_id not in sizes:
            shape = evaluation.data.dataset.images.shape[1:]
            sizes[evaluation.model.model_id] = study.evaluation.batch_size or choose_batch_size(evaluation.model, shape)
        model_runs.append(ModelRun(evaluation, sizes[evaluation.model.model_id]))
    return model_runs
