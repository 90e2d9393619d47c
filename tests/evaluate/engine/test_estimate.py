"""`failmodes run --dry-run`: what a run would do, before anything is computed."""

import json
import shutil
from collections.abc import Callable

import pytest
from installed_script import failmodes
from tiny_study import CELLS, run_study, write_tiny_study

from failmodes.evaluate.engine.estimate import RunEstimate, estimate_run
from failmodes.evaluate.study.study_file import read_study
from failmodes.ingest.datasets.opening import open_dataset

IMAGES = 60


@pytest.fixture
def estimated(two_trained_models) -> Callable[[], RunEstimate]:
    path, _, _ = two_trained_models

    def estimate() -> RunEstimate:
        study = read_study(path)
        return estimate_run(study, open_dataset(study.dataset, study.cache))

    return estimate


@pytest.mark.slow
def test_the_estimate_is_by_a_timed_batch_and_then_by_earlier_shards(two_trained_models, estimated) -> None:
    path, output, _ = two_trained_models
    before = estimated()
    assert [(m.label, m.cells, m.missing, m.images) for m in before.models] == [
        ("Net 0", CELLS, CELLS, CELLS * IMAGES), ("Net 1", CELLS, CELLS, CELLS * IMAGES),
    ]  # fmt: skip
    assert {model.source for model in before.models} == {"by one timed batch"}
    assert before.seconds == pytest.approx(sum(model.seconds or 0 for model in before.models))
    assert before.seconds > 0
    assert not (output / "results").exists()
    run_study(path)
    size = sum(file.stat().st_size for file in (output / "results").rglob("*.parquet"))
    assert size / 4 < before.disk_bytes < 12 * size  # of record and warehouse
    shutil.rmtree(next((output / "results" / "prediction_facts").rglob("corruption=contrast")))
    after = estimated()
    assert sorted(model.missing for model in after.models) == [0, 2]
    (left,) = [model for model in after.models if model.missing]
    assert left.source == "by the speed of earlier shards"
    assert left.images == 2 * IMAGES
    assert 0 < after.disk_bytes < before.disk_bytes


@pytest.mark.slow
def test_a_dry_run_of_models_that_are_not_trained_computes_nothing(tmp_path) -> None:
    write_tiny_study(tmp_path, corruption_seeds=[0, 1])
    said = failmodes("run", "--dry-run", "--json", folder=tmp_path).stdout
    (model,) = json.loads(said)["models"]
    assert (model["cells"], model["missing"], model["images"], model["seconds"]) == (
        2 * CELLS, 2 * CELLS, 2 * CELLS * IMAGES, None,
    )  # fmt: skip
    assert not (tmp_path / "out" / "results").exists()
    assert not (tmp_path / "out" / "checkpoints").exists()
    lines = failmodes("run", "--dry-run", folder=tmp_path).stdout.splitlines()
    assert len(lines) == 3
    assert "Net 0: 10 of 10 cells missing, 600 images" in lines[0]
    assert "GB free" in lines[-1]
