"""What `failmodes status` advises while a study is not finished."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from tiny_study import write_tiny_study

from failmodes.cli import status
from failmodes.evaluate.study.reading import read_study
from failmodes.evaluate.study_models import train_missing
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.warehouse.errors import WarehouseError


def test_models_that_are_not_trained_are_run_not_loaded(tmp_path: Path) -> None:
    path = write_tiny_study(tmp_path)
    with pytest.raises(WarehouseError, match=r"1 model not trained yet: `failmodes run .*study.toml` goes on") as error:
        status(path)
    assert "failmodes load" not in str(error.value)


@pytest.mark.slow
def test_shards_that_are_not_evaluated_are_run_not_loaded(tmp_path: Path) -> None:
    path = write_tiny_study(tmp_path)
    study = read_study(path)
    train_missing(study, open_dataset(study.dataset, study.cache))
    with pytest.raises(WarehouseError, match=r"5 shards not evaluated yet: `failmodes run .*study.toml` goes on"):
        status(path)
