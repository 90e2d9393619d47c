"""Two runs of `failmodes corrupt`, years and folders apart, give the same files byte for byte."""

import os
import subprocess
from pathlib import Path

import pytest
from corrupted_datasets import contents
from run_commands import SCRIPT

CLOCK = """
import time
real, real_ns = time.time, time.time_ns
time.time = lambda: real() + 10**9
time.time_ns = lambda: real_ns() + 10**18
"""


@pytest.mark.test_all
def test_two_runs_give_the_same_folder(tmp_path: Path) -> None:
    (clock := tmp_path / "clock").mkdir()
    (clock / "sitecustomize.py").write_text(CLOCK)
    here = os.environ.get("PYTHONPATH", "")
    folders = tmp_path / "one" / "set", tmp_path / "another place" / "of sets" / "b"
    for folder, path in zip(folders, (here, f"{clock}{os.pathsep}{here}"), strict=True):
        folder.parent.mkdir(parents=True)
        subprocess.run(
            [SCRIPT, "corrupt", "digits", "--to", folder, "--layout", "imagenet-c", "--images", "4",
             "--corruption", "fog", "--corruption", "jpeg_compression"],
            cwd=folder.parent, env=os.environ | {"PYTHONPATH": path}, check=True, capture_output=True, timeout=300,
        )  # fmt: skip
    first, second = map(contents, folders)
    assert first == second
    assert len(first) > 3
