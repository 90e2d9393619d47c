"""A Ray cluster (the extra `ray`): an actor a GPU, or as many as the study says; the work unit is a cell.

RAY_ADDRESS names a cluster; without it one is started on this machine. Every host needs failmodes, the study's images
and checkpoints at the same paths, and an output or `results` that all of them reach.
"""

import math
import os
import pickle
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from failmodes.evaluate.allocator import keep_freed_memory
from failmodes.evaluate.engine.batches import WorkerSpec
from failmodes.evaluate.engine.executors.scheduler import WorkerMessage, run_tasks
from failmodes.evaluate.engine.tasks import RunResult, Task
from failmodes.evaluate.engine.worker import RunCallbacks
from failmodes.evaluate.study.study_schema import Study
from failmodes.warehouse.errors import FailmodesError, ModelError, StudyError, first_line
from failmodes.warehouse.extras import require


class RayExecutor:
    """The executor of a Ray cluster; an actor that dies is replaced, and its cell goes to another."""

    def __init__(self, study: Study, count: int | None) -> None:
        self.study, self.count = study, count
        self.ray = _import_ray()
        self.actors: list[Any] = []
        self.running: dict[Any, int] = {}

    def run(self, tasks: Sequence[Task], progress: RunCallbacks) -> RunResult:
        """Run all tasks."""
        started_here = not self.ray.is_initialized()
        if started_here:
            self.ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            self.resources = actor_resources(self.ray.cluster_resources(), self.count)
            self.actors = [self._actor() for _ in range(min(self.resources.actors, len(tasks)))]
            return run_tasks(tasks, self, len(self.actors), progress, one_by_one=True)
        finally:
            if started_here:
                self.ray.shutdown()

    def start(self, worker: int, tasks: list[Task], set_aside: set[str]) -> None:
        """Send tasks to an actor."""
        self.running[self.actors[worker].run.remote(tasks, set_aside)] = worker

    def messages(self, busy: Collection[int]) -> Iterator[WorkerMessage]:
        """All messages of each actor that is done; an actor that died is replaced."""
        ready, _ = self.ray.wait(list(self.running))
        for call in ready:
            worker = self.running.pop(call)
            try:
                messages = self.ray.get(call)
            except self.ray.exceptions.RayActorError as error:
                self.actors[worker] = self._actor()
                yield WorkerMessage(worker, "died", first_line(error))
            else:
                yield from (WorkerMessage(worker, kind, content) for kind, content in messages)

    def _actor(self) -> Any:
        remote = self.ray.remote(num_gpus=self.resources.gpu, num_cpus=1)(RayWorker)
        worker_spec = pickle.dumps(WorkerSpec.of(self.study))  # opened once the actor's path is set
        return remote.remote(worker_spec, list(sys.path), self.resources.threads)


class ActorResources(NamedTuple):
    """What each actor gets: how many actors there are, threads of each, and its part of a GPU."""

    actors: int
    threads: int
    gpu: float


def actor_resources(resources: Mapping[str, float], requested: int | None) -> ActorResources:
    """As many actors as requested, else one a GPU, else one.

    Each asks Ray for one CPU, so that it fits on any node, and for an equal part of a whole GPU.

    Raises:
        StudyError: there are more actors than CPUs: some would wait for ever.
    """
    cpus, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    count = requested or gpus or 1
    if count > cpus:
        raise StudyError(f"the Ray cluster has {cpus} CPUs for {count} processes: set `processes` to at most {cpus}")
    return ActorResources(count, max(1, cpus // count), 1 / math.ceil(count / gpus) if gpus else 0)


class RayWorker:
    """The side of an actor: opens the study, runs one cell a call."""

    def __init__(self, worker_spec: bytes, search_path: list[str], threads: int) -> None:
        sys.path[:0] = [folder for folder in search_path if folder not in sys.path]
        self.worker_spec, self.threads = worker_spec, threads
        self.worker: Any = None
        self.messages: list[tuple[str, Any]] = []

    def run(self, tasks: list[Task], set_aside: set[str]) -> list[tuple[str, Any]]:
        """Run tasks: what there is to say of them, in order; an error comes back as a value, whole."""
        self.messages.clear()
        try:
            if self.worker is None:
                self.worker = self._open()
            self.messages.append(("done", self.worker.run(tasks, set_aside)))
        except FailmodesError as error:
            self.messages.append(("error", error))
        except Exception as error:  # whatever a user's module raises as it is opened here
            reason = f"a Ray worker failed: {type(error).__name__}: {first_line(error)}"
            self.messages.append(("error", ModelError(reason)))
        return list(self.messages)

    def _open(self) -> Any:
        import torch

        from failmodes.evaluate.devices import choose_device
        from failmodes.evaluate.engine.executors.executor import make_worker
        from failmodes.evaluate.engine.plan import plan_evaluations

        keep_freed_memory()
        torch.set_num_threads(self.threads)
        study, dataset = pickle.loads(self.worker_spec).open()  # our own bytes, from the driver of this run
        device = choose_device(study.evaluation.device)
        progress = RunCallbacks(
            images=lambda count: self.messages.append(("images", count)),
            shard=lambda key: self.messages.append(("shard", key)),
            notes=lambda lines: self.messages.append(("notes", lines)),
        )
        return make_worker(study, plan_evaluations(study, dataset, device), device, progress)


def _import_ray() -> Any:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    require("ray", 'executor = "ray"')
    import ray

    return ray
