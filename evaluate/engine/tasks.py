"""Tasks: the cells that are missing, each with the evaluations that miss it; and what became of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from failmodes.evaluate.engine.plan import study_cells
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.study.study_schema import Study
from failmodes.warehouse.shards.format import Cell


class Task(NamedTuple):
    """One cell of one material, for all evaluations that miss it: the unit that is handed out.

    Attributes:
        material: place of the material in the study.
        cell: which cell; clean cells come first.
        evaluation_ids: who misses it.
    """

    material: int
    cell: Cell
    evaluation_ids: tuple[str, ...]

    def without(self, evaluation_ids: Iterable[str]) -> "Task":
        """The task for all others."""
        gone = set(evaluation_ids)
        return self._replace(evaluation_ids=tuple(e for e in self.evaluation_ids if e not in gone))

    def together_with(self, other: "Task") -> "Task":
        """The task of both, which are of one cell."""
        assert self[:2] == other[:2]
        return self._replace(evaluation_ids=self.evaluation_ids + other.evaluation_ids)

    def split(self) -> Iterator["Task"]:
        """A task for each evaluation, for processes that share out the clean cells."""
        return (self._replace(evaluation_ids=(evaluation_id,)) for evaluation_id in self.evaluation_ids)


class Failure(NamedTuple):
    """A network that raised: which evaluation, what it is called, and where and why in one line."""

    evaluation_id: str
    model_label: str
    reason: str


@dataclass
class RunResult:
    """What became of some tasks; outcomes add up.

    Attributes:
        made: shards published.
        failures: networks that raised; they were set aside.
        not_finite: how many rows have logits that are not finite, by model label.
        changed: share of clean predictions that float32 gives differently, by model label, where precision is lower.
    """

    made: int = 0
    failures: list[Failure] = field(default_factory=list)
    not_finite: dict[str, int] = field(default_factory=dict)
    changed: dict[str, float] = field(default_factory=dict)

    def add(self, other: "RunResult") -> None:
        """Take in another outcome; of a network that raised in several processes the first is told."""
        known = {failure.evaluation_id for failure in self.failures}
        self.made += other.made
        self.failures += [failure for failure in other.failures if failure.evaluation_id not in known]
        self.changed |= other.changed
        for label, count in other.not_finite.items():
            self.not_finite[label] = self.not_finite.get(label, 0) + count


def make_tasks(study: Study, groups: list[list[Evaluation]], missing: dict[str, list[Cell]]) -> list[Task]:
    """Tasks of a study, clean cells first, then cell by cell.

    Args:
        study: names corruptions and severities.
        groups: the evaluations of each material.
        missing: the cells that each evaluation misses.
    """
    tasks = []
    for material, group in enumerate(groups):
        for cell in study_cells(study):
            lacking = tuple(e.evaluation_id for e in group if cell in missing[e.evaluation_id])
            if lacking:
                tasks.append(Task(material, cell, lacking))
    return sorted(tasks, key=lambda task: not task.cell.is_clean)
