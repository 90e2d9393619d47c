"""The engine: models that raise, memory that ends, logits that are no numbers, blocks made ahead, writing behind."""

import pytest
import torch
from tiny_study import hashes, run_study, write_tiny_study

from failmodes.evaluate.cli import print_run
from failmodes.evaluate.engine.executors.executor import make_worker
from failmodes.evaluate.engine.plan import plan_evaluations
from failmodes.evaluate.engine.tasks import Task
from failmodes.evaluate.engine.worker import RunCallbacks
from failmodes.evaluate.study.reading import read_study
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.warehouse.schema import PREDICTION_FACTS
from failmodes.warehouse.shards.format import CLEAN_CELL, list_results_files, read_verified


@pytest.mark.slow
def test_clean_cells_that_were_split_among_processes_meet_again_as_one(two_trained_models) -> None:
    path, output, expected = two_trained_models
    study = read_study(path)
    dataset = open_dataset(study.dataset, study.cache)
    device = torch.device("cpu")
    groups = plan_evaluations(study, dataset, device)
    ids = tuple(evaluation.evaluation_id for evaluation in groups[0])
    worker = make_worker(study, groups, device, RunCallbacks())
    result = worker.run(list(Task(0, CLEAN_CELL, ids).split()))
    assert result.written == 2
    found = hashes(output)
    assert len(found) == 6
    assert found.items() <= expected.items()


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
