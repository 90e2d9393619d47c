"""Processes beside this one: how they are started, and that they end with it."""

import multiprocessing
import os
import threading
from typing import Any


def process_context() -> Any:
    """A way to start processes that copies neither threads nor their locks, as a fork would."""
    methods = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")


def exit_with_parent() -> None:
    """End this process once its parent is gone; one that waits to hand something over would outlive a kill for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def identity_collate(item: Any) -> Any:
    """What a DataLoader's worker made, not made a tensor: arrays cross through a pipe, tensors in shared memory."""
    return item
