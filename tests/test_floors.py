"""The oldest tested versions are those in pyproject.toml, for every requirement."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("extras", [[], ["explore"]], ids=["base", "explore"])
def test_every_requirement_has_its_floor(extras: list[str]) -> None:
    command = [sys.executable, ROOT / ".ci" / "floors.py", *extras]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    required = PROJECT["dependencies"] + [one for name in extras for one in PROJECT["optional-dependencies"][name]]
    assert len(lines) == len(required)
    for line, requirement in zip(lines, required, strict=True):
        assert requirement.split(",")[0] == line.replace("==", ">=")
