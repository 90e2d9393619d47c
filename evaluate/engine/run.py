"""The run: one at a time on an output, only what is missing, through any fault."""

from dataclasses import dataclass, field

from evaluate.attention.reference import Reference, recall_reference
from evaluate.devices import choose_device
from evaluate.engine.executors.choosing import choose_executor
from evaluate.engine.exemplars import exemplars_are_done, record_exemplars
from evaluate.engine.plan import discard_damaged, missing_cells, plan, record_plan, severities_of, study_cells
from evaluate.engine.tasks import Failure, Outcome, tasks_of
from evaluate.engine.worker import Progress
from evaluate.evaluation import Evaluation
from evaluate.study import Study
from ingest.datasets import Dataset
from warehouse.locks import one_run
from warehouse.place import Place
from warehouse.publish import sweep_temporaries


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
    redone: list[Place] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    not_finite: dict[str, int] = field(default_factory=dict)
    changed: dict[str, float] = field(default_factory=dict)


def evaluate_study(
    study: Study, dataset: Dataset, *, redo_damaged: bool = False, progress: Progress | None = None
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
    progress = progress or Progress()
    with one_run(study.output):
        for folder in {study.output, study.record_output}:
            sweep_temporaries(folder)
        return _evaluate(study, dataset, redo_damaged, progress)


def _evaluate(study: Study, dataset: Dataset, redo_damaged: bool, progress: Progress) -> RunReport:
    device = choose_device(study.evaluation.device)
    groups = plan(study, dataset, device)
    progress.networks([evaluation.words() for evaluation in groups[0]])
    record_plan(study, groups)
    evaluations = [evaluation for group in groups for evaluation in group]
    redone = [path for e in evaluations for path in discard_damaged(study, e)] if redo_damaged else []
    missing = {e.evaluation_id: missing_cells(study, e) for e in evaluations}
    wanted = sum(len(cells) for cells in missing.values())
    progress.begin(wanted, sum(len(missing[e.evaluation_id]) * len(e.subset.corrupted_ids) for e in evaluations))
    outcome = Outcome()
    if wanted:
        outcome = choose_executor(study, groups, device).run(tasks_of(study, groups, missing), progress)
    for evaluation in evaluations:
        if not outcome.failures or not missing_cells(study, evaluation):
            _record_exemplars(study, evaluation)
    found = len(evaluations) * len(study_cells(study, "")) - wanted
    return RunReport(
        [e.evaluation_id for e in evaluations],
        outcome.made, found, redone, outcome.failures, outcome.not_finite, outcome.changed,
    )  # fmt: skip


def _record_exemplars(study: Study, evaluation: Evaluation) -> None:
    if not evaluation.pairing.paired:
        return
    severities, output = severities_of(study), study.record_output
    lacking = [n for n in study.corruptions.names if not exemplars_are_done(output, evaluation, n, severities)]
    reference: Reference | None = recall_reference(output, evaluation) if lacking and evaluation.attends else None
    for corruption in lacking:
        record_exemplars(output, evaluation, reference, corruption, severities)
