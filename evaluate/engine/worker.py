"""A worker does tasks: blocks through every network that misses the cell, one corrupted block for all of them.

A network that raises is set aside, with its cell and batch named, and the others go on. What is not the network's
fault (a full disk, a damaged file, images that cannot be read) stops the worker; published shards stay.

What a lower precision changes: measured on clean images, whenever one is used.
"""

import dataclasses
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from failmodes.evaluate.devices import describe_device, is_out_of_memory
from failmodes.evaluate.engine.background_writer import BackgroundWriter
from failmodes.evaluate.engine.batches import BatchSlice, BatchStream, CorruptedBatch, images_per_batch
from failmodes.evaluate.engine.cell_evaluation import CellEvaluation, ModelRun
from failmodes.evaluate.engine.clean_baseline import load_clean_baseline
from failmodes.evaluate.engine.tasks import Failure, RunResult, Task
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.models.registry import first_line
from failmodes.evaluate.study.study_schema import Study
from failmodes.warehouse.errors import DamagedShardError, DataError, StorageError
from failmodes.warehouse.shards.format import Cell, ShardKey

NOT_MODEL_ERRORS = (StorageError, DamagedShardError, DataError)

COMPARED_IMAGES = 512


class RunCallbacks(NamedTuple):
    """What happens during a run, for whoever shows it.

    Attributes:
        begin: (shards missing, images missing) before the first one.
        images: so many images went through a network.
        shard: a shard was published: its key.
        networks: what is about to run, a line each.
    """

    begin: Callable[[int, int], None] = lambda _shards, _images: None
    images: Callable[[int], None] = lambda _count: None
    shard: Callable[[ShardKey], None] = lambda _key: None
    networks: Callable[[list[str]], None] = lambda _lines: None


class Worker:
    """Does the tasks of one study with the networks on one device.

    Attributes:
        members: the networks, by evaluation_id.
        set_aside: model_ids of networks that raised; they take no further part.
    """

    def __init__(self, study: Study, members: Iterable[ModelRun], stream: BatchStream, progress: RunCallbacks) -> None:
        self.output, self.scratch, self.stream, self.progress = study.record_output, study.output, stream, progress
        self.members = {member.evaluation.evaluation_id: member for member in members}
        self.set_aside: set[str] = set()

    def do(self, tasks: Sequence[Task]) -> RunResult:
        """Do tasks in their order; the blocks of one are made while another's are computed, where workers make them."""
        outcome = RunResult()
        by_cell = _by_cell(tasks)
        size = self._block_images()
        keys = (key for task in by_cell.values() for key in self._keys(task, size))
        with BackgroundWriter() as publisher:
            for cell, blocks in groupby(self.stream.blocks(keys), key=lambda block: block.key[:2]):
                self._do_cell(by_cell[cell], blocks, outcome, publisher)
        return outcome

    def _keys(self, task: Task, size: int) -> Iterator[BatchSlice]:
        taking_part = self._taking_part(task)
        if not taking_part:
            return
        subset = taking_part[0].evaluation.subset
        count = len(subset.clean_ids if task.cell.is_clean else subset.corrupted_ids)
        for start in range(0, count, size):
            yield BatchSlice(task.material, task.cell, start, min(start + size, count))

    def _block_images(self) -> int:
        """Images of a block: whole batches of the largest size; halving one later does not change the blocks."""
        members = list(self.members.values())
        shape = members[0].evaluation.dataset.images.shape[1:]
        return images_per_batch(shape, max(member.batch_size for member in members))

    def _taking_part(self, task: Task) -> list[ModelRun]:
        members = [self.members[evaluation_id] for evaluation_id in task.evaluation_ids]
        return [member for member in members if member.evaluation.model_id not in self.set_aside]

    def _do_cell(
        self, task: Task, blocks: Iterator[CorruptedBatch], outcome: RunResult, publisher: BackgroundWriter
    ) -> None:
        rows = [self._begin(member, task) for member in self._taking_part(task)]
        shared_s, started = 0.0, time.perf_counter()
        for block in blocks:
            shared_s += time.perf_counter() - started
            rows = [r for r in rows if self._guarded(partial(r.add, block), r, task, outcome)]
            self.progress.images(len(block.image_ids) * len(rows))
            started = time.perf_counter()
        for cell_rows in rows:
            if self._guarded(partial(self._finish, cell_rows, outcome), cell_rows, task, outcome):
                cell_rows.elapsed_s += shared_s
                publisher.submit(partial(self._publish, cell_rows))

    def _begin(self, member: ModelRun, task: Task) -> CellEvaluation:
        evaluation = member.evaluation
        if evaluation.attends and not task.cell.is_clean and member.reference is None:
            member.reference = load_clean_baseline(self.output, evaluation)
        return CellEvaluation(member, task.cell, self.scratch)

    def _guarded(self, action: Callable[[], None], rows: CellEvaluation, task: Task, outcome: RunResult) -> bool:
        """Whether `action` succeeded; a network that raises is set aside."""
        try:
            action()
        except NOT_MODEL_ERRORS:
            raise
        except Exception as error:  # whatever a user's network raises
            self._set_aside(rows.evaluation.model_id, _reason(error, rows, task), outcome)
            return False
        return True

    def _set_aside(self, model_id: str, reason: str, outcome: RunResult) -> None:
        """Take a network out of the run: out of all its evaluations, one for each source of corruption."""
        self.set_aside.add(model_id)
        for member in self.members.values():
            evaluation = member.evaluation
            if evaluation.model_id == model_id:
                outcome.failures.append(Failure(evaluation.evaluation_id, evaluation.model.label, reason))

    def _finish(self, rows: CellEvaluation, outcome: RunResult) -> None:
        rows.finish()
        label = rows.evaluation.model.label
        outcome.made += 1
        if rows.not_finite:
            outcome.not_finite[label] = outcome.not_finite.get(label, 0) + rows.not_finite
        if rows.cell.is_clean and rows.evaluation.network.precision != "float32":
            changed = changed_predictions(rows.evaluation, rows.member.batch_size)
            outcome.changed[label] = rows.facts["changed_predictions"] = changed

    def _publish(self, rows: CellEvaluation) -> None:
        rows.publish(self.output)
        self.progress.shard(rows.key)


def model_runs(
    evaluations: Iterable[Evaluation],
    batch_size: Callable[[Evaluation], int],
    halved: Callable[[Evaluation, int], None],
) -> list[ModelRun]:
    """A member for each evaluation; networks that several evaluations share have one batch size.

    Args:
        evaluations: of the study.
        batch_size: gives a network's.
        halved: told where memory asks for a smaller one.
    """
    sizes: dict[str, int] = {}
    members = []
    for evaluation in evaluations:
        if evaluation.model_id not in sizes:
            sizes[evaluation.model_id] = batch_size(evaluation)
        members.append(ModelRun(evaluation, sizes[evaluation.model_id], halved))
    return members


def _by_cell(tasks: Sequence[Task]) -> dict[tuple[int, Cell], Task]:
    """One task a cell: clean cells that were split among processes may meet again in one of them."""
    found: dict[tuple[int, Cell], Task] = {}
    for task in tasks:
        cell = (task.material, task.cell)
        known = found.get(cell)
        found[cell] = task if known is None else known.together_with(task)
    return found


def _reason(error: Exception, rows: CellEvaluation, task: Task) -> str:
    """Where and why, in one line."""
    said = first_line(error)
    if is_out_of_memory(error) and rows.member.batch_size == 1:
        device = describe_device(rows.evaluation.network.device)
        said = f"one image alone does not fit into the memory of {device}: {said}"
    begin, end = rows.at
    where = f"{task.cell}, batch {begin // rows.batch_size + 1} (images {begin + 1} to {end} of the subset)"
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{where}: {type(error).__name__}: {said} ({Path(last.filename).name}:{last.lineno})"


def changed_predictions(evaluation: Evaluation, batch_size: int) -> float:
    """Share (0–1) of the first COMPARED_IMAGES clean images whose predicted class float32 gives differently.

    Args:
        evaluation: its network runs at the lower precision and, for comparison, in float32.
        batch_size: images at once at the lower precision; float32 takes half, since its numbers are twice as long.
    """
    at_once = max(1, batch_size // 2)
    lower = evaluation.network
    full = dataclasses.replace(lower, precision="float32")
    ids = evaluation.subset.clean_ids[:COMPARED_IMAGES]
    changed = 0
    for start in range(0, len(ids), at_once):
        images = evaluation.dataset.images[ids[start : start + at_once]]
        changed += int((lower.predict(images).argmax(1) != full.predict(images).argmax(1)).sum())
    return changed / len(ids)
