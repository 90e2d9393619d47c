"""A warehouse to explore: the synthetic results with a clean image of every image number."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from synthetic_results import write_synthetic
from synthetic_thumbnails import write_thumbnails

from failmodes.analysis.evaluations.selection import select
from failmodes.analysis.explorer.cells import ModelCell, cells_of, read_curves
from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load


@pytest.fixture(scope="session")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, five corruptions, five severities, 400 images of four classes."""
    folder = tmp_path_factory.mktemp("explored")
    write_synthetic(folder)
    write_thumbnails(folder, 400)
    load([folder], folder / "warehouse.duckdb", derivation=DERIVATION)
    return folder / "warehouse.duckdb"


@pytest.fixture(scope="session")
def con(explored: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The connection that a page would keep."""
    with open_warehouse(explored) as con:
        yield con


@pytest.fixture(scope="session")
def fog_cell(con: duckdb.DuckDBPyConnection) -> ModelCell:
    """The model Alpha under fog at severity 5."""
    cells = cells_of(read_curves(con, select(con)[0])).values()
    return next(one for one in cells if (one.label, one.corruption, one.severity) == ("Alpha", "fog", 5))
