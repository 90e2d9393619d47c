"""A copy of the package with a file of a page of docs/ added to it, and Python that imports it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import failmodes

PAGE = Path(__file__).parents[2] / "docs" / "your-model.md"


def package_with(folder: Path, within: str) -> Path:
    """A copy of the package in `folder`, with the file that the page shows for a place such as cam/methods."""
    blocks = re.findall(
        rf"```python\n# (failmodes/evaluate/{within}/\w+\.py)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    ((path, source),) = blocks
    package = folder / "package"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(failmodes.__file__).parent, package / "failmodes", ignore=ignored)
    (package / path).write_text(source, encoding="utf-8")
    return package


def run_python(package: Path, *arguments: str, folder: Path) -> str:
    """What Python prints that imports failmodes from the folder `package`."""
    environment = {**os.environ, "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
