"""The run of a study: evaluates missing cells, resumes after any interruption, one run per output at a time."""

from itertools import chain

from failmodes.evaluate.devices import choose_device, freed_memory_kept
from failmodes.evaluate.engine.batches import count_images
from failmodes.evaluate.engine.executors import choose_executor
from failmodes.evaluate.engine.exemplars import record_missing_exemplars
from failmodes.evaluate.engine.plan import discard_damaged, missing_cells, plan_evaluations, record_plan
from failmodes.evaluate.engine.tasks import Executor, RunCallbacks, RunResult, Task, make_tasks, without_failed
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.notes import Note, notes_path, record_notes, refuse_warnings, stored_notes
from failmodes.evaluate.self_check import corrupted_notes, settings_notes
from failmodes.evaluate.study.study_schema import Study
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.runtime.storage.files import exists, remove_stale_temporaries
from failmodes.runtime.storage.locks import run_lock
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell


@freed_memory_kept()
def evaluate_study(
    study: Study,
    dataset: Dataset,
    *,
    redo_damaged: bool = False,
    strict: bool = False,
    progress: RunCallbacks | None = None,
) -> RunResult:
    """Evaluate all missing cells: the clean cell of each model first, then cell by cell over all models.

    Published shards are never recomputed; a killed run resumes with the same command. A model that raises is excluded
    and reported, and the others continue.

    Args:
        study: the study, its models trained.
        dataset: its dataset.
        redo_damaged: verify the hash of every stored file of the study, and recompute damaged ones.
        strict: treat warnings as errors: those of settings before the evaluation, others after the clean cells.
        progress: callbacks.

    Raises:
        IncompleteRunError: `strict` is set and there are warnings.
        WarehouseError: another run is evaluating into the same output.
        ModelError, DataError, StorageError, DamagedShardError: as the message says.
    """
    progress = progress or RunCallbacks()
    with run_lock(study.output):
        for folder in {study.output, study.results_folder}:
            remove_stale_temporaries(folder)
        device = choose_device(study.evaluation.device)
        groups = plan_evaluations(study, dataset, device)
        evaluations = list(chain.from_iterable(groups))
        of_settings = [notes for group in _noted_together(groups) for notes in settings_notes(group)]
        notes = list(dict.fromkeys(chain.from_iterable(of_settings)))
        progress.plan(groups[0], notes)
        if strict:
            refuse_warnings(notes)
        record_plan(study, groups)
        for evaluation, evaluation_notes in zip(evaluations, of_settings, strict=True):
            record_notes(study.results_folder, evaluation.evaluation_id, "settings", evaluation_notes)
        rewritten = [path for e in evaluations for path in discard_damaged(study, e)] if redo_damaged else []
        missing = {e.evaluation_id: missing_cells(study, e) for e in evaluations}
        result = _begun(study, evaluations, missing, progress)
        _run_tasks(choose_executor(study, groups, device), make_tasks(study, groups, missing), result, strict, progress)
        for evaluation in evaluations:
            if evaluation.data.shift is None and (not result.failures or not missing_cells(study, evaluation)):
                record_missing_exemplars(study, evaluation)
        last_notes = [
            note for e in evaluations for note in _last_notes(study, e, is_new=bool(missing[e.evaluation_id]))
        ]
        progress.notes(last_notes)
        if strict:
            refuse_warnings(last_notes)
    result.rewritten = rewritten
    result.notes = [*notes, *result.notes, *last_notes]
    return result


def _begun(
    study: Study, evaluations: list[Evaluation], missing: dict[str, list[Cell]], progress: RunCallbacks
) -> RunResult:
    """The result before the first task: existing shards, and the notes of clean cells that are not evaluated again."""
    counts = [count_images(e.data, cell) for e in evaluations for cell in missing[e.evaluation_id]]
    known = [e for e in evaluations if CLEAN_CELL not in missing[e.evaluation_id]]
    result = RunResult(
        evaluation_ids=[e.evaluation_id for e in evaluations],
        existing=sum(len(e.data.cells(study)) for e in evaluations) - len(counts),
        notes=[
            note for e in known for note in stored_notes(study.results_folder, e.evaluation_id, e.model.label, "clean")
        ],
    )
    progress.notes(result.notes)
    progress.begin(len(counts), sum(counts))
    return result


def _last_notes(study: Study, evaluation: Evaluation, *, is_new: bool) -> list[Note]:
    """Notes on the published corrupted cells of an evaluation; those of an earlier run if no cell is new."""
    output = study.results_folder
    lacking = missing_cells(study, evaluation)
    if is_new or not exists(notes_path(output, evaluation.evaluation_id, "corrupted")):
        cells = [cell for cell in evaluation.data.cells(study) if cell not in lacking]
        record_notes(output, evaluation.evaluation_id, "corrupted", corrupted_notes(output, evaluation, cells))
    return stored_notes(output, evaluation.evaluation_id, evaluation.model.label, "corrupted")


def _noted_together(groups: list[list[Evaluation]]) -> list[list[Evaluation]]:
    """Evaluations of the same clean images: of all corruption seeds, and of each shift."""
    of_seeds = [evaluation for group in groups if group[0].data.shift is None for evaluation in group]
    return [of_seeds, *(group for group in groups if group[0].data.shift is not None)]


def _run_tasks(executor: Executor, tasks: list[Task], result: RunResult, strict: bool, progress: RunCallbacks) -> None:
    """Run tasks and add their results; with `strict`, run the clean cells first and check their warnings.

    Raises:
        IncompleteRunError: `strict` is set and there are warnings.
    """
    clean = [task for task in tasks if task.cell.is_clean] if strict else []
    for wave in (clean, tasks[len(clean) :]):  # clean cells come first
        left = without_failed(wave, result)
        if left:
            result.add(executor(left, progress))
        if strict:
            refuse_warnings(result.notes)
