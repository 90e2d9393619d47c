"""Processes beside this one: how they are started, and that they end with it."""

import multiprocessing
import os
import threading
from typing import Any


def process_context() -> Any:  # typeshed's BaseContext has no Process
    """A multiprocessing context whose processes inherit neither threads nor their locks, as a fork would."""
    methods = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")


def exit_with_parent(_worker: int = 0) -> None:
    """End this process once its parent is gone; one that waits to send something would outlive it for ever.

    Usable as a DataLoader's `worker_init_fn`, which gets the worker's number.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def identity_collate(item: Any) -> Any:
    """The item as a DataLoader's worker made it: arrays cross through a pipe, tensors would in shared memory."""
    return item
