"""File locks, which the system releases when their holder dies."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from failmodes.runtime.errors import FailmodesError, StorageError, WarehouseError
from failmodes.runtime.storage.files import kind_of, make_folder, storage_errors

RUN_LOCK = ".run.lock"


@contextmanager
def file_lock(lock_path: Path, message: str, error: type[FailmodesError] = WarehouseError) -> Iterator[None]:
    """Hold the lock of the file `lock_path`, or refuse at once.

    The file is not removed (two processes could then hold the lock) and contains the holder's process number.

    Args:
        lock_path: a local file, created with its folder if missing.
        message: error if another process holds it; "{process}" in it becomes "process 123".
        error: class of that error.

    Raises:
        WarehouseError (or `error`): another process, or another part of this one, holds it.
        StorageError: the file cannot be written, or its file system has no locks.
    """
    make_folder(lock_path.parent)
    if os.path.lexists(lock_path) and (kind := kind_of(os.lstat(lock_path).st_mode)):
        raise StorageError(f"cannot lock {lock_path}: it is a {kind}, expected a regular file or none: remove it")
    lock = FileLock(lock_path, timeout=0, fallback_to_soft=False)  # a soft lock would outlive a killed holder
    with storage_errors(lock_path):
        try:
            acquired = lock.acquire()
        except Timeout as taken:
            number = lock_path.read_text(errors="replace").strip()
            holder = f"process {number}" if number.isdigit() else "another process"
            raise error(message.replace("{process}", holder)) from taken
    with acquired:
        with storage_errors(lock_path):
            lock_path.write_text(str(os.getpid()))
        yield


def run_lock(output: Path) -> AbstractContextManager[None]:
    """Hold the lock of an output folder during a run, so that two runs never write to the same folder.

    It locks the local folder. Runs on several hosts with common remote results, each with its own output folder, are
    not excluded: shards are published atomically and are the same from every host, so that nothing is lost or
    duplicated, but a cell may be evaluated twice.

    Raises:
        WarehouseError: another run holds it.
        StorageError: the output folder cannot be written to.
    """
    message = (
        f"another run ({{process}}) is evaluating into {output}: wait for it, or give this study another output folder"
    )
    return file_lock(output / RUN_LOCK, message)
