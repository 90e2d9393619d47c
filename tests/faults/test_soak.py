"""A quick part of `make soak`: it finds its instants, compares, and says so by its exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.corpus)])  # 4: evaluate, load, import, train
def test_kills_end_in_the_same_rows(kills: int, tmp_path: Path) -> None:
    options = ["--only", "kills", "--kills", str(kills), "--json", tmp_path / "found.json"]
    command = [sys.executable, "-m", "tests.faults", *options]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = [kill["figures"] for kill in json.loads((tmp_path / "found.json").read_text())]
    assert len(figures) == kills
    assert all(kill["second"] > 0 and kill["compared"] > 0 and kill["differing"] == 0 for kill in figures)
