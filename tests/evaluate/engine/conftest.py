"""Studies that were run once, for all tests of the engine."""

import shutil
from pathlib import Path

import pytest
from tiny_study import CELLS, hashes, run_study, write_tiny_study


@pytest.fixture(scope="session")
def two_networks(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A finished study of two networks, and the hashes of all that it published."""
    path = write_tiny_study(tmp_path_factory.mktemp("two"), models=2)
    assert run_study(path).written == 2 * CELLS
    return path, hashes(path.parent / "out")


@pytest.fixture
def two_trained_networks(two_networks, tmp_path) -> tuple[Path, Path, dict[str, str]]:
    """The same study with its trained networks and nothing evaluated; its output; the hashes that are expected."""
    shutil.copytree(two_networks[0].parent / "out" / "checkpoints", tmp_path / "out" / "checkpoints")
    return write_tiny_study(tmp_path, models=2), tmp_path / "out", two_networks[1]


@pytest.fixture(scope="session")
def two_networks_output(two_networks) -> tuple[Path, dict[str, str]]:
    """The output of the finished study, and its hashes."""
    return two_networks[0].parent / "out", two_networks[1]
