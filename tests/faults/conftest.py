"""What is slow here is of the corpus: continuous integration has the fast ones and a few kills, `make test` none."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE:
            if item.path.name != "test_soak.py" and item.get_closest_marker("slow"):
                item.add_marker("corpus")
            item.add_marker("slow")
