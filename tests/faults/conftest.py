"""What is slow here is of the corpus: continuous integration has the fast ones and some kills, `make test` one file."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
BY_DEFAULT = "test_hangs_and_aborts.py"  # its fast ones


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE:
            if item.path.name != "test_soak.py" and item.get_closest_marker("slow"):
                item.add_marker("corpus")
            if item.path.name != BY_DEFAULT:
                item.add_marker("slow")
