"""What the charts are drawn of."""

import duckdb
import pytest

from failmodes.analysis.evaluations.selection import Selection, select_one


@pytest.fixture(scope="session")
def selection(con: duckdb.DuckDBPyConnection) -> Selection:
    return select_one(con, models=["Alpha"])
