"""A Ray cluster (the extra `ray`): an actor a GPU, or as many as asked for; the work unit is a cell.

RAY_ADDRESS names a cluster; without it one is started on this machine. Every host needs failmodes, the study's images
and checkpoints at the same paths, and an output or `record` that all of them reach.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

from evaluate.engine.executors.executor import in_two_waves
from evaluate.engine.executors.handing_out import Chunk, Ledger
from evaluate.engine.materials import Opening
from evaluate.engine.tasks import Outcome, Task, undone
from evaluate.engine.worker import Progress
from evaluate.study import Study
from warehouse.errors import FailmodesError, StudyError


class RayCluster:
    """The executor of a Ray cluster; an actor that dies is replaced, and its cell goes to another."""

    def __init__(self, study: Study, count: int | None) -> None:
        self.study, self.count = study, count
        self.ray = _import_ray()

    def run(self, tasks: Sequence[Task], progress: Progress) -> Outcome:
        """Hand out the clean cells, then all others."""
        started_here = not self.ray.is_initialized()
        if started_here:
            self.ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            return self._run(tasks, progress)
        finally:
            if started_here:
                self.ray.shutdown()

    def _run(self, tasks: Sequence[Task], progress: Progress) -> Outcome:
        outcome = Outcome()
        gpus = int(self.ray.cluster_resources().get("GPU", 0))
        count = self.count or gpus or 1
        make = _actor_class(self.ray, self.study, gpus >= count, count)
        actors = [make() for _ in range(min(count, len(tasks)))]
        for wave in in_two_waves(tasks):
            waiting = [task.without(f.evaluation_id for f in outcome.failures) for task in wave]
            ledger = Ledger(waiting, len(actors), one_by_one=True)
            self._hand_out(ledger, actors, make, progress)
            outcome.add(ledger.outcome)
        return outcome

    def _hand_out(self, ledger: Ledger, actors: list[Any], make: Any, progress: Progress) -> None:
        idle = list(range(len(actors)))
        busy: dict[Any, tuple[int, Chunk]] = {}
        while True:
            while idle and (chunk := ledger.next_chunk()):
                number = idle.pop()
                busy[actors[number].do.remote(chunk.tasks, ledger.set_aside)] = (number, chunk)
            if not busy:
                return
            ready, _ = self.ray.wait(list(busy))
            for reference in ready:
                number, chunk = busy.pop(reference)
                try:
                    result = self.ray.get(reference)
                except self.ray.exceptions.RayActorError as error:
                    actors[number] = make()
                    chunk.tasks = undone(self.study, chunk.tasks)
                    if chunk.tasks:
                        ledger.give_back(chunk, str(error).splitlines()[0])
                else:
                    _take(result, ledger, progress)
                idle.append(number)


class RemoteWorker:
    """The side of an actor: opens the study, does one cell a call."""

    def __init__(self, opening: bytes, search_path: list[str], threads: int) -> None:
        sys.path[:0] = [folder for folder in search_path if folder not in sys.path]
        import pickle

        import torch

        from evaluate.devices import choose_device
        from evaluate.engine.executors.executor import make_worker
        from evaluate.engine.plan import plan

        torch.set_num_threads(threads)
        self.events: list[tuple[str, Any]] = []
        study, dataset = pickle.loads(opening).open()  # noqa: S301  # our own bytes, from the driver of this run
        device = choose_device(study.evaluation.device)
        progress = Progress(
            images=lambda count: self.events.append(("images", count)),
            shard=lambda cell: self.events.append(("shard", cell)),
        )
        self.worker = make_worker(study, plan(study, dataset, device), device, progress)

    def do(self, tasks: list[Task], set_aside: set[str]) -> tuple[Outcome | FailmodesError, list[tuple[str, Any]]]:
        """Do tasks; an error that is meant for the user comes back as a value, whole."""
        self.worker.set_aside |= {self.worker.members[e].evaluation.model_id for e in set_aside}
        self.events.clear()
        try:
            return self.worker.do(tasks), list(self.events)
        except FailmodesError as error:
            return error, list(self.events)


def _take(result: tuple[Outcome | FailmodesError, list[tuple[str, Any]]], ledger: Ledger, progress: Progress) -> None:
    outcome, events = result
    for kind, content in events:
        (progress.images if kind == "images" else progress.shard)(content)
    if isinstance(outcome, FailmodesError):
        raise outcome
    ledger.outcome.add(outcome)


def _actor_class(ray: Any, study: Study, on_gpus: bool, count: int) -> Any:
    cpus = max(1, int(ray.cluster_resources().get("CPU", 1)) // count)
    remote = ray.remote(num_gpus=1 if on_gpus else 0, num_cpus=cpus)(RemoteWorker)
    opening = Opening.of(study).to_bytes()
    return lambda: remote.remote(opening, list(sys.path), cpus)


def _import_ray() -> Any:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise StudyError(
            'executor "ray" needs Ray: install it with `pip install "failmodes[ray]"`, or set executor = "auto"'
        ) from error
    return ray
