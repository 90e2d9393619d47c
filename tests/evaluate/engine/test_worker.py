"""Waves of tasks: clean cells come first."""

from decimal import Decimal

from failmodes.evaluate.engine.tasks import Failure, RunResult, Task, waves
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell


def test_a_model_that_raised_on_clean_images_gets_no_other_tasks() -> None:
    tasks = [Task(0, cell, ("a", "b")) for cell in (CLEAN_CELL, Cell("fog", Decimal(1)))]
    result = RunResult()
    both = waves(tasks, result)
    assert [task.evaluation_ids for task in next(both)] == [("a",), ("b",)]
    result.add(RunResult(failures=[Failure("a", "A", "clean: no")]))
    assert [task.evaluation_ids for task in next(both)] == [("b",)]
