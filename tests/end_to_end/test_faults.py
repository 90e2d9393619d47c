"""Faults as a user meets them, through the installed script: a model that raises, two runs at once, a killed run."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")

from executor_runs import RAISING
from fault_trials import processes_of
from tiny_study import hashes, write_tiny_study

from failmodes.evaluate.engine.run import evaluate_study
from failmodes.evaluate.study.study_file import read_study
from failmodes.evaluate.study_models import train_missing
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.warehouse.errors import DataError, StudyError

pytestmark = pytest.mark.slow
SCRIPT = Path(sys.executable).parent / "failmodes"


SLOW = RAISING.replace("Raising", "Slow").replace('raise ValueError("three batches are enough")', "time.sleep(60)")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    path = write_tiny_study(tmp_path_factory.mktemp("finished"))
    study = read_study(path)
    dataset = open_dataset(study.dataset, study.cache)
    train_missing(study, dataset)
    evaluate_study(study, dataset)
    return study.output


def study_with(finished: Path, folder: Path, name: str, code: str, evaluation: str = "") -> Path:
    """The tiny study, trained and not evaluated, with another model from `code`."""
    shutil.copytree(finished / "checkpoints", folder / "out" / "checkpoints")
    path = write_tiny_study(folder)
    (folder / f"{name.lower()}_nets.py").write_text("import time\n" + code)
    text = f'[[models]]\nlabel = "Mine"\narchitecture = "{name.lower()}_nets:{name}"\n{evaluation}'
    path.write_text(path.read_text() + text)
    return path


def failmodes(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run([SCRIPT, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=300)


def test_a_model_that_raises_ends_in_an_error_and_the_others_in_a_report(finished, tmp_path) -> None:
    study_with(finished, tmp_path, "Raising", RAISING)
    done = failmodes("run", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("failmodes: not evaluated to the end: Mine; mend it")
    assert (
        "Mine raised and was set aside: contrast 1, batch 2 (images 33 to 60 of the subset): ValueError" in done.stderr
    )
    assert "Traceback" not in done.stderr
    report = (tmp_path / "out" / "report.html").read_text()
    assert "Mine is left out." in report
    assert "Net 0" in report
    assert hashes(finished).items() <= hashes(tmp_path / "out").items()
    assert failmodes("status", "out/warehouse.duckdb", folder=tmp_path).returncode == 0


def started(process: subprocess.Popen, output: Path) -> None:
    """Wait until the first shard is there."""
    deadline = time.monotonic() + 120
    while not list(output.rglob("results/prediction_facts/**/rows.parquet")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_run_on_one_output_names_the_first_and_changes_nothing(finished, tmp_path) -> None:
    study_with(finished, tmp_path, "Slow", SLOW)
    first = subprocess.Popen([SCRIPT, "evaluate"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        started(first, tmp_path / "out")
        second = failmodes("evaluate", folder=tmp_path)
        assert second.returncode == 1
        assert f"another run (process {first.pid}) is evaluating into" in second.stderr.splitlines()[-1]
        assert "Traceback" not in second.stderr
    finally:
        first.kill()
        first.wait()


@pytest.mark.parametrize(
    "evaluation", ["workers = 2", 'executor = "processes"\nprocesses = 2'], ids=["with workers", "with processes"]
)
def test_a_killed_run_leaves_no_process_behind(finished, tmp_path, evaluation: str) -> None:
    study_with(finished, tmp_path, "Slow", SLOW, f"[evaluation]\n{evaluation}\n")
    run = subprocess.Popen([SCRIPT, "evaluate"], cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        started(run, tmp_path / "out")
        assert len(processes_of(run.pid)) > 2
        run.kill()
        run.wait()
        deadline = time.monotonic() + 20
        while processes_of(run.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert processes_of(run.pid) == []
    finally:
        for process in processes_of(run.pid):
            os.kill(process, signal.SIGKILL)


def test_an_error_in_a_worker_is_its_own_one_line(finished, tmp_path, monkeypatch) -> None:
    path = study_with(finished, tmp_path, "Raising", RAISING, "[evaluation]\nworkers = 1\n")
    (tmp_path / "my_fault.py").write_text(
        "import multiprocessing, os\nfrom failmodes.warehouse.errors import StudyError\n\n"
        "def fault(images, parameters):\n"
        "    if multiprocessing.parent_process():\n"
        "        if os.path.exists('die'):\n            os.kill(os.getpid(), 9)\n"
        "        raise StudyError('no such fault')\n    return images\n"
    )
    path.write_text(path.read_text().replace('"contrast", "gaussian_noise"', '"my_fault:fault"'))
    monkeypatch.chdir(tmp_path)
    study = read_study(path)
    dataset = open_dataset(study.dataset, study.cache)
    with pytest.raises(StudyError, match=r"^no such fault$"):
        evaluate_study(study, dataset)
    Path("die").touch()
    with pytest.raises(DataError, match="a process that corrupts images was killed"):
        evaluate_study(study, dataset)
