"""One at a time: a lock that the system frees when its holder dies, and the run of a study under it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.storage.atomic import make_folder, storage_errors

RUN_LOCK = ".run.lock"


@contextmanager
def file_lock(lock_path: Path, message: str) -> Iterator[None]:
    """Hold the lock of the file `lock_path`, or refuse at once.

    The file stays where it is (removing it would let two processes hold "the" lock) and names its holder. Processes
    forked inside hold the lock too, until the last one has ended.

    Args:
        lock_path: a local file, made with its folder where it is missing.
        message: what to say where another holds it; "{process}" in it becomes "process 123".

    Raises:
        WarehouseError: another process, or another place of this one, holds it.
        StorageError: the file cannot be written, or its file system knows no locks.
    """
    make_folder(lock_path.parent)
    with storage_errors(lock_path):
        handle = lock_path.open("a+", encoding="utf-8")
    with handle:
        with storage_errors(lock_path):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                handle.seek(0)
                number = handle.read(20).strip()
                holder = f"process {number}" if number.isdigit() else "another process"
                raise WarehouseError(message.replace("{process}", holder)) from error
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()
        yield


@contextmanager
def run_lock(output: Path) -> Iterator[None]:
    """Hold the lock of an output folder during a run, so that two runs never evaluate into one.

    It guards the local folder. Runs on several hosts that share a remote record, each with an output folder of its
    own, are not kept apart: shards are published whole and are the same whoever makes them, so that nothing is lost or
    doubled, but a cell may be evaluated twice.

    Raises:
        WarehouseError: another run holds it.
        StorageError: the output folder cannot be written to.
    """
    message = (
        f"another run ({{process}}) is evaluating into {output}: wait for it, or give this study another output folder"
    )
    with file_lock(output / RUN_LOCK, message):
        yield
