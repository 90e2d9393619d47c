"""A warehouse to show: synthetic results with a clean image of every image number; and a page without JavaScript."""

import shutil
from pathlib import Path

import pytest
from built_once import built_once
from synthetic_results import write_synthetic
from synthetic_thumbnails import write_thumbnails
from warehouse_files import derivation

from failmodes.warehouse.database.load import load


@pytest.fixture(scope="session")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, two corruptions, five severities, 60 images of four classes, with exemplars; read only."""

    def build(folder: Path) -> None:
        write_synthetic(folder / "out", images=60, corruptions=("fog", "contrast"), exemplars_per_reason=1)
        write_thumbnails(folder / "out", 60)
        load([folder / "out"], folder / "warehouse.duckdb", derivation=derivation(resamples=50))

    return built_once(tmp_path_factory, "explored", build)[0] / "warehouse.duckdb"


@pytest.fixture
def own_warehouse(explored: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copy(explored, tmp_path / "warehouse.duckdb"))


@pytest.fixture(scope="session")
def plain_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle as far as Python is concerned: its files are only copied and served."""
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "index.html").write_text("<title>page</title>")
    (folder / "app.js").write_text("1")
    (folder / "duckdb-eh.wasm").write_bytes(b"wasm")
    return folder
