"""Tasks: missing cells with the evaluations that lack them, and the result of running them in an executor."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from failmodes.evaluate.engine.clean_baseline import COMPARED_IMAGES
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.notes import Note
from failmodes.evaluate.study.study_schema import Study
from failmodes.runtime.errors import IncompleteRunError, counted
from failmodes.runtime.storage.files import StorePath
from failmodes.warehouse.shards.format import Cell, ShardKey


class Task(NamedTuple):
    """One cell, for all evaluations that lack it: the unit of work.

    Attributes:
        data: index into the study's evaluation data, see `open_study_data`.
        cell: the cell.
        evaluation_ids: the evaluations that lack it.
    """

    data: int
    cell: Cell
    evaluation_ids: tuple[str, ...]

    def split(self) -> Iterator["Task"]:
        """One task per evaluation."""
        return (self._replace(evaluation_ids=(evaluation_id,)) for evaluation_id in self.evaluation_ids)


class Failure(NamedTuple):
    """A model that raised: its evaluation, its label, and the location and reason in one line."""

    evaluation_id: str
    model_label: str
    reason: str


@dataclass
class RunResult:
    """The result of tasks, or of a whole run; results can be added.

    Attributes:
        written: number of published shards.
        failures: models that raised and were excluded.
        changed_predictions: at a lower precision, share of clean predictions that differ from float32, by model label.
        notes: notes on images and models.
        evaluation_ids: evaluations of the study; only of a whole run, like the next two.
        existing: number of shards already present.
        rewritten: damaged files that were recomputed.
    """

    written: int = 0
    failures: list[Failure] = field(default_factory=list)
    changed_predictions: dict[str, float] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    evaluation_ids: list[str] = field(default_factory=list)
    existing: int = 0
    rewritten: list[StorePath] = field(default_factory=list)

    def add(self, other: "RunResult") -> None:
        """Add another result; only the first failure of a model is kept."""
        known = {failure.evaluation_id for failure in self.failures}
        self.written += other.written
        self.failures += [failure for failure in other.failures if failure.evaluation_id not in known]
        self.changed_predictions |= other.changed_predictions
        self.notes = list(dict.fromkeys([*self.notes, *other.notes]))

    def as_json(self) -> dict[str, Any]:
        """The result in JSON types."""
        return {
            "evaluations": self.evaluation_ids,
            "written": self.written,
            "existing": self.existing,
            "rewritten": [str(path) for path in self.rewritten],
            "notes": [note._asdict() for note in self.notes],
            "changed_predictions": self.changed_predictions,
            "failures": [failure._asdict() for failure in self.failures],
        }

    def describe(self) -> list[str]:
        """A summary, one line per fact."""
        lines = [f"damaged, recomputed: {path}" for path in self.rewritten]
        lines.append(f"{counted(self.written, 'shard')} written, {self.existing} already present")
        lines += [
            f"{label}: the lower precision changes {share:.2%} of up to {COMPARED_IMAGES} clean predictions"
            for label, share in self.changed_predictions.items()
        ]
        return lines

    def raise_if_incomplete(self, fix: str) -> None:
        """Raise an error that names the models that raised with the reasons, followed by `fix`.

        Raises:
            IncompleteRunError: a model raised.
        """
        if self.failures:
            reasons = dict.fromkeys(f"{failure.model_label} raised at {failure.reason}" for failure in self.failures)
            raise IncompleteRunError(f"evaluation incomplete: {'; '.join(reasons)}; {fix}")


class RunCallbacks(NamedTuple):
    """Callbacks of a run.

    Attributes:
        begin: (missing shards, missing images) before the first cell.
        images: number of images a model has processed since the last call.
        shard: key of a published shard.
        plan: evaluations of the first seed, with their notes, before the run.
        notes: notes on a model after its clean images, and after all.
    """

    begin: Callable[[int, int], None] = lambda _shards, _images: None
    images: Callable[[int], None] = lambda _count: None
    shard: Callable[[ShardKey], None] = lambda _key: None
    plan: Callable[[list[Evaluation], list[Note]], None] = lambda _evaluations, _notes: None
    notes: Callable[[list[Note]], None] = lambda _notes: None

    @classmethod
    def sent_by(cls, send: Callable[[tuple[str, Any]], None]) -> "RunCallbacks":
        """Callbacks in another process, which send (name of the callback, its argument) to the main process."""
        return cls(
            images=lambda count: send(("images", count)),
            shard=lambda key: send(("shard", key)),
            notes=lambda notes: send(("notes", notes)),
        )

    def call(self, name: str, argument: Any) -> None:
        """Call the callback of a message."""
        getattr(self, name)(argument)


Executor = Callable[[Sequence[Task], RunCallbacks], RunResult]


def make_tasks(study: Study, groups: list[list[Evaluation]], missing: dict[str, list[Cell]]) -> list[Task]:
    """Tasks of a study, clean cells first, then cell by cell.

    Args:
        study: the study.
        groups: its evaluations, one group per corruption seed and shift.
        missing: missing cells by evaluation.
    """
    tasks = []
    for data, group in enumerate(groups):
        for cell in group[0].data.cells(study):
            lacking = tuple(e.evaluation_id for e in group if cell in missing[e.evaluation_id])
            if lacking:
                tasks.append(Task(data, cell, lacking))
    return sorted(tasks, key=lambda task: not task.cell.is_clean)


def waves(tasks: Sequence[Task], result: RunResult) -> Iterator[list[Task]]:
    """Tasks that processes may run concurrently: first the clean cells, model by model, then all others.

    The clean baseline must be published before another process can measure drift.

    Args:
        tasks: tasks of a study.
        result: result so far; models that raised in the first wave are excluded from the second.
    """
    clean = [part for task in tasks if task.cell.is_clean for part in task.split()]
    for wave in (clean, [task for task in tasks if not task.cell.is_clean]):
        yield without_failed(wave, result)


def without_failed(tasks: Sequence[Task], result: RunResult) -> list[Task]:
    """Tasks without the models that raised so far."""
    raised = {failure.evaluation_id for failure in result.failures}
    left = [
        task._replace(
            evaluation_ids=tuple(evaluation_id for evaluation_id in task.evaluation_ids if evaluation_id not in raised)
        )
        for task in tasks
    ]
    return [task for task in left if task.evaluation_ids]
