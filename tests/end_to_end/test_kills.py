"""`kill -9` at random instants, a full disk, a stopped run, a model that raises: the same command goes on to the same
rows.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from corrupted_datasets import LAYOUTS, contents
from fault_trials import processes_of
from installed_script import SCRIPT, failmodes
from raising_model import RAISING
from safetensors import safe_open
from tiny_study import CELLS, hashes, rows_of, write_tiny_study

from failmodes.evaluate.engine.run import evaluate_study
from failmodes.evaluate.study.study_file import read_study
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.warehouse.errors import DataError, StudyError

pytestmark = pytest.mark.slow
SLOW = RAISING.replace("Raising", "Slow").replace('raise ValueError("three batches are enough")', "time.sleep(60)")
OF_WORKERS = """
import multiprocessing, os
from failmodes.warehouse.errors import StudyError

def fault(images, parameters):
    if multiprocessing.parent_process():
        if os.path.exists('die'):
            os.kill(os.getpid(), 9)
        raise StudyError('no such fault')
    return images
"""
# A process that kills itself in a write of results: after the temporary file, before the rename
IN_A_WRITE = """
import os, signal, sys, failmodes.__main__, failmodes.warehouse.storage.files as files
left, real = [{writes}], os.replace
def replace(a, b):
    left[0] -= 'results' in str(b) and 'evaluation_id' in str(b)
    return os.kill(os.getpid(), signal.SIGKILL) if left[0] == 0 else real(a, b)
files.os.replace = replace
sys.argv = ['failmodes', 'evaluate']
failmodes.__main__.main()
"""
AFTER_AN_EPOCH = """
import os, signal, sys, failmodes.__main__, failmodes.evaluate.training as training
save = training.Trainer.save
def once(self, path, epochs_done):
    save(self, path, epochs_done)
    os.kill(os.getpid(), signal.SIGKILL)
training.Trainer.save = once
sys.argv = ['failmodes', 'train']
failmodes.__main__.main()
"""


def kill_after(seconds: float, *arguments: str, folder: Path) -> int:
    """The exit code of a command that is killed after so many seconds, where it has not ended by then."""
    process = subprocess.Popen([SCRIPT, *arguments], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(60)
    return process.returncode


def seconds_of(*arguments: str, folder: Path) -> float:
    started = time.monotonic()
    failmodes(*arguments, folder=folder)
    return time.monotonic() - started


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
    for command in ("train", "evaluate", "load"):
        failmodes(command, folder=folder)
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
    failmodes("evaluate", folder=folder)
    assert hashes(folder / "out") == hashes(undisturbed / "out")
    assert not list((folder / "out").rglob(".tmp-*"))


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.corpus)])
def test_kill_9_at_random_instants_of_evaluation(undisturbed, folder, kills: int) -> None:
    whole_s = seconds_of("evaluate", folder=folder)
    rng, killed = random.Random(0), 0
    for attempt in range(kills):
        # each time from nothing or from what is left, at any instant of the run's second half (the first is imports)
        if attempt % 3 == 0:
            shutil.rmtree(folder / "out" / "results", ignore_errors=True)
        killed += kill_after(whole_s * rng.uniform(0.4, 1), "evaluate", folder=folder) == -signal.SIGKILL
    assert killed >= kills // 3
    assert_goes_on(folder, undisturbed)
    assert rows_of(folder / "out").num_rows == CELLS * 60


@pytest.mark.parametrize("writes", [1, pytest.param(3, marks=pytest.mark.corpus), 7])
def test_kill_9_within_a_parquet_write_leaves_no_half_shard(undisturbed, folder, writes: int) -> None:
    code = IN_A_WRITE.format(writes=writes)
    assert subprocess.run([sys.executable, "-c", code], cwd=folder).returncode == -signal.SIGKILL
    assert list((folder / "out").rglob(".tmp-*"))
    assert_goes_on(folder, undisturbed)


def test_killed_training_goes_on_to_the_same_model(undisturbed, tmp_path) -> None:
    write_tiny_study(tmp_path)
    assert subprocess.run([sys.executable, "-c", AFTER_AN_EPOCH], cwd=tmp_path).returncode == -signal.SIGKILL
    assert not list(tmp_path.rglob("*.safetensors"))
    failmodes("train", folder=tmp_path)
    (ours,), (theirs,) = (list((f / "out" / "checkpoints").glob("*")) for f in (tmp_path, undisturbed))
    assert ours.name == theirs.name
    with safe_open(ours, "pt") as one, safe_open(theirs, "pt") as other:  # the file's own order of metadata is random
        assert one.metadata() == other.metadata()
        assert set(one.keys()) == set(other.keys())
        assert all(torch.equal(one.get_tensor(name), other.get_tensor(name)) for name in one.keys())  # noqa: SIM118


@pytest.mark.parametrize("kills", [3, pytest.param(12, marks=pytest.mark.corpus)])
def test_kill_9_during_load_leaves_the_warehouse_whole(undisturbed, tmp_path, kills: int) -> None:
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    warehouse = tmp_path / "out" / "warehouse.duckdb"
    expected, rng = _row_hash(warehouse), random.Random(1)
    assert expected[0][0] == CELLS * 60
    for _ in range(kills):
        kill_after(rng.uniform(0.3, 2.0), "load", "--rebuild", folder=tmp_path)
        assert _row_hash(warehouse) == expected
    failmodes("load", "--rebuild", folder=tmp_path)
    assert _row_hash(warehouse) == expected


def _row_hash(warehouse: Path) -> list[tuple]:
    with duckdb.connect(str(warehouse), read_only=True) as con:
        return [
            con.execute(f"select count(*), bit_xor(hash(t)) from {table} as t").fetchall()[0]
            for table in ("prediction_facts", "attention", "evaluations", "models")
        ]


@pytest.mark.parametrize("kills", [3, pytest.param(8, marks=pytest.mark.corpus)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_kill_9_at_random_instants_of_corrupting(tmp_path: Path, layout: str, kills: int) -> None:
    names = ["gaussian_noise", "motion_blur", "snow", "fog", "elastic_transform", "jpeg_compression"]
    command = ["corrupt", "digits", "--layout", layout, "--images", "300", *(f"--corruption={name}" for name in names)]
    whole_s = seconds_of(*command, "--to", "whole", folder=tmp_path)
    rng, killed = random.Random(0), 0
    for _ in range(kills):
        if not (tmp_path / "killed" / ".failmodes").exists():
            shutil.rmtree(tmp_path / "killed", ignore_errors=True)  # it was done: from nothing once more
        killed += kill_after(whole_s * rng.uniform(0.4, 0.8), *command, "--to", "killed", folder=tmp_path) != 0
        for path in (tmp_path / "killed").glob("*.npy"):
            assert len(np.load(path)) == 1500, "nothing half written under its final name"
    assert killed >= kills // 2
    failmodes(*command, "--to", "killed", folder=tmp_path)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


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
    done = failmodes("run", folder=folder, expect=1)
    assert done.stderr.splitlines()[-1].startswith("failmodes: evaluation incomplete: Mine; fix it")
    assert "contrast 1, batch 2 (images 33 to 60 of the subset): ValueError" in done.stderr
    report = (folder / "out" / "report.html").read_text()
    assert "Mine is excluded." in report
    assert "Net 0" in report
    assert hashes(undisturbed / "out").items() <= hashes(folder / "out").items()


@pytest.mark.parametrize(
    "evaluation", ["workers = 2", 'executor = "processes"\nprocesses = 2'], ids=["with workers", "with processes"]
)
def test_a_killed_run_leaves_no_process_behind_and_a_second_one_names_the_first(folder, evaluation: str) -> None:
    add_model(folder, "Slow", SLOW, f"[evaluation]\n{evaluation}\n")
    run = subprocess.Popen([SCRIPT, "evaluate"], cwd=folder, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for_a_shard(run, folder)
        second = failmodes("evaluate", folder=folder, expect=1)
        assert f"another run (process {run.pid}) is evaluating into" in second.stderr.splitlines()[-1]
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
