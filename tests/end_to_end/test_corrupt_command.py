"""`failmodes corrupt`: what it writes, that a killed run goes on to the same bytes, and how it refuses."""

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from corrupted_datasets import LAYOUTS, contents

SCRIPT = Path(sys.executable).parent / "failmodes"
KILLS = [3, pytest.param(8, marks=pytest.mark.corpus)]


def run_script(options: list[str], cwd: Path, kill_after_s: float | None = None) -> tuple[int, float]:
    """Exit code, and seconds from the first image on."""
    process = subprocess.Popen(
        [SCRIPT, "corrupt", "digits", *options], cwd=cwd, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "images to generate" in line:
            break
    started = time.monotonic()
    try:
        process.wait(kill_after_s or 300)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    process.stderr.close()
    return process.returncode, time.monotonic() - started


@pytest.mark.slow
@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_kill_9_at_random_instants(tmp_path: Path, layout: str, kills: int) -> None:
    names = ["gaussian_noise", "motion_blur", "snow", "fog", "elastic_transform", "jpeg_compression"]
    options = [part for name in names for part in ("--corruption", name)]
    options += ["--layout", layout, "--images", "300"]
    code, whole_s = run_script(["--to", "whole", *options], tmp_path)
    assert code == 0
    rng, killed = random.Random(0), 0
    for _ in range(kills):
        if (tmp_path / "killed").exists() and not (tmp_path / "killed" / ".failmodes").exists():
            shutil.rmtree(tmp_path / "killed")  # it was done: from nothing once more
        killed += run_script(["--to", "killed", *options], tmp_path, rng.uniform(0, whole_s / 2))[0] == -signal.SIGKILL
        for path in (tmp_path / "killed").glob("*.npy"):
            assert len(np.load(path)) == 1500, "nothing half written under its final name"
        for cell in (tmp_path / "killed").glob("*/[1-5]"):
            assert len(list(cell.rglob("*.JPEG"))) == 300
    assert killed >= kills // 2
    assert run_script(["--to", "killed", *options], tmp_path)[0] == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_the_script_fails_without_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [SCRIPT, "corrupt", "digits", "--to", "/proc/set"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr.startswith("failmodes: cannot write /proc/set")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
