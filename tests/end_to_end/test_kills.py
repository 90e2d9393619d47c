"""A full disk, a stopped or killed run, a model that raises: the same command goes on to the same rows.

Kills within a write and at random instants are in tests/faults/test_kills_of_commands.py.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")

from fault_trials import processes_of
from run_commands import SCRIPT, run
from tiny_study import hashes, write_tiny_study

from failmodes.evaluate.engine.run import evaluate_study
from failmodes.evaluate.study.study_file import read_study
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.runtime.errors import DataError, StudyError

pytestmark = pytest.mark.test_all
RAISING = """
from torch import nn

class Raising(nn.Module):
    normalization = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}

    def __init__(self):
        super().__init__()
        self.conv, self.fc, self.batches = nn.Conv2d(3, 8, 3, 2), nn.Linear(8, 10), 0

    def forward(self, x):
        self.batches += len(x) > 20
        if self.batches > 3:
            raise ValueError("three batches are enough")
        return self.fc(self.conv(x).relu().mean((2, 3)))
"""
SLOW = RAISING.replace("Raising", "Slow").replace('raise ValueError("three batches are enough")', "time.sleep(60)")
OF_WORKERS = """
import multiprocessing, os
from failmodes.runtime.errors import StudyError

def fault(images, parameters):
    if multiprocessing.parent_process():
        if os.path.exists('die'):
            os.kill(os.getpid(), 9)
        raise StudyError('no such fault')
    return images
"""


def wait_for_a_shard(process: subprocess.Popen, folder: Path) -> None:
    deadline = time.monotonic() + 120
    while not list((folder / "out").rglob("results/prediction_facts/**/rows.parquet")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    write_tiny_study(folder)
    for command in ("train", "evaluate"):
        run(command, folder=folder)
    return folder


@pytest.fixture
def folder(undisturbed: Path, tmp_path: Path) -> Path:
    """The study with its trained model and nothing else."""
    shutil.copytree(undisturbed / "out" / "checkpoints", tmp_path / "out" / "checkpoints")
    return write_tiny_study(tmp_path).parent


def add_model(folder: Path, name: str, code: str, evaluation: str = "") -> None:
    """Another model of the study, from `code`."""
    (folder / f"{name.lower()}_nets.py").write_text("import time\n" + code)
    with (folder / "study.toml").open("a") as study:
        study.write(f'[[models]]\nlabel = "Mine"\narchitecture = "{name.lower()}_nets:{name}"\n{evaluation}')


def assert_goes_on(folder: Path, undisturbed: Path) -> None:
    """The same command ends well, with the rows of a run that nothing disturbed and no file half written."""
    run("evaluate", folder=folder)
    assert hashes(folder / "out") == hashes(undisturbed / "out")
    assert not list((folder / "out").rglob(".tmp-*"))


def test_interrupt_keeps_finished_shards_and_says_how_to_go_on(undisturbed, folder) -> None:
    process = subprocess.Popen([SCRIPT, "evaluate"], cwd=folder, stderr=subprocess.PIPE, text=True)
    wait_for_a_shard(process, folder)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    if process.returncode != 0:  # it may have finished first
        assert process.returncode == 130
        assert "run the same command to continue" in error.splitlines()[-1]
        assert "Traceback" not in error
    assert_goes_on(folder, undisturbed)


def test_a_full_disk_is_one_line_and_the_run_goes_on_later(undisturbed, folder) -> None:
    """Writes beyond six kilobytes fail, as on a full disk."""
    command = f"ulimit -f 6; exec {SCRIPT} evaluate"  # in blocks of 1,024 bytes
    full = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=300)
    assert full.returncode == 1
    assert full.stderr.splitlines()[-1].startswith("failmodes: cannot write ")
    assert "Traceback" not in full.stderr
    assert_goes_on(folder, undisturbed)


def test_a_model_that_raises_ends_in_an_error_and_the_others_in_a_report(undisturbed, folder) -> None:
    add_model(folder, "Raising", RAISING)
    done = run("run", folder=folder, expect=1)
    assert done.stderr.splitlines()[-1].startswith("failmodes: evaluation incomplete: Mine raised at ")
    assert "contrast 1, batch 2 (images 33 to 60 of the subset): ValueError" in done.stderr
    report = (folder / "out" / "report.html").read_text()
    assert "Mine is excluded." in report
    assert "Net 0" in report
    assert hashes(undisturbed / "out").items() <= hashes(folder / "out").items()


@pytest.mark.parametrize(
    "evaluation",
    [
        pytest.param("workers = 2", marks=pytest.mark.nightly, id="with workers"),
        pytest.param('executor = "processes"\nprocesses = 2', id="with processes"),
    ],
)
def test_a_killed_run_leaves_no_process_behind_and_a_second_one_names_the_first(folder, evaluation: str) -> None:
    add_model(folder, "Slow", SLOW, f"[evaluation]\n{evaluation}\n")
    first = subprocess.Popen([SCRIPT, "evaluate"], cwd=folder, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for_a_shard(first, folder)
        second = run("evaluate", folder=folder, expect=1)
        assert f"another run (process {first.pid}) is evaluating into" in second.stderr.splitlines()[-1]
        assert len(processes_of(first.pid)) > 2
        first.kill()
        first.wait()
        deadline = time.monotonic() + 20
        while processes_of(first.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert processes_of(first.pid) == []
    finally:
        for process in processes_of(first.pid):
            os.kill(process, signal.SIGKILL)


@pytest.mark.nightly
def test_an_error_in_a_worker_is_its_own_one_line(folder, monkeypatch) -> None:
    add_model(folder, "Raising", RAISING, "[evaluation]\nworkers = 1\n")
    (folder / "my_fault.py").write_text(OF_WORKERS)
    path = folder / "study.toml"
    path.write_text(path.read_text().replace('"contrast", "gaussian_noise"', '"my_fault:fault"'))
    monkeypatch.chdir(folder)
    study = read_study(path)
    dataset = open_dataset(study.dataset, study.cache)
    with pytest.raises(StudyError, match=r"^no such fault$"):
        evaluate_study(study, dataset)
    Path("die").touch()
    with pytest.raises(DataError, match="a process that corrupts images was killed"):
        evaluate_study(study, dataset)
