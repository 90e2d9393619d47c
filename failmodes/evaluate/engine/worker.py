"""A worker runs tasks: every model that lacks a cell gets the same corrupted batches.

A model that raises is excluded, with its cell and batch in the message, and the others continue. Other errors (a full
disk, a damaged file, unreadable images) stop the worker; published shards remain.
"""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import torch

from failmodes.evaluate.devices import choose_device, describe_device, is_out_of_memory, keep_freed_memory
from failmodes.evaluate.engine.batches import (
    BatchSlice,
    BatchStream,
    count_images,
    images_per_batch,
    limit_workers,
    open_pickled_study,
)
from failmodes.evaluate.engine.cell import CellEvaluation, ModelRun, choose_batch_size
from failmodes.evaluate.engine.clean_baseline import changed_predictions, load_clean_baseline
from failmodes.evaluate.engine.plan import plan_evaluations
from failmodes.evaluate.engine.tasks import Failure, RunCallbacks, RunResult, Task
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.models.trial import raised_at
from failmodes.evaluate.study.study_schema import Study
from failmodes.runtime.errors import DamagedShardError, DataError, StorageError, first_line
from failmodes.warehouse.shards.format import Cell

NOT_MODEL_ERRORS = (StorageError, DamagedShardError, DataError)
MAX_WORKERS = 8  # default number of processes that corrupt images ahead of one model
MAX_PENDING = 2  # finished cells that are not written yet


class Worker:
    """Runs the tasks of one study with the models on one device.

    Attributes:
        model_runs: the models, by evaluation_id.
        excluded: model_ids of models that raised.
    """

    def __init__(self, model_runs: Iterable[ModelRun], stream: BatchStream, progress: RunCallbacks) -> None:
        self.stream = stream
        self.progress = progress
        self.output = stream.study.results_folder
        self.model_runs = {run.evaluation.evaluation_id: run for run in model_runs}
        self.excluded: set[str] = set()

    def run(self, tasks: Iterable[Task]) -> RunResult:
        """Run tasks in order; worker processes prepare batches ahead, across tasks.

        A thread hashes, compresses and writes finished cells while models compute the next.

        Args:
            tasks: tasks, read one by one as their batches are prepared.
        """
        result = RunResult()
        cells: list[CellEvaluation] = []
        writing: deque[Future[None]] = deque()
        with ThreadPoolExecutor(1) as writer:
            started = time.perf_counter()
            for batch in self.stream.batches(self._slices(tasks)):
                batch_s = time.perf_counter() - started
                part = batch.slice
                if part.start == 0:
                    cells = [self._begin(run, part.cell) for run in self._taking_part(part.evaluation_ids)]
                is_last = part.stop == count_images(self.stream.data[part.data], part.cell)
                for cell in cells:
                    cell.elapsed_s += batch_s
                    with self._model_errors_caught(cell, result):
                        cell.add(batch)
                        if is_last:
                            self._finish(cell, result)
                cells = [cell for cell in cells if cell.evaluation.model.model_id not in self.excluded]
                self.progress.images(len(batch.image_ids) * len(cells))
                writing.extend(writer.submit(self._publish, cell) for cell in cells if is_last)
                while len(writing) > MAX_PENDING:
                    writing.popleft().result()
                started = time.perf_counter()
            for written in writing:
                written.result()
        return result

    def _slices(self, tasks: Iterable[Task]) -> Iterator[BatchSlice]:
        """The batch slices of tasks."""
        shape = self.stream.data[0].dataset.images.shape[1:]
        size = images_per_batch(shape, max(run.batch_size for run in self.model_runs.values()))
        for task in tasks:
            if self._taking_part(task.evaluation_ids):
                count = count_images(self.stream.data[task.data], task.cell)
                for start in range(0, count, size):
                    yield BatchSlice(task.data, task.cell, start, min(start + size, count), task.evaluation_ids)

    def _taking_part(self, evaluation_ids: Sequence[str]) -> list[ModelRun]:
        runs = [self.model_runs[evaluation_id] for evaluation_id in evaluation_ids]
        return [run for run in runs if run.evaluation.model.model_id not in self.excluded]

    def _begin(self, run: ModelRun, cell: Cell) -> CellEvaluation:
        if run.evaluation.has_attention and not cell.is_clean and run.baseline is None:
            run.baseline = load_clean_baseline(self.output, run.evaluation)
        return CellEvaluation(run, cell)

    @contextmanager
    def _model_errors_caught(self, cell: CellEvaluation, result: RunResult) -> Iterator[None]:
        """Exclude a model that raises in this context from all its evaluations."""
        try:
            yield
        except NOT_MODEL_ERRORS:
            raise
        except Exception as error:  # any error of a model
            model_id = cell.evaluation.model.model_id
            reason = _reason(error, cell)
            self.excluded.add(model_id)
            evaluations = [run.evaluation for run in self.model_runs.values()]
            result.failures += [
                Failure(e.evaluation_id, e.model.label, reason) for e in evaluations if e.model.model_id == model_id
            ]

    def _finish(self, cell: CellEvaluation, result: RunResult) -> None:
        cell.finish()
        model = cell.evaluation.model
        if cell.cell.is_clean and model.precision != "float32":
            changed = changed_predictions(cell.evaluation, cell.run.batch_size)
            result.changed_predictions[model.label] = cell.facts["changed_predictions"] = changed
        result.written += 1
        if cell.notes:
            result.notes += cell.notes
            self.progress.notes(cell.notes)

    def _publish(self, cell: CellEvaluation) -> None:
        cell.publish(self.output)
        self.progress.shard(cell.key)


def _reason(error: Exception, cell: CellEvaluation) -> str:
    """Location and reason of an error, in one line."""
    message = first_line(error)
    if is_out_of_memory(error) and cell.run.batch_size == 1:
        device = describe_device(cell.evaluation.model.device)
        message = f"a single image does not fit into the memory of {device}: {message}"
    begin, end = cell.at
    location = f"{cell.cell}, batch {begin // cell.run.batch_size + 1} (images {begin + 1} to {end} of the subset)"
    return f"{location}: {type(error).__name__}: {message} ({raised_at(error)})"


def open_worker(
    pickled_study: bytes, progress: RunCallbacks, *, threads: int, number: int = 0, process_count: int = 1
) -> Worker:
    """Open the study in a process started for a run, and return its worker.

    Args:
        pickled_study: from `pickle_study`.
        progress: callbacks for images and shards.
        threads: number of threads of the models.
        number: index of the process on its machine; processes are assigned to GPUs in turn.
        process_count: number of processes on the machine.
    """
    keep_freed_memory()
    torch.set_num_threads(threads)
    study, dataset = open_pickled_study(pickled_study)
    device = choose_device(study.evaluation.device)
    if device.type == "cuda":
        device = torch.device("cuda", number % torch.cuda.device_count())
        torch.cuda.set_device(device)  # the default device of this process
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
    """Create a worker of this process.

    Args:
        study: the study.
        groups: its evaluations on `device`.
        device: where models run.
        progress: callbacks for images and shards.
        process_count: number of processes that share the cores of this machine.
    """
    model_runs = make_model_runs(study, groups)
    data = [group[0].data for group in groups]
    shape = data[0].dataset.images.shape[1:]
    batch_bytes = int(torch.Size(shape).numel()) * images_per_batch(shape, max(run.batch_size for run in model_runs))
    cores = os.cpu_count() or 1
    workers = study.evaluation.workers
    if workers is None:
        workers = 0 if device.type == "cpu" else min(MAX_WORKERS, max(1, cores // process_count - 1))
    stream = BatchStream(
        data,
        study,
        workers=limit_workers(workers * process_count, batch_bytes) // process_count,
        threads=max(1, cores // process_count),
        pinned=device.type == "cuda",
    )
    return Worker(model_runs, stream, progress)


def make_model_runs(study: Study, groups: list[list[Evaluation]]) -> list[ModelRun]:
    """The models of a study with their batch sizes: from the study, otherwise from the memory rule.

    A model has the same batch size in all its evaluations.
    """
    sizes: dict[str, int] = {}
    model_runs = []
    for evaluation in (evaluation for group in groups for evaluation in group):
        if evaluation.model.model_id not in sizes:
            shape = evaluation.data.dataset.images.shape[1:]
            sizes[evaluation.model.model_id] = study.evaluation.batch_size or choose_batch_size(evaluation.model, shape)
        model_runs.append(ModelRun(evaluation, sizes[evaluation.model.model_id]))
    return model_runs
