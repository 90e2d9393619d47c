"""A quick part of `make soak`: it finds its instants, compares, and says so by its exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

pytestmark = pytest.mark.slow


KILLS = 4  # of evaluate, load, import and train; `make soak` has a hundred, of every command that writes


def test_kills_end_in_the_same_rows(tmp_path: Path) -> None:
    options = ["--only", "kills", "--kills", str(KILLS), "--json", tmp_path / "found.json"]
    command = [sys.executable, "-m", "tests.faults", *options]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = [kill["figures"] for kill in json.loads((tmp_path / "found.json").read_text())]
    assert len(figures) == KILLS
    assert all(kill["second"] > 0 and kill["compared"] > 0 and kill["differing"] == 0 for kill in figures)
