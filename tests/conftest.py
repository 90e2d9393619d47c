"""Fixtures that several rooms share."""

import os
from pathlib import Path

import pytest
from synthetic_record import Synthetic, write_synthetic


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
