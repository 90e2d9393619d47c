"""The run: one at a time on an output, only what is missing, through any fault."""

from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

import torch

from failmodes.evaluate.allocator import freed_memory_kept
from failmodes.evaluate.devices import choose_device
from failmodes.evaluate.engine.clean_baseline import COMPARED_IMAGES, load_clean_baseline
from failmodes.evaluate.engine.executors.executor import run_here
from failmodes.evaluate.engine.executors.processes import run_in_processes
from failmodes.evaluate.engine.exemplars import exemplars_are_done, record_exemplars
from failmodes.evaluate.engine.plan import discard_damaged, missing_cells, plan_evaluations, record_plan
from failmodes.evaluate.engine.tasks import Executor, RunCallbacks, RunResult, Task, make_tasks
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.self_check import record_notes, refuse_warnings, settings_notes, stored_clean_notes
from failmodes.evaluate.study.study_schema import Study
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.warehouse.errors import IncompleteRunError
from failmodes.warehouse.extras import require
from failmodes.warehouse.shards.format import CLEAN_CELL
from failmodes.warehouse.storage.files import StorePath, remove_stale_temporaries
from failmodes.warehouse.storage.locks import run_lock


@dataclass
class RunReport(RunResult):
    """What a run did: the result of all its tasks, and what was there before.

    Attributes:
        evaluation_ids: the evaluations of the study.
        existing: shards that were there.
        rewritten: damaged files that were removed and made again.
    """

    evaluation_ids: list[str] = field(default_factory=list)
    existing: int = 0
    rewritten: list[StorePath] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """What was done, assumed and found, in JSON's types."""
        return {
            "evaluations": self.evaluation_ids,
            "written": self.written,
            "existing": self.existing,
            "rewritten": [str(path) for path in self.rewritten],
            "notes": [note._asdict() for note in self.notes],
            "not_finite": self.not_finite,
            "changed_predictions": self.changed_predictions,
            "failures": [failure._asdict() for failure in self.failures],
        }

    def describe(self) -> list[str]:
        """What it did, a line each."""
        lines = [f"damaged, made again: {path}" for path in self.rewritten]
        lines.append(f"{self.written} shards written, {self.existing} already present")
        lines += [
            f"{label}: the lower precision changes {share:.2%} of up to {COMPARED_IMAGES} clean predictions"
            for label, share in self.changed_predictions.items()
        ]
        lines += [
            f"{label}: {count:,} rows have logits that are not finite (wrong, without confidence)"
            for label, count in self.not_finite.items()
        ]
        return lines + [
            f"{failure.model_label} raised and was set aside: {failure.reason}" for failure in self.failures
        ]

    def raise_if_incomplete(self, fix: str) -> None:
        """Raise an error that names the models that raised, and says how to `fix` it.

        Raises:
            IncompleteRunError: there are such models.
        """
        if self.failures:
            labels = ", ".join(sorted({failure.model_label for failure in self.failures}))
            raise IncompleteRunError(f"not evaluated to the end: {labels}; {fix}")


@freed_memory_kept()
def evaluate_study(
    study: Study,
    dataset: Dataset,
    *,
    redo_damaged: bool = False,
    strict: bool = False,
    progress: RunCallbacks | None = None,
) -> RunReport:
    """Evaluate all that is missing: the clean cell of each model first, then cell by cell over all models.

    A published shard is never made again; a run killed at any instant goes on with the same command. A model that
    raises is set aside and reported, and the others go on.

    Args:
        study: the study, its models trained.
        dataset: its data set.
        redo_damaged: check the hash of every stored file of the study, and make damaged ones again.
        strict: take warnings for errors: those of settings before anything is evaluated, others after the clean cells.
        progress: called as the run goes on.

    Raises:
        IncompleteRunError: it is strict, and there are warnings.
        WarehouseError: another run is evaluating into the same output.
        ModelError, DataError, StorageError, DamagedShardError: as the message says.
    """
    progress = progress or RunCallbacks()
    with run_lock(study.output):
        for folder in {study.output, study.results_folder}:
            remove_stale_temporaries(folder)
        device = choose_device(study.evaluation.device)
        groups = plan_evaluations(study, dataset, device)
        evaluations = [evaluation for group in groups for evaluation in group]
        of_settings = settings_notes(evaluations)
        notes = list(dict.fromkeys(chain.from_iterable(of_settings)))
        progress.plan(groups[0], notes)
        if strict:
            refuse_warnings(notes)
        record_plan(study, groups)
        for evaluation, found in zip(evaluations, of_settings, strict=True):
            record_notes(study.results_folder, evaluation, "settings", found)
        rewritten = [path for e in evaluations for path in discard_damaged(study, e)] if redo_damaged else []
        missing = {e.evaluation_id: missing_cells(study, e) for e in evaluations}
        shards = sum(len(cells) for cells in missing.values())
        images = [len(missing[e.evaluation_id]) * len(e.data.subset.corrupted_ids) for e in evaluations]
        known = [e for e in evaluations if CLEAN_CELL not in missing[e.evaluation_id]]
        result = RunResult(notes=[note for e in known for note in stored_clean_notes(study.results_folder, e)])
        progress.notes(result.notes)
        progress.begin(shards, sum(images))
        _run_tasks(choose_executor(study, groups, device), make_tasks(study, groups, missing), result, strict, progress)
        for evaluation in evaluations:
            if not result.failures or not missing_cells(study, evaluation):
                record_missing_exemplars(study, evaluation)
    result.notes = [*notes, *result.notes]
    return RunReport(
        **vars(result),
        evaluation_ids=[e.evaluation_id for e in evaluations],
        existing=len(evaluations) * len(study.cells) - shards,
        rewritten=rewritten,
    )


def _run_tasks(executor: Executor, tasks: list[Task], result: RunResult, strict: bool, progress: RunCallbacks) -> None:
    """Run tasks and add what they give to a result; where it is strict, the clean cells on their own first.

    Raises:
        IncompleteRunError: it is strict, and there are warnings.
    """
    clean = [task for task in tasks if task.cell.is_clean] if strict else []
    for some in (clean, tasks[len(clean) :]):  # clean cells come first
        raised = {failure.evaluation_id for failure in result.failures}
        left = [task for whole in some if (task := whole.without(raised)).evaluation_ids]
        if left:
            result.add(executor(left, progress))
        if strict:
            refuse_warnings(result.notes)


def record_missing_exemplars(study: Study, evaluation: Evaluation) -> None:
    """Exemplars of each corruption that has none for the study's severities.

    None where images do not pair, nor where a study keeps no pictures.
    """
    if not evaluation.data.paired or not study.evaluation.thumbnails:
        return
    severities, output = study.severities, study.results_folder
    names = [name for name in study.corruptions.names if not exemplars_are_done(output, evaluation, name, severities)]
    baseline = load_clean_baseline(output, evaluation) if names and evaluation.has_attention else None
    for name in names:
        record_exemplars(output, evaluation, baseline, name, severities)


def choose_executor(study: Study, groups: list[list[Evaluation]], device: torch.device) -> Executor:
    """The executor of a study; "auto" takes a process for each GPU where there are several, else this one.

    Models that are objects of this process run in it, whatever the study says.

    Raises:
        MissingExtraError: the study names Ray, which is not installed.
    """
    settings = study.evaluation
    is_live = any(spec.live is not None for spec in study.models)  # no other process could open it
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    if settings.executor == "ray" and not is_live:
        require("ray", 'executor = "ray"')
        from failmodes.evaluate.engine.executors.ray import run_on_ray

        return partial(run_on_ray, study, settings.processes)
    count = settings.processes or max(1, gpus)
    if is_live or settings.executor == "here" or (settings.executor == "auto" and count == 1):
        return partial(run_here, study, groups, device)
    return partial(run_in_processes, study, count)
