"""A warehouse to explore: the synthetic record with a clean picture of every image."""

from pathlib import Path

import pytest
from synthetic_record import write_synthetic
from synthetic_thumbnails import write_thumbnails

from failmodes.analysis.explorer.network_cell import NetworkCell, read_curves, read_selections
from failmodes.warehouse.database.load import load


@pytest.fixture(scope="session")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks, five corruptions, five severities, 400 images of four classes."""
    folder = tmp_path_factory.mktemp("explored")
    write_synthetic(folder)
    write_thumbnails(folder, 400)
    load([folder], folder / "warehouse.duckdb")
    return folder / "warehouse.duckdb"


@pytest.fixture(scope="session")
def fog_cell(explored: Path) -> NetworkCell:
    """The network Alpha under fog at severity 5."""
    points = read_curves(explored, read_selections(explored)[0]).points
    (row,) = points.filter(label="Alpha", corruption="fog", severity=5.0).rows(named=True)
    return NetworkCell(row["evaluation_id"], "Alpha", "fog", "Fog", 5.0)
