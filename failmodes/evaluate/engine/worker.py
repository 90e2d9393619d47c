"""A worker runs tasks: batches go through every model that lacks the cell, one corrupted batch for all of them.

A model that raises is set aside, with its cell and batch named, and the others go on. What is not the model's
fault (a full disk, a damaged file, images that cannot be read) stops the worker; published shards stay.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from failmodes.evaluate.devices import describe_device, is_out_of_memory
from failmodes.evaluate.engine.batches import BatchSlice, BatchStream, images_per_batch
from failmodes.evaluate.engine.cell_evaluation import CellEvaluation, ModelRun
from failmodes.evaluate.engine.clean_baseline import load_clean_baseline
from failmodes.evaluate.engine.precisions import compare_precisions, offer_bfloat16
from failmodes.evaluate.engine.tasks import Failure, RunCallbacks, RunResult, Task
from failmodes.evaluate.engine.writer import BackgroundWriter
from failmodes.evaluate.models.outputs import raised_at
from failmodes.evaluate.study.study_schema import Study
from failmodes.warehouse.errors import DamagedShardError, DataError, StorageError, first_line
from failmodes.warehouse.shards.format import Cell

NOT_MODEL_ERRORS = (StorageError, DamagedShardError, DataError)


class Worker:
    """Runs the tasks of one study with the models on one device.

    Attributes:
        model_runs: the models, by evaluation_id.
        set_aside: model_ids of models that raised; they take no further part.
        compared: model_ids of models of which it was asked what a lower precision would gain.
    """

    def __init__(
        self, study: Study, model_runs: Iterable[ModelRun], stream: BatchStream, progress: RunCallbacks
    ) -> None:
        self.study, self.stream, self.progress = study, stream, progress
        self.output, self.scratch = study.results_folder, study.output
        self.model_runs = {run.evaluation.evaluation_id: run for run in model_runs}
        self.set_aside: set[str] = set()
        self.compared: set[str] = set()

    def run(self, tasks: Iterable[Task]) -> RunResult:
        """Run tasks in their order; batches of one are made while another's are computed, where processes make them.

        Args:
            tasks: cells, and which evaluations lack them; drawn one by one, as their batches are made.
        """
        result = RunResult()
        begun: deque[Task] = deque()
        with BackgroundWriter() as writer:
            cells: list[CellEvaluation] = []
            started = time.perf_counter()
            for batch in self.stream.batches(self._slices(tasks, begun)):
                if batch.slice.start == 0:
                    cells = [self._begin(run, batch.slice.cell) for run in self._taking_part(begun[0])]
                for cell in cells:
                    cell.elapsed_s += time.perf_counter() - started
                cells = [cell for cell in cells if self._guarded(partial(cell.add, batch), cell, result)]
                self.progress.images(len(batch.image_ids) * len(cells))
                if batch.slice.stop == self._image_count(begun[0]):
                    begun.popleft()
                    for cell in cells:
                        if self._guarded(partial(self._finish, cell, result), cell, result):
                            writer.submit(partial(self._publish, cell))
                started = time.perf_counter()
        return result

    def _slices(self, tasks: Iterable[Task], begun: deque[Task]) -> Iterator[BatchSlice]:
        """The batches of tasks; each task that has some goes to the end of `begun`."""
        runs = list(self.model_runs.values())
        shape = runs[0].evaluation.data.dataset.images.shape[1:]
        size = images_per_batch(shape, max(run.batch_size for run in runs))  # halving one later changes no batch
        for task in tasks:
            if self._taking_part(task):
                begun.append(task)
                count = self._image_count(task)
                for start in range(0, count, size):
                    yield BatchSlice(task.data, task.cell, start, min(start + size, count))

    def _taking_part(self, task: Task) -> list[ModelRun]:
        runs = [self.model_runs[evaluation_id] for evaluation_id in task.evaluation_ids]
        return [run for run in runs if run.evaluation.model.model_id not in self.set_aside]

    def _image_count(self, task: Task) -> int:
        subset = self.model_runs[task.evaluation_ids[0]].evaluation.data.subset
        return len(subset.clean_ids if task.cell.is_clean else subset.corrupted_ids)

    def _begin(self, run: ModelRun, cell: Cell) -> CellEvaluation:
        if run.evaluation.has_attention and not cell.is_clean and run.baseline is None:
            run.baseline = load_clean_baseline(self.output, run.evaluation)
        return CellEvaluation(run, cell, self.scratch)

    def _guarded(self, action: Callable[[], None], cell: CellEvaluation, result: RunResult) -> bool:
        """Whether `action` succeeded; a model that raises is set aside, in the evaluations of all sources."""
        try:
            action()
        except NOT_MODEL_ERRORS:
            raise
        except Exception as error:  # whatever a user's model raises
            model_id, reason = cell.evaluation.model.model_id, _reason(error, cell)
            self.set_aside.add(model_id)
            evaluations = [run.evaluation for run in self.model_runs.values()]
            result.failures += [
                Failure(e.evaluation_id, e.model.label, reason) for e in evaluations if e.model.model_id == model_id
            ]
            return False
        return True

    def _finish(self, cell: CellEvaluation, result: RunResult) -> None:
        cell.finish()
        label = cell.evaluation.model.label
        result.written += 1
        if cell.not_finite:
            result.not_finite[label] = result.not_finite.get(label, 0) + cell.not_finite
        if not cell.cell.is_clean:
            return
        notes = cell.clean_predictions.notes() if cell.clean_predictions is not None else []
        if cell.evaluation.model.precision != "float32":
            changed = compare_precisions(cell.evaluation, cell.run.batch_size).changed
            result.changed_predictions[label] = cell.metadata["changed_predictions"] = changed
        elif offer := self._offer(cell):
            notes.append(offer)
        if notes:
            result.notes[label] = notes
            self.progress.notes(notes)

    def _offer(self, cell: CellEvaluation) -> str | None:
        """What a lower precision would gain; asked once a model, whose seeds of corruption are evaluations too."""
        evaluation = cell.evaluation
        if evaluation.model.model_id in self.compared:
            return None
        self.compared.add(evaluation.model.model_id)
        images = len(self.study.cells) * len(evaluation.data.subset.corrupted_ids)
        return offer_bfloat16(evaluation, cell.run.batch_size, images)

    def _publish(self, cell: CellEvaluation) -> None:
        cell.publish(self.output)
        self.progress.shard(cell.key)


def _reason(error: Exception, cell: CellEvaluation) -> str:
    """Where and why, in one line."""
    message = first_line(error)
    if is_out_of_memory(error) and cell.run.batch_size == 1:
        device = describe_device(cell.evaluation.model.device)
        message = f"one image alone does not fit into the memory of {device}: {message}"
    begin, end = cell.at
    location = f"{cell.cell}, batch {begin // cell.batch_size + 1} (images {begin + 1} to {end} of the subset)"
    return f"{location}: {type(error).__name__}: {message} ({raised_at(error)})"
