"""The engine: models that raise, memory that ends, logits that are no numbers, blocks made ahead, writing behind."""

from decimal import Decimal

import pytest

from failmodes.evaluate.engine.executors.scheduler import ATTEMPTS, TaskQueue
from failmodes.evaluate.engine.tasks import Failure, RunResult, Task
from failmodes.warehouse.errors import ModelError
from failmodes.warehouse.shards.format import Cell, ShardKey


def tasks(count: int) -> list[Task]:
    return [Task(0, Cell("fog", Decimal(n)), ("a", "b")) for n in range(count)]


def test_chunks_shrink_and_hold_every_task_once() -> None:
    queue = TaskQueue(tasks(40), workers=2)
    chunks = []
    while chunk := queue.next_chunk():
        chunks.append(chunk)
    sizes = [len(chunk.tasks) for chunk in chunks]
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (10, 1)
    assert [task for chunk in chunks for task in chunk.tasks] == tasks(40)


def test_what_a_dead_worker_had_goes_to_another_but_not_for_ever() -> None:
    queue = TaskQueue(tasks(2), workers=1, one_by_one=True)
    chunk = queue.next_chunk()
    for _ in range(ATTEMPTS - 1):
        queue.give_back(chunk, "exit code -9")
        assert queue.next_chunk() is chunk
    with pytest.raises(ModelError, match="3 processes died over fog 0 .exit code -9.*fewer processes"):
        queue.give_back(chunk, "exit code -9")


def test_what_a_dead_worker_had_published_is_not_given_again() -> None:
    queue = TaskQueue(tasks(6), workers=1)
    chunk = queue.next_chunk()
    assert [str(task.cell) for task in chunk.tasks] == ["fog 0", "fog 1", "fog 2"]
    chunk.published |= {
        ShardKey("a", Cell("fog", Decimal(0))),
        ShardKey("b", Cell("fog", Decimal(0))),
        ShardKey("a", Cell("fog", Decimal(1))),
    }
    queue.give_back(chunk, "exit code -9")
    again = queue.next_chunk()
    assert [(str(task.cell), task.evaluation_ids) for task in again.tasks] == [("fog 1", ("b",)), ("fog 2", ("a", "b"))]
    assert queue.result.written == 3


def test_a_model_that_raised_anywhere_gets_no_more_tasks() -> None:
    queue = TaskQueue(tasks(4), workers=1, one_by_one=True)
    queue.next_chunk()
    queue.finish(RunResult(failures=[Failure("a", "A", "fog 0: no")]))
    assert queue.next_chunk().tasks[0].evaluation_ids == ("b",)
    queue.finish(RunResult(failures=[Failure("b", "B", "fog 1: no")]))
    assert queue.next_chunk() is None
