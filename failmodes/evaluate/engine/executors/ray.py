"""A Ray cluster (the extra `ray`): an actor a GPU, or as many as the study says; the work unit is a cell.

RAY_ADDRESS names a cluster; without it one is started on this machine. Every host needs failmodes, the study's images
and checkpoints at the same paths, and an output or `results` that all of them reach.
"""

import math
import os
import pickle
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from failmodes.evaluate.engine.batches import WorkerSpec
from failmodes.evaluate.engine.tasks import RunCallbacks, RunResult, Task, waves
from failmodes.evaluate.study.study_schema import Study
from failmodes.warehouse.errors import FailmodesError, ModelError, StudyError, first_line

RETRIES = 2  # of a cell whose actor died


def run_on_ray(study: Study, count: int | None, tasks: Sequence[Task], progress: RunCallbacks) -> RunResult:
    """Run all tasks on `count` actors; Ray replaces an actor that dies and has it do its cell again.

    Raises:
        StudyError: there are more actors than CPUs.
        ModelError: a cell has taken down several actors, or an actor failed.
    """
    ray = _import_ray()
    started_here = not ray.is_initialized()
    if started_here:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        resources = actor_resources(ray.cluster_resources(), count)
        options = {"num_gpus": resources.gpu, "num_cpus": 1, "max_restarts": -1, "max_task_retries": RETRIES}
        arguments = pickle.dumps(WorkerSpec.of(study)), list(sys.path), resources.threads
        actor = ray.remote(**options)(RayWorker)
        pool = ray.util.ActorPool([actor.remote(*arguments) for _ in range(min(resources.actors, len(tasks)))])
        return _run_waves(pool, tasks, progress)
    except ray.exceptions.RayActorError as error:
        raise ModelError(
            f"{RETRIES + 1} processes died over one cell ({first_line(error)}): this is often the system ending a "
            "process for want of memory; use fewer processes or a smaller batch_size"
        ) from error
    finally:
        if started_here:
            ray.shutdown()


def _run_waves(pool: Any, tasks: Sequence[Task], progress: RunCallbacks) -> RunResult:
    result = RunResult()
    for wave in waves(tasks, result):
        for task in wave:
            pool.submit(lambda actor, task: actor.run.remote(task), task)
        while pool.has_next():
            messages, outcome = pool.get_next_unordered()
            for message in messages:
                progress.call(*message)
            if isinstance(outcome, FailmodesError):
                raise outcome
            result.add(outcome)
    return result


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

    def run(self, task: Task) -> tuple[list[tuple[str, Any]], RunResult | FailmodesError]:
        """Run a task: what there is to say of it, in order, and its result, or its error, which Ray would wrap."""
        self.messages.clear()
        try:
            if self.worker is None:
                from failmodes.evaluate.engine.executors.executor import open_worker

                progress = RunCallbacks.sent_by(lambda *message: self.messages.append(message))
                self.worker = open_worker(self.worker_spec, progress, threads=self.threads)
            return self.messages, self.worker.run([task])
        except FailmodesError as error:
            return self.messages, error
        except Exception as error:  # whatever a user's module raises as it is opened here
            reason = f"a Ray worker failed: {type(error).__name__}: {first_line(error)}"
            return self.messages, ModelError(reason)


def _import_ray() -> Any:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray
    import ray.util

    return ray
