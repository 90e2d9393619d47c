"""Real pixels under two corruptions."""

import pytest
from pictured_results import Pictured, pictured

from failmodes.ingest.sources import GeneratedSource


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Pictured:
    """Six images under fog and contrast, and their warehouse (read only)."""
    return pictured(tmp_path_factory.mktemp("pictured"), GeneratedSource(), ("fog", "contrast"))
