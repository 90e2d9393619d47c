"""A file appears whole or not at all: temporary name, fsync, rename, fsync of the folder; elsewhere, one put."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from failmodes.warehouse.errors import StorageError
from failmodes.warehouse.storage.paths import TEMPORARY_PREFIX, StorePath, upload

_REASONS = {
    errno.ENOSPC: "no space left on the disk: free some and run the same command again",
    errno.EDQUOT: "the disk quota is used up: free some and run the same command again",
    errno.EFBIG: "the file-size limit of this process is too low (ulimit -f)",
    errno.EACCES: "permission denied: choose a folder that you may write to",
    errno.EPERM: "operation not permitted: choose a folder that you may write to",
    errno.EROFS: "read-only file system: choose a folder that you may write to",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EEXIST: "a file stands where a folder is needed",
}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an operating system error while writing `path` into a StorageError that says how to mend it."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        raise StorageError(f"cannot write {path}: {reason}") from error


def make_folder(path: Path) -> Path:
    """Create a folder and its parents; a failure is a StorageError."""
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def atomic_write(path: StorePath) -> Iterator[Path]:
    """Give a temporary local path to write to; on success it becomes `path` in one step.

    Whatever happens inside (an exception, `kill -9`, a full disk), `path` either keeps its former content or holds
    the whole new one. Of a local path the temporary one lies beside it, under a name with the process number, so that
    two writers never share one; of a remote path it lies in a folder for temporary files and is put there when whole.

    Raises:
        StorageError: the file could not be written.
    """
    if isinstance(path, Path):
        with _published_here(path) as temporary:
            yield temporary
        return
    with tempfile.TemporaryDirectory(prefix="failmodes-") as folder:
        temporary = Path(folder) / path.name
        with storage_errors(temporary):
            yield temporary
        upload(temporary, path)


@contextmanager
def _published_here(path: Path) -> Iterator[Path]:
    make_folder(path.parent)
    temporary = path.parent / f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}"
    try:
        with storage_errors(path):
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
            _flush(path.parent)
    finally:
        with storage_errors(path):
            temporary.unlink(missing_ok=True)


def atomic_write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def remove_stale_temporaries(folder: StorePath) -> int:
    """Remove what killed processes left under a local `folder`; files of processes still alive stay.

    Returns:
        How many were removed; 0 of a remote folder, where nothing tells whose they are.
    """
    removed = 0
    if not isinstance(folder, Path):
        return removed
    for leftover in folder.rglob(f"{TEMPORARY_PREFIX}*"):
        process = leftover.name.removeprefix(TEMPORARY_PREFIX).split("-", 1)[0]
        if process.isdigit() and not _is_alive(int(process)) and leftover.is_file():
            leftover.unlink(missing_ok=True)
            removed += 1
    return removed


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
