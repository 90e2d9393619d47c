"""A Ray cluster (the extra `ray`): an actor a GPU, or as many as asked for; the work unit is a cell.

RAY_ADDRESS names a cluster; without it one is started on this machine. Every host needs failmodes, the study's images
and checkpoints at the same paths, and an output or `record` that all of them reach.
"""

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from failmodes.evaluate.engine.evaluation_data import WorkerSpec
from failmodes.evaluate.engine.executors.executor import clean_cells_first
from failmodes.evaluate.engine.executors.scheduler import TaskChunk, TaskQueue
from failmodes.evaluate.engine.tasks import RunResult, Task
from failmodes.evaluate.engine.worker import RunCallbacks
from failmodes.evaluate.models.registry import first_line
from failmodes.evaluate.study.study_schema import Study
from failmodes.warehouse.errors import FailmodesError, ModelError, StudyError


class RayExecutor:
    """The executor of a Ray cluster; an actor that dies is replaced, and its cell goes to another."""

    def __init__(self, study: Study, count: int | None) -> None:
        self.study, self.count = study, count
        self.ray = _import_ray()

    def run(self, tasks: Sequence[Task], progress: RunCallbacks) -> RunResult:
        """Hand out the clean cells, then all others."""
        started_here = not self.ray.is_initialized()
        if started_here:
            self.ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            return self._run(tasks, progress)
        finally:
            if started_here:
                self.ray.shutdown()

    def _run(self, tasks: Sequence[Task], progress: RunCallbacks) -> RunResult:
        outcome, set_aside = RunResult(), set[str]()
        share = _share(self.ray.cluster_resources(), self.count)
        make = _actor_maker(self.ray, self.study, share)
        actors = [make() for _ in range(min(share.actors, len(tasks)))]
        for wave in clean_cells_first(tasks):
            ledger = TaskQueue(wave, len(actors), one_by_one=True, set_aside=set_aside)
            self._hand_out(ledger, actors, make, progress)
            outcome.add(ledger.outcome)
            set_aside = ledger.set_aside
        return outcome

    def _hand_out(self, ledger: TaskQueue, actors: list[Any], make: Callable[[], Any], progress: RunCallbacks) -> None:
        idle = list(range(len(actors)))
        busy: dict[Any, tuple[int, TaskChunk]] = {}
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
                    ledger.give_back(chunk, first_line(error))
                else:
                    _take(result, ledger, progress)
                idle.append(number)


class ActorResources(NamedTuple):
    """What each actor gets: how many actors there are, threads of each, and its part of a GPU."""

    actors: int
    threads: int
    gpu: float


def _share(resources: Mapping[str, float], wanted: int | None) -> ActorResources:
    """As many actors as asked for, else one a GPU, else one.

    Each asks Ray for one CPU, so that it fits on any node, and for an equal part of a whole GPU.

    Raises:
        StudyError: there are more actors than CPUs: some would wait for ever.
    """
    cpus, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    count = wanted or gpus or 1
    if count > cpus:
        raise StudyError(f"the Ray cluster has {cpus} CPUs for {count} processes: set `processes` to at most {cpus}")
    return ActorResources(count, max(1, cpus // count), 1 / math.ceil(count / gpus) if gpus else 0)


class RayWorker:
    """The side of an actor: opens the study, does one cell a call."""

    def __init__(self, opening: bytes, search_path: list[str], threads: int) -> None:
        sys.path[:0] = [folder for folder in search_path if folder not in sys.path]
        self.opening, self.threads = opening, threads
        self.worker: Any = None
        self.events: list[tuple[str, Any]] = []

    def do(self, tasks: list[Task], set_aside: set[str]) -> tuple[RunResult | FailmodesError, list[tuple[str, Any]]]:
        """Do tasks; an error comes back as a value, whole."""
        self.events.clear()
        try:
            if self.worker is None:
                self.worker = self._open()
            self.worker.set_aside |= {self.worker.members[e].evaluation.model_id for e in set_aside}
            return self.worker.do(tasks), list(self.events)
        except FailmodesError as error:
            return error, list(self.events)
        except Exception as error:  # whatever a user's module raises as it is opened here
            said = f"a Ray worker failed: {type(error).__name__}: {first_line(error)}"
            return ModelError(said), list(self.events)

    def _open(self) -> Any:
        import pickle

        import torch

        from failmodes.evaluate.devices import choose_device
        from failmodes.evaluate.engine.executors.executor import make_worker
        from failmodes.evaluate.engine.plan import plan_evaluations

        torch.set_num_threads(self.threads)
        study, dataset = pickle.loads(self.opening).open()  # our own bytes, from the driver of this run
        device = choose_device(study.evaluation.device)
        progress = RunCallbacks(
            images=lambda count: self.events.append(("images", count)),
            shard=lambda cell: self.events.append(("shard", cell)),
        )
        return make_worker(study, plan_evaluations(study, dataset, device), device, progress)


def _take(
    result: tuple[RunResult | FailmodesError, list[tuple[str, Any]]], ledger: TaskQueue, progress: RunCallbacks
) -> None:
    outcome, events = result
    for kind, content in events:
        (progress.images if kind == "images" else progress.shard)(content)
    if isinstance(outcome, FailmodesError):
        raise outcome
    ledger.take(outcome)


def _actor_maker(ray: Any, study: Study, share: ActorResources) -> Callable[[], Any]:
    remote = ray.remote(num_gpus=share.gpu, num_cpus=1)(RayWorker)
    opening = WorkerSpec.of(study).to_bytes()
    return lambda: remote.remote(opening, list(sys.path), share.threads)


def _import_ray() -> Any:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise StudyError(
            'executor "ray" needs Ray: install it with `pip install "failmodes[ray]"`, or set executor = "auto"'
        ) from error
    return ray
