"""Executors: several processes and a Ray cluster give the rows of one process, also where a worker is killed."""

import multiprocessing
import os
import signal
import subprocess
import time

import pytest
from executor_runs import RAISING, Killer, study_of
from fault_trials import processes_of
from installed_script import SCRIPT
from tiny_study import CELLS, hashes, run_study

from failmodes.evaluate.engine.tasks import RunCallbacks
from failmodes.warehouse.errors import FailmodesError, LimitError


@pytest.mark.slow
def test_two_processes_give_the_rows_of_one(two_models_output, tmp_path) -> None:
    path = study_of(two_models_output, tmp_path, 'executor = "processes"\nprocesses = 2')
    shards, images, notes = [], [], []
    report = run_study(path, RunCallbacks(shard=shards.append, images=images.append, notes=notes.append))
    assert (report.written, report.failures) == (2 * CELLS, [])
    assert hashes(tmp_path / "out") == two_models_output[1]
    assert (len(set(shards)), sum(images)) == (2 * CELLS, 2 * CELLS * 60)
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_killed_process_is_one_line_and_what_it_wrote_stays(two_models_output, tmp_path) -> None:
    path = study_of(two_models_output, tmp_path, 'executor = "processes"\nprocesses = 2')
    killer = Killer(lambda: multiprocessing.active_children()[0].pid)
    with pytest.raises(LimitError, match=r"^a process of this run was killed.*`processes`.*run the same command"):
        run_study(path, RunCallbacks(shard=killer))
    assert killer.killed
    assert not multiprocessing.active_children()
    assert not list(tmp_path.rglob(".tmp-*"))
    kept = hashes(tmp_path / "out")
    assert len(kept) > 2
    assert kept.items() <= two_models_output[1].items()
    report = run_study(path)
    assert report.existing >= 3  # two clean cells and the one after which it was killed
    assert hashes(tmp_path / "out") == two_models_output[1]


@pytest.mark.slow
@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_that_all_processes_get_is_one_line_and_leaves_none(two_models_output, tmp_path, sign, code) -> None:
    path = study_of(two_models_output, tmp_path, 'executor = "processes"\nprocesses = 2')
    run = subprocess.Popen(
        [SCRIPT, "evaluate"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 240
    while not list(tmp_path.rglob("results/prediction_facts/**/rows.parquet")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(run.pid, sign)
    said = run.communicate(timeout=120)[1]
    assert run.returncode == code, said
    assert "run the same command to go on" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert "Process " not in said
    assert processes_of(run.pid) == []
    assert not list(tmp_path.rglob(".tmp-*"))
    assert hashes(tmp_path / "out").items() <= two_models_output[1].items()
    assert run_study(path).existing >= 1
    assert hashes(tmp_path / "out") == two_models_output[1]


@pytest.mark.slow
def test_an_error_of_the_users_code_in_a_process_is_one_line(two_models_output, tmp_path) -> None:
    path = study_of(two_models_output, tmp_path, 'executor = "processes"\nprocesses = 2')
    (tmp_path / "my_own.py").write_text(
        "import multiprocessing\n"
        "if multiprocessing.parent_process():\n    raise ZeroDivisionError('only here')\n\n"
        "def fault(images, parameters):\n    return images\n"
    )
    path.write_text(path.read_text().replace('"contrast", "gaussian_noise"', '"my_own:fault"'))
    with pytest.raises(FailmodesError, match="only here"):
        run_study(path)
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_model_that_raises_in_a_process_is_set_aside_for_all(two_models_output, tmp_path) -> None:
    path = study_of(two_models_output, tmp_path, 'executor = "processes"\nprocesses = 2')
    (tmp_path / "raising.py").write_text(RAISING)
    path.write_text(path.read_text() + '[[models]]\nlabel = "Mine"\narchitecture = "raising:Raising"\n')
    report = run_study(path)
    assert [failure.model_label for failure in report.failures] == ["Mine"]
    assert "ValueError: three batches are enough" in report.failures[0].reason
    assert report.written >= 2 * CELLS  # its clean cell too, and one more where the other process had not heard yet
    assert two_models_output[1].items() <= hashes(tmp_path / "out").items()
