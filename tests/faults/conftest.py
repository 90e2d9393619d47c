"""A smaller record than other tests share, and its warehouse: most of these tests change a copy."""

import shutil
from pathlib import Path

import pytest
from built_once import built_once
from synthetic_results import Synthetic, write_synthetic
from synthetic_thumbnails import write_thumbnails

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.warehouse.database.load import load


@pytest.fixture(scope="session")
def small_results(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """Alpha and Beta on 40 images in 5 cells each; read only."""

    def build(folder: Path) -> Synthetic:
        write_thumbnails(folder, 40)
        return write_synthetic(folder, images=40, corruptions=("fog", "contrast"), severities=(1, 5))

    folder, made = built_once(tmp_path_factory, "small-results", build)
    return made._replace(output=folder)


@pytest.fixture(scope="session")
def small_warehouse(small_results: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their warehouse; copy it before you change it."""

    def build(folder: Path) -> None:
        load([small_results.output], folder / "warehouse.duckdb", derivation=DERIVATION)

    return built_once(tmp_path_factory, "small", build)[0] / "warehouse.duckdb"


@pytest.fixture
def small_copy(small_warehouse: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copy(small_warehouse, tmp_path / "warehouse.duckdb"))
