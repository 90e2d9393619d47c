"""Executors: several processes and a Ray cluster give the rows of one process, also where a worker is killed."""

from pathlib import Path

import pytest
from executor_runs import Killer, study_of
from tiny_study import hashes, run_study, write_tiny_study

from failmodes.evaluate.engine.run import choose_executor
from failmodes.evaluate.engine.tasks import RunCallbacks
from failmodes.evaluate.study.study_file import read_study
from failmodes.warehouse.errors import MissingExtraError, StudyError


def ray_worker() -> int:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and b"ray::RayWorker" in (entry / "cmdline").read_bytes():
            return int(entry.name)
    raise AssertionError("no Ray worker is running")


@pytest.mark.slow
def test_a_ray_cluster_gives_the_rows_of_one_process_though_a_worker_is_killed(
    two_models_output, tmp_path, monkeypatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    path = study_of(two_models_output, tmp_path, 'executor = "ray"\nprocesses = 2')
    killer = Killer(ray_worker)
    report = run_study(path, RunCallbacks(shard=killer))
    assert killer.killed
    assert report.failures == []
    assert hashes(tmp_path / "out") == two_models_output[1]


def test_without_ray_the_error_says_how_to_get_it(tmp_path, monkeypatch) -> None:
    study = read_study(write_tiny_study(tmp_path, extra='[evaluation]\nexecutor = "ray"\n'))
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'pip install "failmodes\[ray\]"'):
        choose_executor(study, [], __import__("torch").device("cpu"))


def test_ray_is_asked_for_what_fits() -> None:
    pytest.importorskip("ray")
    from failmodes.evaluate.engine.executors.ray import ActorResources, actor_resources

    assert actor_resources({"CPU": 16, "GPU": 2}, None) == ActorResources(2, 8, 1.0)
    assert actor_resources({"CPU": 16, "GPU": 2}, 3) == ActorResources(3, 5, 0.5)
    assert actor_resources({"CPU": 2}, None) == ActorResources(1, 2, 0)
    with pytest.raises(StudyError, match="2 CPUs for 3 processes"):
        actor_resources({"CPU": 2}, 3)
