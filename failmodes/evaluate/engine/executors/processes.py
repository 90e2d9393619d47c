"""Several processes on this machine, one a GPU: each opens the study for itself and draws tasks until there are none.

Where the system ends one of them, the run ends with an error: what is published stays, and the same command goes on.
"""

import multiprocessing
import os
import pickle
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from failmodes.evaluate.child_processes import begin_worker, deaf_to_interrupts, process_context
from failmodes.evaluate.engine.batches import WorkerSpec
from failmodes.evaluate.engine.executors.executor import open_worker
from failmodes.evaluate.engine.tasks import RunCallbacks, RunResult, Task, waves
from failmodes.evaluate.engine.worker import Worker
from failmodes.evaluate.study.study_schema import Study
from failmodes.warehouse.errors import FailmodesError, LimitError, ModelError, first_line
from failmodes.warehouse.storage.files import remove_stale_temporaries

POLL_S = 0.1  # between two looks at what processes have to say


def run_in_processes(study: Study, count: int, tasks: Sequence[Task], progress: RunCallbacks) -> RunResult:
    """Run all tasks in `count` processes.

    Raises:
        LimitError: one of them was killed.
        FailmodesError: what one of them raised.
    """
    context, result = process_context(), RunResult()
    begun, drawn, messages = context.Value("i", 0), context.Value("i", 0), context.SimpleQueue()
    others = multiprocessing.active_children()
    worker_spec = pickle.dumps(WorkerSpec.of(study))
    pool = ProcessPoolExecutor(count, context, _begin, (worker_spec, count, begun, drawn, messages))
    try:
        for wave in waves(tasks, result):
            drawn.value = 0
            with deaf_to_interrupts():  # processes are started here
                running = [pool.submit(_work, wave) for _ in range(min(count, len(wave)))]
            _take_in(running, messages, progress, result)
    except BaseException as error:
        for process in set(multiprocessing.active_children()).difference(others):
            process.terminate()  # amid its task
        if not isinstance(error, BrokenProcessPool):
            raise
        raise LimitError(
            "a process of this run was killed, most likely for want of memory: set fewer `processes` or a smaller "
            "`batch_size` in [evaluation] and run the same command to go on"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
        for folder in {study.output, study.results_folder}:
            remove_stale_temporaries(folder)
    return result


def _take_in(running: Iterable[Future[RunResult]], messages: Any, progress: RunCallbacks, result: RunResult) -> None:
    """Pass on what processes say until all of them are done."""
    while running:
        done, running = wait(running, POLL_S, FIRST_COMPLETED)
        while not messages.empty():
            progress.call(*messages.get())
        for future in done:
            result.add(future.result())


class _Process:
    """The side of a process: its worker, once there is work, and what it shares with the others."""

    own: "_Process"

    def __init__(self, worker_spec: bytes, count: int, begun: Any, drawn: Any, messages: Any) -> None:
        self.worker_spec, self.count, self.drawn, self.messages = worker_spec, count, drawn, messages
        self.number = _next(begun)
        self.worker: Worker | None = None

    def work(self, tasks: Sequence[Task]) -> RunResult:
        """Draw tasks and run them; batches are made ahead from one task to the next."""
        try:
            if self.worker is None:
                progress = RunCallbacks.sent_by(lambda *message: self.messages.put(message))
                threads = max(1, (os.cpu_count() or 1) // self.count)
                self.worker = open_worker(
                    self.worker_spec, progress, threads=threads, number=self.number, process_count=self.count
                )
            return self.worker.run(self._drawn(tasks))
        except FailmodesError:
            raise
        except Exception as error:  # whatever a user's module raises as it is opened here
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise ModelError(f"process {self.number + 1} of {self.count} failed: {reason}") from error

    def _drawn(self, tasks: Sequence[Task]) -> Iterator[Task]:
        while (number := _next(self.drawn)) < len(tasks):
            yield tasks[number]


def _begin(*shared: Any) -> None:
    begin_worker()
    _Process.own = _Process(*shared)


def _work(tasks: Sequence[Task]) -> RunResult:
    return _Process.own.work(tasks)


def _next(counter: Any) -> int:
    """The number of a counter that processes share; the next one gets the number after it."""
    with counter.get_lock():
        counter.value += 1
        return int(counter.value) - 1
