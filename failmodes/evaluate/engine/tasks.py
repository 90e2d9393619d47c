"""Tasks: the cells that are missing, each with the evaluations that lack it; and the result of running them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.study.study_schema import Study
from failmodes.warehouse.shards.format import Cell


class Task(NamedTuple):
    """One cell, for all evaluations that lack it: the unit of work.

    Attributes:
        data: index into the study's evaluation data, one for each seed of its corruptions.
        cell: which cell.
        evaluation_ids: the evaluations that lack it.
    """

    data: int
    cell: Cell
    evaluation_ids: tuple[str, ...]

    def without(self, evaluation_ids: Iterable[str]) -> "Task":
        """The task for all others."""
        gone = set(evaluation_ids)
        return self._replace(evaluation_ids=tuple(e for e in self.evaluation_ids if e not in gone))

    def together_with(self, other: "Task") -> "Task":
        """One task of two of the same cell."""
        assert self[:2] == other[:2]
        return self._replace(evaluation_ids=self.evaluation_ids + other.evaluation_ids)

    def split(self) -> Iterator["Task"]:
        """A task for each evaluation, for processes that share out the clean cells."""
        return (self._replace(evaluation_ids=(evaluation_id,)) for evaluation_id in self.evaluation_ids)


class Failure(NamedTuple):
    """A model that raised: its evaluation, its label, and where and why in one line."""

    evaluation_id: str
    model_label: str
    reason: str


@dataclass
class RunResult:
    """The result of some tasks; results add up.

    Attributes:
        written: shards published.
        failures: models that raised and were set aside.
        not_finite: rows whose logits are not finite, by model label.
        changed_predictions: share of clean predictions that float32 gives differently, by model label, at a lower
            precision.
        notes: what the clean images tell of a model, by model label.
    """

    written: int = 0
    failures: list[Failure] = field(default_factory=list)
    not_finite: dict[str, int] = field(default_factory=dict)
    changed_predictions: dict[str, float] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def add(self, other: "RunResult") -> None:
        """Add another result; of a model that raised in several processes the first failure is kept."""
        known = {failure.evaluation_id for failure in self.failures}
        self.written += other.written
        self.failures += [failure for failure in other.failures if failure.evaluation_id not in known]
        self.changed_predictions |= other.changed_predictions
        self.notes |= other.notes
        for label, count in other.not_finite.items():
            self.not_finite[label] = self.not_finite.get(label, 0) + count


def make_tasks(study: Study, groups: list[list[Evaluation]], missing: dict[str, list[Cell]]) -> list[Task]:
    """Tasks of a study, clean cells first, then cell by cell.

    Args:
        study: names corruptions and severities.
        groups: the evaluations on each of its data, one for each seed.
        missing: the cells that each evaluation lacks.
    """
    tasks = []
    for data, group in enumerate(groups):
        for cell in study.cells:
            lacking = tuple(e.evaluation_id for e in group if cell in missing[e.evaluation_id])
            if lacking:
                tasks.append(Task(data, cell, lacking))
    return sorted(tasks, key=lambda task: not task.cell.is_clean)
