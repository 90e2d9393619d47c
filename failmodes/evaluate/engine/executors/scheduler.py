"""Tasks for several workers: in chunks that shrink, given again when a worker dies.

A chunk is a share of what is left (guided self-scheduling, Polychronopoulos & Kuck 1987): long enough that a worker
corrupts ahead from cell to cell, short enough at the end that nobody waits long for the last one.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from failmodes.evaluate.engine.tasks import RunResult, Task
from failmodes.evaluate.engine.worker import RunCallbacks
from failmodes.warehouse.errors import ModelError
from failmodes.warehouse.shards.format import ShardKey

ATTEMPTS = 3  # a chunk that takes so many workers down is not tried again


class WorkerMessage(NamedTuple):
    """What a worker says.

    Attributes:
        worker: its index.
        kind: images (so many went through a model), shard (one was published), notes (what the
            clean images of a model tell), done (its tasks are), error (it failed), died (it is replaced).
        content: an int, a ShardKey, lines, a RunResult, an exception, or why it died.
    """

    worker: int
    kind: Literal["images", "shard", "notes", "done", "error", "died"]
    content: Any


class WorkerPool(Protocol):
    """Workers, each of which runs one chunk of tasks at a time."""

    def start(self, worker: int, tasks: list[Task], set_aside: set[str]) -> None:
        """Have an idle worker run tasks, without the evaluations that are set aside."""

    def messages(self, busy: Collection[int]) -> Iterable[WorkerMessage]:
        """Wait until a busy worker says something; a worker that dies is replaced."""
        ...


@dataclass
class TaskChunk:
    """Some tasks, how many workers they have been given to, and what the last of these published of them."""

    tasks: list[Task]
    attempts: int = 0
    published: set[ShardKey] = field(default_factory=set)


@dataclass
class TaskQueue:
    """The tasks that are left, the results so far, and the models that take no further part.

    Attributes:
        waiting: tasks that no worker has, in order.
        workers: how many share the work.
        one_by_one: whether a chunk is always one task.
        set_aside: evaluations whose model raised.
        result: of all chunks that are done.
        returned: chunks whose worker died.
    """

    waiting: list[Task]
    workers: int
    one_by_one: bool = False
    set_aside: set[str] = field(default_factory=set)
    result: RunResult = field(default_factory=RunResult)
    returned: list[TaskChunk] = field(default_factory=list)

    def next_chunk(self) -> TaskChunk | None:
        """The next chunk without the models that are set aside; None where nothing is left."""
        while self.returned or self.waiting:
            chunk = self.returned.pop() if self.returned else self._cut()
            chunk.tasks = [task for t in chunk.tasks if (task := t.without(self.set_aside)).evaluation_ids]
            if chunk.tasks:
                chunk.attempts += 1
                return chunk
        return None

    def finish(self, result: RunResult) -> None:
        """Take in the result of a chunk."""
        self.result.add(result)
        self.set_aside |= {failure.evaluation_id for failure in result.failures}

    def give_back(self, chunk: TaskChunk, reason: str) -> None:
        """A worker died over this chunk: another one gets what it had not published.

        Raises:
            ModelError: it has taken down ATTEMPTS workers.
        """
        self.result.written += len(chunk.published)
        done = chunk.published
        left = [task.without(e for e in task.evaluation_ids if ShardKey(e, task.cell) in done) for task in chunk.tasks]
        chunk.tasks, chunk.published = [task for task in left if task.evaluation_ids], set()
        if chunk.tasks and chunk.attempts >= ATTEMPTS:
            names = ", ".join(str(task.cell) for task in chunk.tasks[:3])
            raise ModelError(
                f"{chunk.attempts} processes died over {names}{' …' if len(chunk.tasks) > 3 else ''} ({reason}): this "
                "is often the system ending a process for want of memory; use fewer processes or a smaller batch_size"
            )
        if chunk.tasks:
            self.returned.append(chunk)

    def _cut(self) -> TaskChunk:
        size = 1 if self.one_by_one else max(1, len(self.waiting) // (2 * self.workers))
        tasks, self.waiting = self.waiting[:size], self.waiting[size:]
        return TaskChunk(tasks)


def run_tasks(
    tasks: Sequence[Task], pool: WorkerPool, workers: int, progress: RunCallbacks, *, one_by_one: bool = False
) -> RunResult:
    """Run tasks on the workers of a pool.

    The clean cells come first, model by model: what drift is measured against must be on record before another
    process can measure it.

    Args:
        tasks: of a study.
        pool: the workers.
        workers: how many these are.
        progress: called as images and shards are done.
        one_by_one: give a worker one task at a time.

    Raises:
        ModelError: a chunk has taken down several workers, or a worker failed.
        FailmodesError: what a worker raised.
    """
    queue = TaskQueue([], workers, one_by_one)
    clean = [part for task in tasks if task.cell.is_clean for part in task.split()]
    for wave in (clean, [task for task in tasks if not task.cell.is_clean]):
        queue.waiting = wave
        busy: dict[int, TaskChunk] = {}
        while True:
            for worker in range(workers):
                if worker not in busy and (chunk := queue.next_chunk()):
                    busy[worker] = chunk
                    pool.start(worker, chunk.tasks, queue.set_aside)
            if not busy:
                break
            for message in pool.messages(busy):
                _take_in(message, queue, busy, progress)
    return queue.result


def _take_in(message: WorkerMessage, queue: TaskQueue, busy: dict[int, TaskChunk], progress: RunCallbacks) -> None:
    worker, kind, content = message
    if kind == "images":
        progress.images(content)
    elif kind == "shard":
        progress.shard(content)
        busy[worker].published.add(content)
    elif kind == "notes":
        progress.notes(content)
    elif kind == "done":
        queue.finish(content)
        del busy[worker]
    elif kind == "died":
        queue.give_back(busy.pop(worker), content)
    else:
        raise content
