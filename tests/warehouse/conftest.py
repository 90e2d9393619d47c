"""Small records to load."""

import shutil
from pathlib import Path

import pytest
from synthetic_results import Synthetic
from warehouse_files import write_small_results


@pytest.fixture(scope="session")
def alpha(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """A small record of one model; read only."""
    return write_small_results(tmp_path_factory.mktemp("alpha"), "Alpha")


@pytest.fixture
def results(alpha: Synthetic, tmp_path: Path) -> Synthetic:
    """A copy of `alpha` that a test may change."""
    return alpha._replace(output=Path(shutil.copytree(alpha.output, tmp_path / "output")))
