"""A Ray cluster (the extra `ray`): an actor a GPU, or as many as asked for; the work unit is a cell.

RAY_ADDRESS names a cluster; without it one is started on this machine. Every host needs failmodes, the study's images
and checkpoints at the same paths, and an output or `record` that all of them reach.
"""

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from evaluate.engine.executors.executor import in_two_waves
from evaluate.engine.executors.handing_out import Chunk, Ledger
from evaluate.engine.materials import Opening
from evaluate.engine.tasks import Outcome, Task
from evaluate.engine.worker import Progress
from evaluate.models.naming import first_line
from evaluate.study import Study
from warehouse.errors import FailmodesError, ModelError, StudyError


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
        outcome, set_aside = Outcome(), set[str]()
        share = _share(self.ray.cluster_resources(), self.count)
        make = _actor_maker(self.ray, self.study, share)
        actors = [make() for _ in range(min(share.actors, len(tasks)))]
        for wave in in_two_waves(tasks):
            ledger = Ledger(wave, len(actors), one_by_one=True, set_aside=set_aside)
            self._hand_out(ledger, actors, make, progress)
            outcome.add(ledger.outcome)
            set_aside = ledger.set_aside
        return outcome

    def _hand_out(self, ledger: Ledger, actors: list[Any], make: Callable[[], Any], progress: Progress) -> None:
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
                    ledger.give_back(chunk, first_line(error))
                else:
                    _take(result, ledger, progress)
                idle.append(number)


class Share(NamedTuple):
    """What each actor gets: how many actors there are, threads of each, and its part of a GPU."""

    actors: int
    threads: int
    gpu: float


def _share(resources: Mapping[str, float], wanted: int | None) -> Share:
    """As many actors as asked for, else one a GPU, else one.

    Each asks Ray for one CPU, so that it fits on any node, and for an equal part of a whole GPU.

    Raises:
        StudyError: there are more actors than CPUs: some would wait for ever.
    """
    cpus, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    count = wanted or gpus or 1
    if count > cpus:
        raise StudyError(f"the Ray cluster has {cpus} CPUs for {count} processes: set `processes` to at most {cpus}")
    return Share(count, max(1, cpus // count), 1 / math.ceil(count / gpus) if gpus else 0)


class RemoteWorker:
    """The side of an actor: opens the study, does one cell a call."""

    def __init__(self, opening: bytes, search_path: list[str], threads: int) -> None:
        sys.path[:0] = [folder for folder in search_path if folder not in sys.path]
        self.opening, self.threads = opening, threads
        self.worker: Any = None
        self.events: list[tuple[str, Any]] = []

    def do(self, tasks: list[Task], set_aside: set[str]) -> tuple[Outcome | FailmodesError, list[tuple[str, Any]]]:
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

        from evaluate.devices import choose_device
        from evaluate.engine.executors.executor import make_worker
        from evaluate.engine.plan import plan

        torch.set_num_threads(self.threads)
        study, dataset = pickle.loads(self.opening).open()  # our own bytes, from the driver of this run
        device = choose_device(study.evaluation.device)
        progress = Progress(
            images=lambda count: self.events.append(("images", count)),
            shard=lambda cell: self.events.append(("shard", cell)),
        )
        return make_worker(study, plan(study, dataset, device), device, progress)


def _take(result: tuple[Outcome | FailmodesError, list[tuple[str, Any]]], ledger: Ledger, progress: Progress) -> None:
    outcome, events = result
    for kind, content in events:
        (progress.images if kind == "images" else progress.shard)(content)
    if isinstance(outcome, FailmodesError):
        raise outcome
    ledger.take(outcome)


def _actor_maker(ray: Any, study: Study, share: Share) -> Callable[[], Any]:
    remote = ray.remote(num_gpus=share.gpu, num_cpus=1)(RemoteWorker)
    opening = Opening.of(study).to_bytes()
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
