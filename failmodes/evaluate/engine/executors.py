"""Executors run the tasks of a study: in this process, in several on this machine, or on a Ray cluster.

Several processes (default: one per GPU) each open the study and run their share of the tasks. If one of them is killed,
the run ends with an error; published shards remain, and the same command resumes.

Ray (extra `ray`) runs one actor per GPU, or as many as the study sets, on the cluster at RAY_ADDRESS or on this
machine. Every host needs failmodes, the study's images and checkpoints at the same paths, and access to the output or
`results`.
"""

import math
import multiprocessing
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, redirect_stdout
from functools import partial
from io import StringIO
from typing import Any, ClassVar

import torch

from failmodes.evaluate.child_processes import begin_worker, interrupts_blocked, process_context
from failmodes.evaluate.engine.batches import pickle_study
from failmodes.evaluate.engine.tasks import Executor, RunCallbacks, RunResult, Task, waves
from failmodes.evaluate.engine.worker import Worker, make_worker, open_worker
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.study.study_schema import Study
from failmodes.runtime.errors import FailmodesError, LimitError, ModelError, StudyError, first_line
from failmodes.runtime.packages import require
from failmodes.runtime.storage.files import remove_stale_temporaries

POLL_S = 0.1  # interval between reading messages of processes
RETRIES = 2  # of a cell after its actor died
WAIT_S = 5  # for a cell, until nodes of the cluster are asked for
LOST_NODE = (
    "a node of the Ray cluster was lost or cannot be reached: what is written remains, and the same command resumes on "
    "the other nodes (with at most as many `processes` as they have CPUs)"
)


def choose_executor(study: Study, groups: list[list[Evaluation]], device: torch.device) -> Executor:
    """The executor of a study; "auto" uses one process per GPU if there are several, otherwise this process.

    Models in memory always run in this process.

    Raises:
        MissingExtraError: the study uses Ray, which is not installed.
    """
    settings = study.evaluation
    is_live = any(spec.live is not None for spec in study.models)  # another process could not open it
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    if settings.executor == "ray" and not is_live:
        require("ray", 'executor = "ray"')
        return partial(run_on_ray, study, settings.processes)
    count = settings.processes or max(1, gpus)
    if is_live or settings.executor == "here" or (settings.executor == "auto" and count == 1):
        return partial(run_here, study, groups, device)
    return partial(run_in_processes, study, count)


def run_here(
    study: Study, groups: list[list[Evaluation]], device: torch.device, tasks: Sequence[Task], progress: RunCallbacks
) -> RunResult:
    """Run all tasks in this process, one after the other."""
    return make_worker(study, groups, device, progress).run(tasks)


class RemoteWorker:
    """The worker of a process started for a run; it opens the study at its first task.

    Args:
        pickled_study: from `pickle_study`.
        send: sends a message to the main process, see `RunCallbacks.sent_by`.
        name: name of the process in errors.
        threads: number of threads of its models.
        shares: number of the process, and of all processes, on its machine, see `open_worker`.

    Attributes:
        of_process: that of a process of `run_in_processes`.
    """

    of_process: ClassVar["RemoteWorker"]

    def __init__(
        self, pickled_study: bytes, send: Callable[[tuple[str, Any]], None], name: str, *, threads: int, **shares: int
    ) -> None:
        self.name = name
        self.open = partial(open_worker, pickled_study, RunCallbacks.sent_by(send), threads=threads, **shares)
        self.worker: Worker | None = None

    def run(self, tasks: Iterable[Task]) -> RunResult:
        """Run tasks; batches are prepared ahead across tasks.

        Raises:
            FailmodesError: also for any error of a user's module.
        """
        try:
            self.worker = self.worker or self.open()
            return self.worker.run(tasks)
        except FailmodesError:
            raise
        except Exception as error:
            raise ModelError(f"{self.name} failed: {type(error).__name__}: {first_line(error)}") from error


def run_in_processes(study: Study, count: int, tasks: Sequence[Task], progress: RunCallbacks) -> RunResult:
    """Run all tasks in `count` processes.

    Raises:
        LimitError: a process was killed.
        FailmodesError: a process raised it.
    """
    context = process_context()
    result = RunResult()
    started = context.Value("i", 0)
    messages = context.SimpleQueue()
    others = multiprocessing.active_children()
    pickled_study = pickle_study(study)
    pool = ProcessPoolExecutor(count, context, _begin, (pickled_study, count, started, messages))
    try:
        for wave in waves(tasks, result):
            with interrupts_blocked():  # processes start here
                running = [pool.submit(_work, wave[number::count]) for number in range(min(count, len(wave)))]
            _take_in(running, messages, progress, result)
    except BaseException as error:
        for process in set(multiprocessing.active_children()).difference(others):
            process.terminate()  # during its task
        if not isinstance(error, BrokenProcessPool):
            raise
        raise LimitError(
            "a process of this run was killed, most likely out of memory: set fewer `processes` or a smaller "
            "`batch_size` in [evaluation] and rerun the command to resume"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
        for folder in {study.output, study.results_folder}:
            remove_stale_temporaries(folder)
    return result


def _take_in(running: Iterable[Future[RunResult]], messages: Any, progress: RunCallbacks, result: RunResult) -> None:
    """Forward messages and collect results until all processes are done."""
    while running:
        done, running = wait(running, POLL_S, FIRST_COMPLETED)
        while not messages.empty():
            progress.call(*messages.get())
        for future in done:
            result.add(future.result())


def _begin(pickled_study: bytes, count: int, started: Any, messages: Any) -> None:
    """Begin one of `count` processes; `started` counts them."""
    begin_worker()
    with started.get_lock():
        number = started.value
        started.value += 1
    RemoteWorker.of_process = RemoteWorker(
        pickled_study, messages.put, f"process {number + 1} of {count}",
        threads=max(1, (os.cpu_count() or 1) // count), number=number, process_count=count,
    )  # fmt: skip


def _work(tasks: Sequence[Task]) -> RunResult:
    return RemoteWorker.of_process.run(tasks)


def run_on_ray(study: Study, count: int | None, tasks: Sequence[Task], progress: RunCallbacks) -> RunResult:
    """Run all tasks on `count` actors; Ray restarts an actor that dies and repeats its cell.

    Raises:
        StudyError: there are more actors than CPUs.
        LimitError: a node of the cluster was lost.
        ModelError: several actors died on one cell, or an actor failed.
    """
    ray = _import_ray()
    with _connected(ray):
        actors, threads, gpu = actor_resources(ray.cluster_resources(), count)
        options = {"num_gpus": gpu, "num_cpus": 1, "max_restarts": -1, "max_task_retries": RETRIES}
        arguments = pickle_study(study), list(sys.path), threads
        actor = ray.remote(**options)(RayWorker)
        pool = ray.util.ActorPool([actor.remote(*arguments) for _ in range(min(actors, len(tasks)))])
        check = partial(_refuse_lost_nodes, ray, _alive(ray))
        try:
            return _run_waves(pool, check, tasks, progress)
        except ray.exceptions.ActorUnavailableError as error:
            raise LimitError(LOST_NODE) from error
        except ray.exceptions.RayActorError as error:
            check()
            raise ModelError(
                f"{RETRIES + 1} processes died on one cell ({first_line(error)}), most likely out of memory: use fewer "
                "processes or a smaller batch_size"
            ) from error


def _refuse_lost_nodes(ray: Any, former: Collection[str]) -> None:
    """Raise LimitError if one of the former nodes is lost: Ray would wait for another one, without an end."""
    if not _alive(ray) >= set(former):
        raise LimitError(LOST_NODE)


def _alive(ray: Any) -> set[str]:
    """IDs of the nodes that are connected."""
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


@contextmanager
def _connected(ray: Any) -> Iterator[None]:
    """A connection to the cluster, without the logs of dead processes, which Ray prints to stdout."""
    started_here = not ray.is_initialized()
    with redirect_stdout(StringIO()):
        if started_here:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            yield
        finally:
            if started_here:
                ray.shutdown()


def _run_waves(pool: Any, check: Callable[[], None], tasks: Sequence[Task], progress: RunCallbacks) -> RunResult:
    """Run tasks on the actors of a pool; `check` is called while none finishes."""
    result = RunResult()
    for wave in waves(tasks, result):
        for task in wave:
            pool.submit(lambda actor, task: actor.run.remote(task), task)
        while pool.has_next():
            try:
                messages, outcome = pool.get_next_unordered(timeout=WAIT_S)
            except TimeoutError:
                check()
                continue
            for message in messages:
                progress.call(*message)
            if isinstance(outcome, FailmodesError):
                raise outcome
            result.add(outcome)
    return result


def actor_resources(resources: Mapping[str, float], requested: int | None) -> tuple[int, int, float]:
    """Resources of actors: as many as requested, otherwise one per GPU, otherwise one.

    Each requests one CPU, so that it fits on any node, and an equal share of a GPU.

    Returns:
        Number of actors, threads of each, and its share of a GPU.

    Raises:
        StudyError: there are more actors than CPUs, so that some would wait forever.
    """
    cpus, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    count = requested or gpus or 1
    if count > cpus:
        raise StudyError(f"the Ray cluster has {cpus} CPUs for {count} processes: set `processes` to at most {cpus}")
    return count, max(1, cpus // count), 1 / math.ceil(count / gpus) if gpus else 0


class RayWorker:
    """A Ray actor: opens the study and runs one cell per call."""

    def __init__(self, pickled_study: bytes, search_path: list[str], threads: int) -> None:
        sys.path[:0] = [folder for folder in search_path if folder not in sys.path]
        self.messages: list[tuple[str, Any]] = []
        self.worker = RemoteWorker(pickled_study, self.messages.append, "a Ray worker", threads=threads)

    def run(self, task: Task) -> tuple[list[tuple[str, Any]], RunResult | FailmodesError]:
        """Run a task; returns its messages in order, and its result or error (Ray would wrap a raised error)."""
        self.messages.clear()
        try:
            return self.messages, self.worker.run([task])
        except FailmodesError as error:
            return self.messages, error


def _import_ray() -> Any:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray
    import ray.util

    return ray
