"""Executors: several processes and a Ray cluster give the rows of one process, also where a worker is killed."""

import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import pytest

from failmodes.evaluate.engine.run import RunReport, choose_executor, evaluate_study
from failmodes.evaluate.engine.worker import RunCallbacks
from failmodes.evaluate.study.reading import read_study
from failmodes.evaluate.study_models import train_missing
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.shards.format import ShardKey
from tests.test_faults import RAISING
from tests.tiny_study import CELLS, hashes, write_tiny_study


def run(path: Path, progress: RunCallbacks | None = None) -> RunReport:
    study = read_study(path)
    dataset = open_dataset(study.dataset, study.cache)
    train_missing(study, dataset)
    return evaluate_study(study, dataset, progress=progress)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    path = write_tiny_study(tmp_path_factory.mktemp("two"), models=2)
    run(path)
    return path.parent / "out", hashes(path.parent / "out")


def study_of(finished, folder: Path, extra: str) -> Path:
    """The same study, its networks trained and nothing evaluated, with another executor."""
    shutil.copytree(finished[0] / "checkpoints", folder / "out" / "checkpoints")
    return write_tiny_study(folder, models=2, extra=f"[evaluation]\n{extra}\n")


class Killer:
    """Kills one worker, once, when the first corrupted shard is published."""

    def __init__(self, find) -> None:
        self.find, self.killed = find, 0

    def __call__(self, cell: ShardKey) -> None:
        if not cell.is_clean and not self.killed:
            self.killed = self.find()
            os.kill(self.killed, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("killing", [False, True], ids=["undisturbed", "one killed"])
def test_two_processes_give_the_rows_of_one(finished, tmp_path, killing: bool) -> None:
    path = study_of(finished, tmp_path, 'executor = "processes"\nprocesses = 2')
    killer = Killer(lambda: multiprocessing.active_children()[0].pid)
    report = run(path, RunCallbacks(shard=killer) if killing else None)
    assert bool(killer.killed) == killing
    assert report.failures == []
    assert hashes(tmp_path / "out") == finished[1]
    assert not multiprocessing.active_children()


def ray_worker() -> int:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and b"RemoteWorker" in (entry / "cmdline").read_bytes():
            return int(entry.name)
    raise AssertionError("no Ray worker is running")


@pytest.mark.slow
def test_a_ray_cluster_gives_the_rows_of_one_process_though_a_worker_is_killed(finished, tmp_path, monkeypatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    path = study_of(finished, tmp_path, 'executor = "ray"\nprocesses = 2')
    killer = Killer(ray_worker)
    report = run(path, RunCallbacks(shard=killer))
    assert killer.killed
    assert report.failures == []
    assert hashes(tmp_path / "out") == finished[1]


@pytest.mark.slow
def test_a_network_that_raises_in_a_process_is_set_aside_for_all(finished, tmp_path) -> None:
    path = study_of(finished, tmp_path, 'executor = "processes"\nprocesses = 2')
    (tmp_path / "raising.py").write_text(RAISING)
    path.write_text(path.read_text() + '[[models]]\nlabel = "Mine"\narchitecture = "raising:Raising"\n')
    report = run(path)
    assert [failure.model_label for failure in report.failures] == ["Mine"]
    assert "ValueError: three batches are enough" in report.failures[0].reason
    assert report.made >= 2 * CELLS  # its clean cell too, and one more where the other process had not heard yet
    assert finished[1].items() <= hashes(tmp_path / "out").items()


def test_without_ray_the_error_says_how_to_get_it(finished, tmp_path, monkeypatch) -> None:
    study = read_study(study_of(finished, tmp_path, 'executor = "ray"'))
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(StudyError, match=r'pip install "failmodes\[ray\]"'):
        choose_executor(study, [], __import__("torch").device("cpu"))


def test_ray_is_asked_for_what_fits() -> None:
    pytest.importorskip("ray")
    from failmodes.evaluate.engine.executors.ray import ActorResources, _share

    assert _share({"CPU": 16, "GPU": 2}, None) == ActorResources(2, 8, 1.0)
    assert _share({"CPU": 16, "GPU": 2}, 3) == ActorResources(3, 5, 0.5)
    assert _share({"CPU": 2}, None) == ActorResources(1, 2, 0)
    with pytest.raises(StudyError, match="2 CPUs for 3 processes"):
        _share({"CPU": 2}, 3)
