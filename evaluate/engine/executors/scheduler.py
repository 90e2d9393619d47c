"""Handing out tasks to several workers: in chunks that shrink, given again when a worker dies.

A chunk is a share of what is left (guided self-scheduling, Polychronopoulos & Kuck 1987): long enough that a worker
corrupts ahead from cell to cell, short enough at the end that nobody waits long for the last one.
"""

from dataclasses import dataclass, field

from failmodes.evaluate.engine.tasks import RunResult, Task
from failmodes.warehouse.errors import ModelError
from failmodes.warehouse.shards.format import ShardKey

ATTEMPTS = 3  # a chunk that takes so many workers down is not tried again


@dataclass
class TaskChunk:
    """Some tasks, how many workers they have been given to, and what these published of them before they died."""

    tasks: list[Task]
    attempts: int = 0
    published: set[ShardKey] = field(default_factory=set)

    def left(self) -> list[Task]:
        """The tasks less what is published."""
        done = self.published
        parts = [task.without(e for e in task.evaluation_ids if ShardKey(e, task.cell) in done) for task in self.tasks]
        return [task for task in parts if task.evaluation_ids]


@dataclass
class TaskQueue:
    """What is still to be handed out, what came back, and which networks take no further part.

    Attributes:
        waiting: tasks that nobody has, in order.
        returned: chunks whose worker died.
        workers: how many share the work.
        one_by_one: whether a chunk is always one task.
        set_aside: evaluations whose network raised.
    """

    waiting: list[Task]
    workers: int
    one_by_one: bool = False
    set_aside: set[str] = field(default_factory=set)
    outcome: RunResult = field(default_factory=RunResult)
    returned: list[TaskChunk] = field(default_factory=list)

    def next_chunk(self) -> TaskChunk | None:
        """The next chunk without the networks that are set aside; None where nothing is left to hand out."""
        while self.returned or self.waiting:
            chunk = self.returned.pop() if self.returned else self._cut()
            chunk.tasks = [task for t in chunk.tasks if (task := t.without(self.set_aside)).evaluation_ids]
            if chunk.tasks:
                chunk.attempts += 1
                return chunk
        return None

    def take(self, outcome: RunResult) -> None:
        """A chunk is done."""
        self.outcome.add(outcome)
        self.set_aside |= {failure.evaluation_id for failure in outcome.failures}

    def give_back(self, chunk: TaskChunk, why: str) -> None:
        """A worker died over this chunk: somebody else gets what it had not published.

        Raises:
            ModelError: it has taken down ATTEMPTS workers.
        """
        self.outcome.made += len(chunk.published)
        chunk.tasks, chunk.published = chunk.left(), set()
        if chunk.tasks and chunk.attempts >= ATTEMPTS:
            names = ", ".join(str(task.cell) for task in chunk.tasks[:3])
            raise ModelError(
                f"{chunk.attempts} processes died over {names}{' …' if len(chunk.tasks) > 3 else ''} ({why}): this is "
                "often the system ending a process for want of memory; use fewer processes or a smaller batch_size"
            )
        if chunk.tasks:
            self.returned.append(chunk)

    def _cut(self) -> TaskChunk:
        size = 1 if self.one_by_one else max(1, len(self.waiting) // (2 * self.workers))
        tasks, self.waiting = self.waiting[:size], self.waiting[size:]
        return TaskChunk(tasks)
