"""`failmodes run --dry-run`: the estimate of a run before it starts."""

import json
import shutil

import pytest
from run_commands import run
from tiny_study import CELLS, run_study, write_tiny_study

from failmodes.evaluate.engine.estimate import RunEstimate, estimate_run
from failmodes.evaluate.study.study_file import read_study
from failmodes.ingest.datasets.layout import open_dataset

IMAGES = 60


def estimated(path) -> RunEstimate:
    study = read_study(path)
    return estimate_run(study, open_dataset(study.dataset, study.cache))


@pytest.mark.test_all
def test_the_estimate_is_by_a_timed_batch_and_of_missing_cells(two_trained_models) -> None:
    path, output, _ = two_trained_models
    before = estimated(path)
    assert [(m.missing, m.images) for m in before.models] == 2 * [(CELLS, CELLS * IMAGES)]
    assert before.seconds == pytest.approx(sum(model.seconds for model in before.models))
    assert before.seconds > 0
    assert not (output / "results").exists()
    run_study(path)
    size = sum(file.stat().st_size for file in (output / "results").rglob("*.parquet"))
    assert size / 4 < before.disk_bytes < 12 * size  # of record and warehouse
    shutil.rmtree(next((output / "results" / "prediction_facts").rglob("corruption=contrast")))
    after = estimated(path)
    (left,) = [model for model in after.models if model.missing]
    assert (left.missing, left.images) == (2, 2 * IMAGES)
    assert 0 < after.disk_bytes < before.disk_bytes


@pytest.mark.test_all
def test_a_dry_run_of_models_that_are_not_trained_computes_nothing(tmp_path) -> None:
    write_tiny_study(tmp_path, corruption_seeds=[0, 1])
    (model,) = json.loads(run("run", "--dry-run", "--json", folder=tmp_path).stdout)["models"]
    assert (model["missing"], model["images"], model["seconds"]) == (2 * CELLS, 2 * CELLS * IMAGES, None)
    assert not (tmp_path / "out" / "results").exists()
    assert not (tmp_path / "out" / "checkpoints").exists()
