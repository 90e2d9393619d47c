"""Executors: several processes and a Ray cluster give the rows of one process, also where a worker is killed."""

import multiprocessing

import pytest
from executor_runs import Killer, study_of
from tiny_study import hashes, run_study

from failmodes.evaluate.engine.tasks import RunCallbacks
from failmodes.warehouse.errors import LimitError


@pytest.mark.slow
def test_a_killed_process_is_one_line_and_what_it_wrote_stays(two_models_output, tmp_path) -> None:
    path = study_of(two_models_output, tmp_path, 'executor = "processes"\nprocesses = 2')
    killer = Killer(lambda: multiprocessing.active_children()[0].pid)
    with pytest.raises(LimitError, match="^a process of this run was killed"):
        run_study(path, RunCallbacks(shard=killer))
    assert killer.killed
    assert not multiprocessing.active_children()
    assert hashes(tmp_path / "out").items() <= two_models_output[1].items()
    assert run_study(path).existing >= 3  # two clean cells and the one after which it was killed
    assert hashes(tmp_path / "out") == two_models_output[1]
