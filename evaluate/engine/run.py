"""The run: one at a time on an output, only what is missing, through any fault.

Which executor a study asks for.
"""

from dataclasses import dataclass, field

import torch

from failmodes.evaluate.devices import choose_device
from failmodes.evaluate.engine.clean_baseline import CleanBaseline, load_clean_baseline
from failmodes.evaluate.engine.executors.executor import Executor, SerialExecutor
from failmodes.evaluate.engine.exemplars import exemplars_are_done, record_exemplars
from failmodes.evaluate.engine.plan import (
    discard_damaged,
    missing_cells,
    plan_evaluations,
    record_plan,
    study_cells,
    study_severities,
)
from failmodes.evaluate.engine.tasks import Failure, RunResult, make_tasks
from failmodes.evaluate.engine.worker import RunCallbacks
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.study.study_schema import Study
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.warehouse.storage.files import StorePath, remove_stale_temporaries
from failmodes.warehouse.storage.locks import run_lock


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    Attributes:
        evaluation_ids: the evaluations of the study.
        made: shards published.
        found: shards that were there.
        redone: damaged files that were made again.
        failures: networks that raised and were set aside.
        not_finite: rows whose logits are not finite, by model label.
        changed: share of clean predictions that float32 gives differently, by model label, at a lower precision.
    """

    evaluation_ids: list[str]
    made: int
    found: int
    redone: list[StorePath] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    not_finite: dict[str, int] = field(default_factory=dict)
    changed: dict[str, float] = field(default_factory=dict)


def evaluate_study(
    study: Study, dataset: Dataset, *, redo_damaged: bool = False, progress: RunCallbacks | None = None
) -> RunReport:
    """Evaluate all that is missing: the clean cell of each network first, then cell by cell over all networks.

    A published shard is never done again; a run killed at any instant goes on with the same command. A network that
    raises is set aside and reported, and the others go on.

    Args:
        study: the study, its networks trained.
        dataset: its data set.
        redo_damaged: check the hash of every stored file of the study, and make damaged ones again.
        progress: who is told.

    Raises:
        WarehouseError: another run is evaluating into the same output.
        ModelError, DataError, StorageError, DamagedShardError: as the message says.
    """
    progress = progress or RunCallbacks()
    with run_lock(study.output):
        for folder in {study.output, study.record_output}:
            remove_stale_temporaries(folder)
        return _evaluate(study, dataset, redo_damaged, progress)


def _evaluate(study: Study, dataset: Dataset, redo_damaged: bool, progress: RunCallbacks) -> RunReport:
    device = choose_device(study.evaluation.device)
    groups = plan_evaluations(study, dataset, device)
    progress.networks([evaluation.words() for evaluation in groups[0]])
    record_plan(study, groups)
    evaluations = [evaluation for group in groups for evaluation in group]
    redone = [path for e in evaluations for path in discard_damaged(study, e)] if redo_damaged else []
    missing = {e.evaluation_id: missing_cells(study, e) for e in evaluations}
    wanted = sum(len(cells) for cells in missing.values())
    progress.begin(wanted, sum(len(missing[e.evaluation_id]) * len(e.subset.corrupted_ids) for e in evaluations))
    outcome = RunResult()
    if wanted:
        outcome = choose_executor(study, groups, device).run(make_tasks(study, groups, missing), progress)
    for evaluation in evaluations:
        if not outcome.failures or not missing_cells(study, evaluation):
            _record_exemplars(study, evaluation)
    found = len(evaluations) * len(study_cells(study)) - wanted
    return RunReport(
        [e.evaluation_id for e in evaluations],
        outcome.made, found, redone, outcome.failures, outcome.not_finite, outcome.changed,
    )  # fmt: skip


def _record_exemplars(study: Study, evaluation: Evaluation) -> None:
    if not evaluation.pairing.paired:
        return
    severities, output = study_severities(study), study.record_output
    lacking = [n for n in study.corruptions.names if not exemplars_are_done(output, evaluation, n, severities)]
    reference: CleanBaseline | None = (
        load_clean_baseline(output, evaluation) if lacking and evaluation.attends else None
    )
    for corruption in lacking:
        record_exemplars(output, evaluation, reference, corruption, severities)


def choose_executor(study: Study, groups: list[list[Evaluation]], device: torch.device) -> Executor:
    """The executor of a study; "auto" takes a process for each GPU where there are several, else this one.

    Raises:
        StudyError: Ray is asked for and not installed.
    """
    settings = study.evaluation
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    if settings.executor == "ray":
        from failmodes.evaluate.engine.executors.ray import RayExecutor

        return RayExecutor(study, settings.processes)
    count = settings.processes or max(1, gpus)
    if settings.executor == "here" or (settings.executor == "auto" and count == 1):
        return SerialExecutor(study, groups, device)
    from failmodes.evaluate.engine.executors.processes import ProcessExecutor

    return ProcessExecutor(study, groups, count)
