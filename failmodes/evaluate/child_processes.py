"""Child processes: how they start, and that they end with their parent.

A terminal sends Ctrl-C to every process of a command, and a job manager may send SIGTERM to all. Only the main process
reports the interruption: children never receive Ctrl-C, and exit silently at SIGTERM and SIGHUP.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.context import SpawnContext
from typing import Any

from failmodes.runtime.errors import LimitError
from failmodes.runtime.process import TERMINATIONS, unless_nohup

FILES_OF_A_PROCESS = 8  # pipes and sockets that this process needs for a child, with a margin


def process_context() -> SpawnContext:
    """A multiprocessing context whose processes inherit neither threads nor locks, unlike fork.

    Start them within `interrupts_blocked`.

    Raises:
        LimitError: this process cannot open enough files for a child.
    """
    _check_open_files()
    return multiprocessing.get_context("spawn")


def _check_open_files() -> None:
    """Check that enough files can be opened: a failing child would print a traceback."""
    with ExitStack() as opened:
        try:
            for _ in range(FILES_OF_A_PROCESS):
                opened.enter_context(open(os.devnull, "rb"))
        except OSError as error:
            raise LimitError("the limit of open files is too low for another process: raise it (ulimit -n)") from error


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Start processes in this context that never receive Ctrl-C; this process receives it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # if started later, it would unblock the signal
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def begin_worker(_worker: int = 0) -> None:
    """Make this process end with its parent, and silently at SIGTERM and SIGHUP; also a DataLoader's `worker_init_fn`.

    Torch reports a worker killed by a signal as an error of the loader. A process that waits to send to a parent that
    ended would never end.
    """
    for number in unless_nohup(TERMINATIONS):
        signal.signal(number, lambda _number, _frame: os._exit(0))
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def identity_collate(item: Any) -> Any:
    """Return the item of a DataLoader's worker unchanged: arrays pass through a pipe, tensors through shared memory."""
    return item
