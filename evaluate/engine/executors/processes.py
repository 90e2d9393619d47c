"""Several processes on this machine, one a GPU: each opens the study for itself and is handed chunks of tasks."""

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from failmodes.evaluate.child_processes import exit_with_parent, process_context
from failmodes.evaluate.devices import choose_device
from failmodes.evaluate.engine.evaluation_data import WorkerSpec
from failmodes.evaluate.engine.executors.executor import clean_cells_first, make_model_runs, make_worker
from failmodes.evaluate.engine.executors.scheduler import TaskChunk, TaskQueue
from failmodes.evaluate.engine.plan import plan_evaluations
from failmodes.evaluate.engine.tasks import RunResult, Task
from failmodes.evaluate.engine.worker import RunCallbacks
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.models.registry import first_line
from failmodes.evaluate.study.study_schema import Study
from failmodes.warehouse.errors import FailmodesError, ModelError

SHUTDOWN_TIMEOUT_S = 10  # that a process has to end by itself


class ProcessExecutor:
    """The executor of several processes; one that dies is replaced, and its tasks go to another."""

    def __init__(self, study: Study, groups: list[list[Evaluation]], count: int) -> None:
        self.study, self.groups, self.count = study, groups, count

    def run(self, tasks: Sequence[Task], progress: RunCallbacks) -> RunResult:
        """Hand out the clean cells, then all others."""
        outcome, set_aside = RunResult(), set[str]()
        make_model_runs(self.study, self.groups)  # tries batch sizes out, once and undisturbed, for all to recall
        hands = [WorkerHandle(self.study, number, self.count) for number in range(min(self.count, len(tasks)))]
        try:
            for wave in clean_cells_first(tasks):
                ledger = TaskQueue(wave, len(hands), set_aside=set_aside)
                self._hand_out(ledger, hands, progress)
                outcome.add(ledger.outcome)
                set_aside = ledger.set_aside
        finally:
            for hand in hands:
                hand.dismiss()
        return outcome

    def _hand_out(self, ledger: TaskQueue, hands: list["WorkerHandle"], progress: RunCallbacks) -> None:
        while True:
            for hand in hands:
                if hand.chunk is None and (chunk := ledger.next_chunk()):
                    hand.give(chunk, ledger.set_aside)
            busy = {hand.connection: hand for hand in hands if hand.chunk is not None}
            if not busy:
                return
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                self._hear(busy[connection], ledger, progress)

    def _hear(self, hand: "WorkerHandle", ledger: TaskQueue, progress: RunCallbacks) -> None:
        try:
            kind, content = hand.connection.recv()
        except (EOFError, ConnectionResetError):
            chunk = hand.chunk
            assert chunk is not None
            hand.replace()
            ledger.give_back(chunk, f"exit code {hand.last_exit}")
            return
        if kind == "images":
            progress.images(content)
        elif kind == "shard":
            progress.shard(content)
            if hand.chunk is not None:
                hand.chunk.published.add(content)
        elif kind == "error":
            raise content
        else:
            ledger.take(content)
            hand.chunk = None


class WorkerHandle:
    """One process and what it is busy with."""

    def __init__(self, study: Study, number: int, count: int) -> None:
        self.opening, self.number, self.count = WorkerSpec.of(study), number, count
        self.last_exit: int | None = None
        self.chunk: TaskChunk | None = None
        self._start()

    def give(self, chunk: TaskChunk, set_aside: set[str]) -> None:
        self.chunk = chunk
        with contextlib.suppress(ConnectionError):  # it died: the next look at its connection says so
            self.connection.send((chunk.tasks, set_aside))

    def replace(self) -> None:
        """Start another process in place of one that died."""
        self.process.join(SHUTDOWN_TIMEOUT_S)
        self.last_exit = self.process.exitcode
        self._start()

    def dismiss(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.send(None)
        self.connection.close()
        self.process.join(SHUTDOWN_TIMEOUT_S)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join()

    def _start(self) -> None:
        self.chunk = None
        self.connection, theirs = multiprocessing.Pipe()
        self.process = process_context().Process(
            target=_serve, args=(theirs, self.opening, self.number, self.count), daemon=False
        )
        self.process.start()
        theirs.close()


def _serve(connection: Connection, opening: WorkerSpec, number: int, count: int) -> None:
    """The life of one process: open the study, do chunks until there are no more."""
    one_at_a_time = threading.Lock()  # shards are told by the thread that publishes, images by this one

    def say(kind: str, content: Any) -> None:
        with one_at_a_time:
            connection.send((kind, content))

    try:
        exit_with_parent()
        device = _device_of(choose_device(opening.study.evaluation.device), number)
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
        study, dataset = opening.open()
        progress = RunCallbacks(images=lambda n: say("images", n), shard=lambda cell: say("shard", cell))
        worker = make_worker(study, plan_evaluations(study, dataset, device), device, progress, share=count)
        while (message := connection.recv()) is not None:
            tasks, set_aside = message
            worker.set_aside |= {worker.members[e].evaluation.model_id for e in set_aside}
            say("done", worker.do(tasks))
    except (KeyboardInterrupt, EOFError, ConnectionError):
        return  # whoever started us is stopping, or gone
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
