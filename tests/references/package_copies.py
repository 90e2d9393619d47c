"""A copy of the package with every file of docs/extending.md added to it, and Python that imports it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import failmodes

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
FILE = re.compile(r"```(?:python\n#|sql\n--) (failmodes/\S+)\n(.*?)```", re.DOTALL)


def added_files() -> dict[str, str]:
    """The files that the page shows, by their path."""
    return dict(FILE.findall(PAGE.read_text(encoding="utf-8")))


def extended_package(folder: Path) -> Path:
    """A copy of the package in `folder`, with all files that the page shows."""
    package = folder / "package"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(failmodes.__file__).parent, package / "failmodes", ignore=ignored)
    for path, source in added_files().items():
        assert not (package / path).exists(), path
        (package / path).write_text(source, encoding="utf-8")
    return package


def run_python(package: Path, *arguments: str, folder: Path) -> str:
    """What Python prints that imports failmodes from the folder `package`."""
    environment = {**os.environ, "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
