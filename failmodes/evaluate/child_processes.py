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
from types import FrameType
from typing import Any

from failmodes.warehouse.errors import LimitError

FILES_OF_A_PROCESS = 8  # pipes and sockets that this process holds for one that it starts, and some to spare


def process_context() -> Any:  # typeshed's BaseContext has no Process
    """A multiprocessing context whose processes inherit neither threads nor their locks, as a fork would.

    Raises:
        LimitError: this process may not open the files that another one needs.
    """
    _check_open_files()
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    with deaf_to_interrupts():  # what the server starts inherits it
        forkserver.ensure_running()
    return multiprocessing.get_context("forkserver")


def _check_open_files() -> None:
    """Refuse to begin what would run out of files: the server of processes would print a traceback of its own."""
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
    """Have this process end with its parent, and at SIGTERM without a word: a DataLoader's `worker_init_fn`.

    Torch would report a worker that SIGTERM killed as an error of the loader.
    """
    exit_with_parent()
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))


def unwind_on_termination() -> None:
    """Let the first SIGTERM unwind this process, as Ctrl-C does, and have it ignore those that follow."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)


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
