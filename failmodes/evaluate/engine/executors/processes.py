"""Several processes on this machine, one a GPU: each opens the study for itself and is given chunks of tasks."""

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Collection, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from failmodes.evaluate.allocator import keep_freed_memory
from failmodes.evaluate.child_processes import exit_with_parent, process_context, unwind_on_termination
from failmodes.evaluate.devices import choose_device
from failmodes.evaluate.engine.batches import WorkerSpec
from failmodes.evaluate.engine.executors.executor import make_model_runs, make_worker
from failmodes.evaluate.engine.executors.scheduler import WorkerMessage, run_tasks
from failmodes.evaluate.engine.plan import plan_evaluations
from failmodes.evaluate.engine.tasks import RunResult, Task
from failmodes.evaluate.engine.worker import RunCallbacks
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.study.study_schema import Study
from failmodes.warehouse.errors import FailmodesError, ModelError, first_line

SHUTDOWN_TIMEOUT_S = 10  # that a process has to end by itself


class ProcessExecutor:
    """The executor of several processes; one that dies is replaced, and its tasks go to another."""

    def __init__(self, study: Study, groups: list[list[Evaluation]], count: int) -> None:
        self.study, self.groups, self.count = study, groups, count
        self.workers: list[WorkerHandle] = []

    def run(self, tasks: Sequence[Task], progress: RunCallbacks) -> RunResult:
        """Run all tasks."""
        make_model_runs(self.study, self.groups)  # tries batch sizes out, once and undisturbed, for all to recall
        count = min(self.count, len(tasks))
        try:
            for number in range(count):
                self.workers.append(WorkerHandle(self.study, number, self.count))
            return run_tasks(tasks, self, count, progress)
        except BaseException:
            for worker in self.workers:
                worker.process.terminate()  # all at once, amid their tasks
            raise
        finally:
            for worker in self.workers:
                worker.dismiss()

    def start(self, worker: int, tasks: list[Task], set_aside: set[str]) -> None:
        """Send tasks to a process."""
        with contextlib.suppress(ConnectionError):  # it died: its connection says so when it is read
            self.workers[worker].connection.send((tasks, set_aside))

    def messages(self, busy: Collection[int]) -> Iterator[WorkerMessage]:
        """One message of each process that has one; a process that died is replaced."""
        connections = {self.workers[worker].connection: worker for worker in busy}
        for connection in wait(list(connections)):
            assert isinstance(connection, Connection)
            worker = connections[connection]
            try:
                kind, content = connection.recv()
            except (EOFError, ConnectionResetError):
                kind, content = "died", f"exit code {self.workers[worker].replace()}"
            yield WorkerMessage(worker, kind, content)


class WorkerHandle:
    """One process, and the connection to it."""

    def __init__(self, study: Study, number: int, count: int) -> None:
        self.worker_spec, self.number, self.count = WorkerSpec.of(study), number, count
        self._start()

    def replace(self) -> int | None:
        """Start another process in place of one that died; gives the exit code of that."""
        self.process.join(SHUTDOWN_TIMEOUT_S)
        exit_code: int | None = self.process.exitcode
        self._start()
        return exit_code

    def dismiss(self) -> None:
        """Have the process end."""
        with contextlib.suppress(OSError):
            self.connection.send(None)
        self.connection.close()
        self.process.join(SHUTDOWN_TIMEOUT_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def _start(self) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        process = process_context().Process(
            target=_serve, args=(theirs, self.worker_spec, self.number, self.count), daemon=False
        )
        process.start()
        self.process = process
        theirs.close()


def _serve(connection: Connection, worker_spec: WorkerSpec, number: int, count: int) -> None:
    """What a process does: open the study, run chunks until there are no more."""
    one_at_a_time = threading.Lock()  # the writing thread reports shards, this one images

    def say(kind: str, content: Any) -> None:
        with one_at_a_time:
            connection.send((kind, content))

    try:
        exit_with_parent()
        unwind_on_termination()
        keep_freed_memory()
        device = _device_of(choose_device(worker_spec.study.evaluation.device), number)
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
        study, dataset = worker_spec.open()
        progress = RunCallbacks(
            images=lambda count: say("images", count),
            shard=lambda key: say("shard", key),
            notes=lambda lines: say("notes", lines),
        )
        worker = make_worker(study, plan_evaluations(study, dataset, device), device, progress, process_count=count)
        while (message := connection.recv()) is not None:
            say("done", worker.run(*message))
    except (KeyboardInterrupt, EOFError, ConnectionError):
        return  # the process that started this one is stopping, or gone
    except FailmodesError as error:
        say("error", error)
    except Exception as error:  # whatever a user's module raises as it is opened here
        say("error", ModelError(f"process {number + 1} of {count} failed: {type(error).__name__}: {first_line(error)}"))


def _device_of(device: torch.device, number: int) -> torch.device:
    if device.type != "cuda":
        return device
    device = torch.device("cuda", number % torch.cuda.device_count())
    torch.cuda.set_device(device)  # else whatever names no device would go to the first
    return device
