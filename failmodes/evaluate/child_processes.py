"""Processes beside this one: how they are started, and that they end with it.

A terminal sends Ctrl-C to every process of a command, and whoever manages jobs may send SIGTERM to all. One process
answers for the command: those beside it never see Ctrl-C, and end at SIGTERM without a word.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.context import SpawnContext
from typing import Any

from failmodes.warehouse.errors import LimitError

FILES_OF_A_PROCESS = 8  # pipes and sockets that this process holds for one that it starts, and some to spare


def process_context() -> SpawnContext:
    """A multiprocessing context whose processes inherit neither threads nor their locks, as a fork would.

    Start them within `deaf_to_interrupts`.

    Raises:
        LimitError: this process may not open the files that another one needs.
    """
    _check_open_files()
    return multiprocessing.get_context("spawn")


def _check_open_files() -> None:
    """Refuse to begin what would run out of files: a process that is being started would print a traceback."""
    with ExitStack() as opened:
        try:
            for _ in range(FILES_OF_A_PROCESS):
                opened.enter_context(open(os.devnull, "rb"))
        except OSError as error:
            raise LimitError("too few files may be opened for another process: raise the limit (ulimit -n)") from error


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Have processes that are started in here never get Ctrl-C; this one gets it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # started on the way, it would unblock the signal
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def begin_worker(_worker: int = 0) -> None:
    """Have this process end with its parent, and at SIGTERM without a word; a DataLoader's `worker_init_fn` too.

    Torch would report a worker that SIGTERM killed as an error of the loader.
    """
    exit_with_parent()
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))


def exit_with_parent() -> None:
    """End this process once its parent is gone; one that waits to send something would outlive it for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def identity_collate(item: Any) -> Any:
    """The item as a DataLoader's worker made it: arrays cross through a pipe, tensors would in shared memory."""
    return item
