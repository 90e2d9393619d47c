"""Fixtures that several rooms share."""

import os
from pathlib import Path

import pytest

from tests.synthetic_record import Synthetic, write_synthetic


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """A synthetic record (read only: copy it before you change it)."""
    return write_synthetic(tmp_path_factory.mktemp("synthetic"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data that FAILMODES_DATA names."""
    folder = os.environ.get("FAILMODES_DATA")
    if not folder:
        pytest.skip("FAILMODES_DATA is unset: it names the folder with real CIFAR-10 images and checkpoints")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def real_warehouse(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warehouse that FAILMODES_WAREHOUSE names, or one of 100 real images with both supplied checkpoints."""
    named = os.environ.get("FAILMODES_WAREHOUSE")
    if named:
        return Path(named).resolve()
    from failmodes.evaluate.engine.run import evaluate_study
    from failmodes.evaluate.study.reading import read_study
    from failmodes.ingest.datasets.opening import open_dataset
    from failmodes.warehouse.database.load import load

    folder = tmp_path_factory.mktemp("real")
    models = "".join(
        f'[[models]]\nlabel = "{name}"\narchitecture = "{name}"\n'
        f'checkpoint = "{real_data}/checkpoints/{name}-cifar10jpeg.safetensors"\n'
        for name in ("resnet18", "densenet121")
    )
    dataset = f'[dataset]\nkind = "cifar10"\npath = "{real_data}/cifar10"\nimages = 100\n'
    (folder / "study.toml").write_text(f'name = "real"\noutput = "out"\n{dataset}{models}')
    study = read_study(folder / "study.toml")
    evaluate_study(study, open_dataset(study.dataset, study.cache))
    load([study.output], study.output / "warehouse.duckdb")
    return study.output / "warehouse.duckdb"
