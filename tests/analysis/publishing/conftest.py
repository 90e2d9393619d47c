"""Fixtures of the tests of publishing."""

import pytest
from published_results import write_published_results
from synthetic_results import Synthetic


@pytest.fixture(scope="package")
def published(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """Results of three models, loaded into warehouse.duckdb; read only."""
    return write_published_results(tmp_path_factory.mktemp("published"))
