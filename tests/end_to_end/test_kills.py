"""`kill -9` at random instants, a full disk, a stopped run: the same command goes on to the same rows."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from safetensors import safe_open
from tiny_study import CELLS, hashes, rows_of, write_tiny_study

SCRIPT = Path(sys.executable).parent / "failmodes"
KILLS = [5, pytest.param(20, marks=pytest.mark.corpus)]


def failmodes(*arguments: str | Path, folder: Path, limit_bytes: int | None = None) -> subprocess.CompletedProcess:
    import resource

    def limit() -> None:
        if limit_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    return subprocess.run(
        [SCRIPT, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=300, preexec_fn=limit
    )


def kill_after(seconds: float, *arguments: str, folder: Path, sign: signal.Signals = signal.SIGKILL) -> int:
    process = subprocess.Popen([SCRIPT, *arguments], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(sign)
        process.wait(60)
    return process.returncode


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    write_tiny_study(folder)
    for command in ("train", "evaluate", "load"):
        done = failmodes(command, folder=folder)
        assert done.returncode == 0, done.stderr
    return folder


def fresh_copy(undisturbed: Path, folder: Path) -> Path:
    """The study with its trained model and nothing else."""
    shutil.copytree(undisturbed / "out" / "checkpoints", folder / "out" / "checkpoints")
    return write_tiny_study(folder).parent


@pytest.mark.slow
@pytest.mark.parametrize("kills", KILLS)
def test_kill_9_at_random_instants_of_evaluation(undisturbed, tmp_path, kills: int) -> None:
    folder = fresh_copy(undisturbed, tmp_path)
    started = time.monotonic()
    assert failmodes("evaluate", folder=folder).returncode == 0
    whole_s = time.monotonic() - started
    rng = random.Random(0)
    killed = 0
    for attempt in range(kills):
        # each time from nothing or from what is left, at any instant of the run's second half (the first is imports)
        if attempt % 3 == 0:
            shutil.rmtree(folder / "out" / "results", ignore_errors=True)
        started = time.monotonic()
        code = kill_after(whole_s * rng.uniform(0.4, 1), "evaluate", folder=folder)
        killed += code == -signal.SIGKILL
        if code == 0 and attempt % 3 == 0:  # another process had the cores when the whole was timed
            whole_s = time.monotonic() - started
    assert killed >= kills // 3
    done = failmodes("evaluate", folder=folder)
    assert done.returncode == 0, done.stderr
    assert hashes(folder / "out") == hashes(undisturbed / "out")
    keys = rows_of(folder / "out").num_rows
    assert keys == CELLS * 60
    assert not list((folder / "out").rglob(".tmp-*"))


@pytest.mark.slow
@pytest.mark.parametrize("instant", [0, *(pytest.param(n, marks=pytest.mark.corpus) for n in (1, 2)), 3])
def test_kill_9_within_a_parquet_write_leaves_no_half_shard(undisturbed, tmp_path, instant: int) -> None:
    folder = fresh_copy(undisturbed, tmp_path)
    # the process kills itself inside its n-th write: after the temporary file, before the rename
    code = (
        "import os, signal, failmodes.__main__, failmodes.warehouse.storage.files as p; n=[0]; real=os.replace\n"
        "def replace(a, b):\n"
        f"    n[0] += 'results' in str(b) and 'evaluation_id' in str(b)\n"
        f"    (os.kill(os.getpid(), signal.SIGKILL) if n[0] == {1 + 2 * instant} else None)\n"
        "    return real(a, b)\n"
        "p.os.replace = replace\n"
        "import sys; sys.argv = ['failmodes', 'evaluate']; failmodes.__main__.main()"
    )
    killed = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert killed.returncode == 1  # of the process that watches, which says so
    assert killed.stderr.splitlines()[-1].startswith("failmodes: killed"), killed.stderr
    assert list((folder / "out").rglob(".tmp-*"))
    assert failmodes("evaluate", folder=folder).returncode == 0
    assert hashes(folder / "out") == hashes(undisturbed / "out")
    assert not list((folder / "out").rglob(".tmp-*"))


@pytest.mark.slow
def test_killed_training_goes_on_to_the_same_model(undisturbed, tmp_path) -> None:
    write_tiny_study(tmp_path)
    code = (
        "import os, signal, failmodes.__main__, failmodes.evaluate.training as t; save = t.Trainer.save\n"
        "def once(self, path, epochs_done):\n"
        "    save(self, path, epochs_done); os.kill(os.getpid(), signal.SIGKILL)\n"
        "t.Trainer.save = once\n"
        "import sys; sys.argv = ['failmodes', 'train']; failmodes.__main__.main()"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == -signal.SIGKILL
    assert not list(tmp_path.rglob("*.safetensors"))
    assert failmodes("train", folder=tmp_path).returncode == 0
    (ours,), (theirs,) = (list((f / "out" / "checkpoints").glob("*")) for f in (tmp_path, undisturbed))
    assert ours.name == theirs.name
    with safe_open(ours, "pt") as one, safe_open(theirs, "pt") as other:  # the file's own order of metadata is random
        assert one.metadata() == other.metadata()
        names = set(one.keys())
        assert names == set(other.keys())
        assert all(torch.equal(one.get_tensor(name), other.get_tensor(name)) for name in names)


@pytest.mark.slow
def test_interrupt_keeps_finished_shards_and_says_how_to_go_on(undisturbed, tmp_path) -> None:
    folder = fresh_copy(undisturbed, tmp_path)
    process = subprocess.Popen([SCRIPT, "evaluate"], cwd=folder, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list((folder / "out").rglob("results/prediction_facts/**/rows.parquet")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    if process.returncode != 0:  # it may have finished first
        assert process.returncode == 130
        assert "run the same command to go on" in error.splitlines()[-1]
        assert "Traceback" not in error
    assert failmodes("evaluate", folder=folder).returncode == 0
    assert hashes(folder / "out") == hashes(undisturbed / "out")


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_run_goes_on_later(undisturbed, tmp_path) -> None:
    folder = fresh_copy(undisturbed, tmp_path)
    full = failmodes("evaluate", folder=folder, limit_bytes=6000)  # writes beyond it fail, as on a full disk
    assert full.returncode == 1
    assert full.stderr.splitlines()[-1].startswith("failmodes: cannot write ")
    assert "Traceback" not in full.stderr
    assert failmodes("evaluate", folder=folder).returncode == 0
    assert hashes(folder / "out") == hashes(undisturbed / "out")


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, pytest.param(12, marks=pytest.mark.corpus)])
def test_kill_9_during_load_leaves_the_warehouse_whole(undisturbed, tmp_path, kills: int) -> None:
    import duckdb

    folder = tmp_path / "study"
    shutil.copytree(undisturbed, folder)
    warehouse = folder / "out" / "warehouse.duckdb"
    expected = _row_hash(warehouse)
    rng = random.Random(1)
    for _ in range(kills):
        os.utime(warehouse)
        kill_after(rng.uniform(0.3, 2.0), "load", "--rebuild", folder=folder)
        assert _row_hash(warehouse) == expected
    assert failmodes("load", "--rebuild", folder=folder).returncode == 0
    assert _row_hash(warehouse) == expected
    with duckdb.connect(str(warehouse), read_only=True) as con:
        assert con.execute("select count(*) from prediction_facts").fetchone() == (CELLS * 60,)


def _row_hash(warehouse: Path) -> list[tuple]:
    import duckdb

    with duckdb.connect(str(warehouse), read_only=True) as con:
        return [
            con.execute(f"select count(*), bit_xor(hash(t)) from {table} as t").fetchone()
            for table in ("prediction_facts", "attention", "evaluations", "models")
        ]
