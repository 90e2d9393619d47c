"""A warehouse to explore: the synthetic record with a clean picture of every image."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from synthetic_results import write_synthetic
from synthetic_thumbnails import write_thumbnails

from failmodes.analysis.explorer.kept_connection import KeptConnection
from failmodes.analysis.explorer.model_cell import ModelCell, read_curves
from failmodes.analysis.selection import select
from failmodes.warehouse.database.load import load


@pytest.fixture(scope="session")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, five corruptions, five severities, 400 images of four classes."""
    folder = tmp_path_factory.mktemp("explored")
    write_synthetic(folder)
    write_thumbnails(folder, 400)
    load([folder], folder / "warehouse.duckdb")
    return folder / "warehouse.duckdb"


@pytest.fixture(scope="session")
def con(explored: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The connection that a page would keep."""
    kept = KeptConnection(explored)
    with kept.reading() as con:
        yield con
    kept.close()


@pytest.fixture(scope="session")
def fog_cell(con: duckdb.DuckDBPyConnection) -> ModelCell:
    """The model Alpha under fog at severity 5."""
    points = read_curves(con, select(con)[0]).points
    (row,) = points.filter(label="Alpha", corruption="fog", severity=5.0).rows(named=True)
    return ModelCell(row["evaluation_id"], "Alpha", "fog", "Fog", 5.0)
