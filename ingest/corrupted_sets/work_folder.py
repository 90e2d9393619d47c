"""Where a set is made: one writer at a time, in a hidden folder of the set that is gone when all is done."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from failmodes.warehouse.errors import StorageError
from failmodes.warehouse.storage.files import (
    TEMPORARY_PREFIX,
    atomic_write_bytes,
    make_folder,
    remove_stale_temporaries,
    storage_errors,
)

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
    with storage_errors(work):
        lock = (work / LOCK_FILE).open("a")
    with lock:
        _take(lock, work / LOCK_FILE, folder)
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
    """Remove a work folder, its lock last: nobody else can have taken it before."""
    with storage_errors(work):
        for entry in work.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != LOCK_FILE:
                entry.unlink()
        (work / LOCK_FILE).unlink(missing_ok=True)
    _remove_if_empty(work)


def fsync(path: Path) -> None:
    """Bring a file's or folder's content to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_progress(path: Path) -> dict[str, Any]:
    """What a note says of unfinished work; nothing where there is none."""
    try:
        note = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def write_progress(path: Path, note: dict[str, Any]) -> None:
    """Note how far work is; only what is on the disk may be noted."""
    atomic_write_bytes(path, json.dumps(note).encode())


def _take(lock: TextIO, path: Path, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        taken = False
    else:  # a former holder may have removed the file in between
        taken = path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat())
    if not taken:
        raise StorageError(
            f"{folder} is being written by another process: wait for it, then run the same command again"
        )


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
