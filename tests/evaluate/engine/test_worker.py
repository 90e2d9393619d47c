"""The engine: models that raise, memory that ends, logits that are no numbers, blocks made ahead, writing behind."""

from decimal import Decimal

import pytest
import torch
from tiny_study import CELLS, hashes, run_study, write_tiny_study

from failmodes.evaluate.cli import print_run
from failmodes.evaluate.engine.executors.executor import make_worker
from failmodes.evaluate.engine.plan import plan_evaluations
from failmodes.evaluate.engine.tasks import Failure, RunCallbacks, RunResult, Task, make_tasks, waves
from failmodes.evaluate.study.study_file import read_study
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.warehouse.schema import PREDICTION_FACTS
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell, list_results_files, read_verified


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_tasks_that_are_drawn_one_by_one_give_the_same_rows(two_trained_models, workers: int) -> None:
    """Two tasks of one cell may follow each other: clean cells are split among processes, and meet again in one."""
    path, output, expected = two_trained_models
    path = write_tiny_study(path.parent, models=2, extra=f"[evaluation]\nworkers = {workers}")
    study = read_study(path)
    dataset = open_dataset(study.dataset, study.cache)
    device = torch.device("cpu")
    groups = plan_evaluations(study, dataset, device)
    missing = {evaluation.evaluation_id: study.cells for evaluation in groups[0]}
    worker, result = make_worker(study, groups, device, RunCallbacks()), RunResult()
    clean, others = waves(make_tasks(study, groups, missing), result)
    assert [len(task.evaluation_ids) for task in clean] == [1, 1]
    result.add(worker.run(iter(clean)))
    result.add(worker.run(iter(others)))
    assert result.written == 2 * CELLS
    assert hashes(output).items() <= expected.items()


def test_a_model_that_raised_on_clean_images_gets_no_other_tasks() -> None:
    tasks = [Task(0, cell, ("a", "b")) for cell in (CLEAN_CELL, Cell("fog", Decimal(1)))]
    result = RunResult()
    both = waves(tasks, result)
    assert [task.evaluation_ids for task in next(both)] == [("a",), ("b",)]
    result.add(RunResult(failures=[Failure("a", "A", "clean: no")]))
    assert [task.evaluation_ids for task in next(both)] == [("b",)]


@pytest.mark.slow
def test_a_lower_precision_says_how_many_predictions_it_changes(two_trained_models, capsys) -> None:
    path, output, _ = two_trained_models
    path = write_tiny_study(path.parent, models=2, extra='[evaluation]\nprecision = "bfloat16"')
    report = run_study(path)
    assert set(report.changed_predictions) == {"Net 0", "Net 1"}
    assert all(0 <= share < 0.2 for share in report.changed_predictions.values())
    facts = [
        read_verified(p).facts for p in list_results_files(output, PREDICTION_FACTS) if "corruption=none" in str(p)
    ]
    assert [f["changed_predictions"] for f in facts if "changed_predictions" in f]
    print_run(report)
    assert "the lower precision changes" in capsys.readouterr().err
