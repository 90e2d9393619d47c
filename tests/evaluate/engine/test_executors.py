"""Executors: several processes and a Ray cluster give the rows of one process, also if a worker is killed."""

import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import pytest
from tiny_study import hashes, run_study, write_tiny_study

from failmodes.evaluate.engine.executors import actor_resources, choose_executor
from failmodes.evaluate.engine.tasks import RunCallbacks
from failmodes.evaluate.study.study_file import read_study
from failmodes.runtime.errors import LimitError, MissingExtraError, StudyError
from failmodes.warehouse.shards.format import ShardKey


def study_of(two_models_output, folder: Path, extra: str) -> Path:
    """The same study, its models trained and nothing evaluated, with another executor."""
    shutil.copytree(two_models_output[0] / "checkpoints", folder / "out" / "checkpoints")
    return write_tiny_study(folder, models=2, extra=f"[evaluation]\n{extra}\n")


class Killer:
    """Kills one worker, once, when the first corrupted shard is published."""

    def __init__(self, find) -> None:
        self.find, self.killed = find, 0

    def __call__(self, key: ShardKey) -> None:
        if not key.cell.is_clean and not self.killed:
            self.killed = self.find()
            os.kill(self.killed, signal.SIGKILL)


@pytest.mark.test_all
def test_a_killed_process_is_one_line_and_what_it_wrote_stays(two_models_output, tmp_path) -> None:
    path = study_of(two_models_output, tmp_path, 'executor = "processes"\nprocesses = 2')
    killer = Killer(lambda: multiprocessing.active_children()[0].pid)
    with pytest.raises(LimitError, match="^a process of this run was killed"):
        run_study(path, RunCallbacks(shard=killer))
    assert killer.killed
    assert not multiprocessing.active_children()
    assert hashes(tmp_path / "out").items() <= two_models_output[1].items()
    path.write_text(path.read_text().replace('"processes"\nprocesses = 2', '"here"'))  # which takes less time
    assert run_study(path).existing >= 3  # two clean cells and the one after which it was killed
    assert hashes(tmp_path / "out") == two_models_output[1]


def ray_worker() -> int:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and b"ray::RayWorker" in (entry / "cmdline").read_bytes():
            return int(entry.name)
    raise AssertionError("no Ray worker is running")


@pytest.mark.nightly
def test_a_ray_cluster_gives_the_rows_of_one_process_though_a_worker_is_killed(
    two_models_output, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    path = study_of(two_models_output, tmp_path, 'executor = "ray"\nprocesses = 2')
    killer = Killer(ray_worker)
    report = run_study(path, RunCallbacks(shard=killer))
    assert killer.killed
    assert report.failures == []
    assert hashes(tmp_path / "out") == two_models_output[1]


@pytest.mark.nightly
def test_a_lost_ray_node_is_one_line_and_the_other_nodes_go_on(two_models_output, tmp_path, monkeypatch, capfd) -> None:
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        other = cluster.add_node(num_cpus=1)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        path = study_of(two_models_output, tmp_path, 'executor = "ray"\nprocesses = 2')
        nodes = [other]  # lost while clean images are evaluated, so that corrupted ones are still due
        callbacks = RunCallbacks(shard=lambda _: nodes and cluster.remove_node(nodes.pop(), allow_graceful=False))
        with pytest.raises(LimitError, match="^a node of the Ray cluster was lost"):
            run_study(path, callbacks)
        assert "raylet" not in "".join(capfd.readouterr())
        assert hashes(tmp_path / "out").items() <= two_models_output[1].items()
        cluster.wait_for_nodes()
        with pytest.raises(StudyError, match="1 CPUs for 2 processes"):
            run_study(path)
        path.write_text(path.read_text().replace("processes = 2", "processes = 1"))
        assert run_study(path).existing >= 1
        assert hashes(tmp_path / "out") == two_models_output[1]
    finally:
        cluster.shutdown()


def test_without_ray_the_error_names_the_extra(tmp_path, monkeypatch) -> None:
    study = read_study(write_tiny_study(tmp_path, extra='[evaluation]\nexecutor = "ray"\n'))
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'pip install "failmodes\[ray\]"'):
        choose_executor(study, [], __import__("torch").device("cpu"))


def test_ray_is_asked_for_what_fits() -> None:
    assert actor_resources({"CPU": 16, "GPU": 2}, None) == (2, 8, 1.0)
    assert actor_resources({"CPU": 16, "GPU": 2}, 3) == (3, 5, 0.5)
    assert actor_resources({"CPU": 2}, None) == (1, 2, 0)
    with pytest.raises(StudyError, match="2 CPUs for 3 processes"):
        actor_resources({"CPU": 2}, 3)
