"""Executors: several processes and a Ray cluster give the rows of one process, also where a worker is killed."""

import multiprocessing

import pytest
from executor_runs import RAISING, Killer, study_of
from tiny_study import CELLS, hashes, run_study

from failmodes.evaluate.engine.worker import RunCallbacks


@pytest.mark.slow
@pytest.mark.parametrize("killing", [False, True], ids=["undisturbed", "one killed"])
def test_two_processes_give_the_rows_of_one(two_models_output, tmp_path, killing: bool) -> None:
    path = study_of(two_models_output, tmp_path, 'executor = "processes"\nprocesses = 2')
    killer = Killer(lambda: multiprocessing.active_children()[0].pid)
    report = run_study(path, RunCallbacks(shard=killer) if killing else None)
    assert bool(killer.killed) == killing
    assert report.failures == []
    assert hashes(tmp_path / "out") == two_models_output[1]
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
