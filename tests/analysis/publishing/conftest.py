"""Results to publish: three models with awkward names, one of them sturdier, on corruptions and a natural shift."""

import pytest
from built_once import built_once
from published_results import write_published_results
from synthetic_results import Synthetic


@pytest.fixture(scope="package")
def published(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """Results of three models, loaded into warehouse.duckdb; read only."""
    folder, made = built_once(tmp_path_factory, "published", write_published_results)
    return made._replace(output=folder)
