"""Where a set is made: one writer at a time, in a hidden folder of the set that is gone when all is done."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from failmodes.warehouse.errors import StorageError
from failmodes.warehouse.storage.files import TEMPORARY_PREFIX, make_folder, remove_stale_temporaries, storage_errors
from failmodes.warehouse.storage.locks import file_lock

WORK_FOLDER = ".failmodes"

LOCK_FILE = "lock"


@contextmanager
def locked_work_folder(folder: Path) -> Iterator[Path]:
    """Hold a set's lock, which the system frees when its holder dies, and give its work folder.

    What killed writers left half written is removed first. The work folder stays only while something is half made.

    Raises:
        StorageError: another process makes the set, or the folder cannot be written to.
    """
    new = not folder.exists()
    work = make_folder(folder / WORK_FOLDER)
    taken = f"{folder} is being written by another process: wait for it, then run the same command again"
    with file_lock(work / LOCK_FILE, taken, StorageError):
        with storage_errors(folder):
            remove_stale_temporaries(work)
            for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
                leftover.unlink()
        try:
            yield work
        finally:
            if not any(work.glob("*.json")):  # no note: nothing is half made
                _clear(work)
            if new:
                _remove_if_empty(folder)


def _clear(work: Path) -> None:
    """Remove a work folder, its lock last: until then nobody else can hold it."""
    with storage_errors(work):
        for entry in work.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != LOCK_FILE:
                entry.unlink()
        (work / LOCK_FILE).unlink(missing_ok=True)
    _remove_if_empty(work)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
