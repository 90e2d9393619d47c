"""Local and remote files; remote is a URL of any file system that fsspec knows (s3://, gs://, memory:// …).

A local path is a `pathlib.Path`, a remote one a `UPath`; every request to a remote one goes through this module, which
turns any error of its driver into one line. Credentials and endpoints come from the driver's environment variables or
fsspec's configuration (FSSPEC_S3_ENDPOINT_URL and the like). Files are written completely or not at all:
locally by temporary name, fsync, rename and fsync of the folder, elsewhere by one put, or put and rename.
"""

import errno
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from failmodes.runtime.errors import FailmodesError, StorageError, StudyError, first_line, translated
from failmodes.runtime.packages import require

if TYPE_CHECKING:
    from upath import UPath

StorePath: TypeAlias = "Path | UPath"  # not imported here: importing fsspec takes longer than a short command
TEMPORARY_PREFIX = ".tmp-"
_UNFINISHED: set[Path] = set()  # temporary files and folders of this process

# Object stores, where an object appears complete; elsewhere a file grows while it is written.
_WHOLE_PUTS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")

_REASONS = {
    errno.ENOSPC: "no space left on the disk: free disk space and run the same command again",
    errno.EDQUOT: "the disk quota is used up: free disk space and run the same command again",
    errno.EFBIG: "the file-size limit of this process is too low (ulimit -f)",
    errno.EACCES: "permission denied: choose a writable folder",
    errno.EPERM: "operation not permitted: choose a writable folder",
    errno.EROFS: "read-only file system: choose a writable folder",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EEXIST: "a file has the name of a needed folder",
}


def is_url(text: str) -> bool:
    """Whether `text` is a URL."""
    return "://" in text


def as_store_path(location: str, folder: Path | None = None) -> StorePath:
    """The local or remote path for a URL or a path.

    Args:
        location: a URL, or a path; file:// is local.
        folder: base of a relative path; default: the current folder.

    Raises:
        MissingExtraError: fsspec or universal-pathlib is not installed.
        StudyError: no such protocol, or its driver is not installed.
    """
    if not is_url(location):
        return (folder or Path()) / location
    require("remote", location)
    from fsspec import get_filesystem_class
    from upath import UPath

    try:
        protocol = location.split("://", 1)[0]
        if not protocol:
            raise ValueError("it has no protocol")
        get_filesystem_class(protocol)
        path = UPath(location)
        _ = path / "results"  # caching file systems do not implement paths
    except Exception as error:  # every driver has its own errors
        hint = "" if isinstance(error, ImportError) else "; expected a path, or a URL such as s3://bucket/study"
        raise StudyError(f"cannot reach {location}: {first_line(error)}{hint}") from error
    return Path(path.path) if path.protocol in ("file", "local") else path


def exists(path: StorePath) -> bool:
    """Whether a file is published under `path`.

    Raises:
        StorageError: its file system does not respond.
    """
    with _driver_errors("read", path):
        return path.is_file()


def is_folder(path: StorePath) -> bool:
    """Whether `path` is a folder; in an object store, whether anything is under it.

    Raises:
        StorageError: its file system does not respond.
    """
    with _driver_errors("read", path):
        return path.is_dir()


def delete(path: StorePath) -> None:
    """Remove a file, if it exists.

    Raises:
        StorageError: it cannot be removed.
    """
    with suppress(FileNotFoundError), _driver_errors("remove", path):
        path.unlink(missing_ok=True)


def delete_folder(folder: StorePath) -> None:
    """Remove a folder with its content, if it exists.

    Raises:
        StorageError: something in it cannot be removed.
    """
    with suppress(FileNotFoundError), _driver_errors("remove", folder):
        if isinstance(folder, Path):
            shutil.rmtree(folder)
            fsync(folder.parent)
        else:
            folder.fs.rm(folder.path, recursive=True)


def size_of(path: StorePath) -> int:
    """Size of a file, bytes; 0 if it does not exist.

    Raises:
        StorageError: its file system does not respond.
    """
    with suppress(FileNotFoundError), _driver_errors("read", path):
        return int(path.stat().st_size)
    return 0


def check_regular(path: Path) -> int:
    """Check that a local path is a regular file: no folder, pipe, socket or device.

    Returns:
        Its size, bytes.

    Raises:
        FileNotFoundError: it does not exist.
        StorageError: it is something else, or may not be read.
    """
    with _opened(path) as handle:
        return os.fstat(handle).st_size


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Content of a local file of at most `most_bytes` bytes.

    Raises:
        FileNotFoundError: it does not exist.
        StorageError: it is larger, no regular file (see `check_regular`), or may not be read.
    """
    with _opened(path) as handle, os.fdopen(os.dup(handle), "rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise StorageError(
            f"cannot read {path}: it is larger than {most_bytes / 1e6:,.3g} MB, the maximum for such a file"
        )
    return content


def read_text(path: Path, most_bytes: int) -> str:
    """Text of a local file in UTF-8, with or without a byte-order mark.

    Raises:
        FileNotFoundError: it does not exist.
        StorageError: it is not UTF-8 text, or `read_regular` fails.
    """
    try:
        return read_regular(path, most_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StorageError(f"cannot read {path}: it is not UTF-8 text (byte {error.start})") from error


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """The descriptor of an open regular file; opening does not block on a pipe."""
    with translated((OSError, ValueError), partial(_unreadable, path)):  # ValueError: a null character in the path
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            if kind := kind_of(os.fstat(handle).st_mode):
                raise StorageError(f"cannot read {path}: it is a {kind}, expected a regular file")
            yield handle
        finally:
            os.close(handle)


def kind_of(mode: int) -> str | None:
    """The kind of a file that is not regular, as text; None for a regular one."""
    kinds = {
        stat.S_IFDIR: "folder",
        stat.S_IFLNK: "symbolic link",
        stat.S_IFIFO: "named pipe",
        stat.S_IFSOCK: "socket",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
    }
    return None if stat.S_ISREG(mode) else kinds.get(stat.S_IFMT(mode), "special file")


def list_published(folder: StorePath, suffix: str) -> list[StorePath]:
    """Published files under `folder` whose names end in `suffix`, in path order, without temporary ones.

    Raises:
        StorageError: a remote file system does not respond.
    """
    if isinstance(folder, Path):
        return sorted(path for path in folder.rglob(f"*{suffix}") if not path.name.startswith("."))
    with suppress(FileNotFoundError), _driver_errors("read", folder):
        paths = folder.fs.find(folder.path)
        names = sorted(name.removeprefix(folder.path).strip("/") for name in paths if name.endswith(suffix))
        return [folder / name for name in names if not name.rsplit("/", 1)[-1].startswith(".")]
    return []


def read_bytes(path: "UPath", last: int | None = None) -> bytes:
    """Content of a remote file, or only its `last` bytes, in one request.

    Raises:
        FileNotFoundError: it does not exist.
        StorageError: the file system does not respond, which is no damage of the file.
    """
    with _driver_errors("read", path):
        return bytes(cast(bytes, path.fs.cat_file(path.path, start=None if last is None else -last)))


@contextmanager
def atomic_write(path: StorePath) -> Iterator[Path]:
    """Yield a temporary local path to write to; on success it becomes `path` in one step.

    On an exception, `kill -9` or a full disk, `path` has either its former content or the complete new one. For a local
    path the temporary file is beside it, under a name with the numbers of process and thread, so that two writers never
    share one; for a remote path it is in a folder for temporary files, and uploaded when complete.

    Raises:
        StorageError: the file could not be written.
    """
    if not isinstance(path, Path):
        with temporary_folder() as folder:
            temporary = folder / path.name
            with storage_errors(temporary):
                yield temporary
            _upload(temporary, path)
        return
    temporary = make_folder(path.parent) / f"{TEMPORARY_PREFIX}{os.getpid()}-{threading.get_ident()}-{path.name}"
    with storage_errors(path), _unfinished(temporary):
        temporary.unlink(missing_ok=True)  # otherwise a link of another user would be followed
        yield temporary
        fsync(temporary)
        os.replace(temporary, path)
        fsync(path.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside the local `path`, which on success becomes it, in place of what it held.

    On an exception `path` has its former content; after `kill -9` too, or from the next call on if it fell between the
    two renames at the end.

    Raises:
        StorageError: something could not be written.
    """
    path = path.resolve()
    temporary = make_folder(path.parent) / f"{TEMPORARY_PREFIX}{os.getpid()}-{threading.get_ident()}-{path.name}"
    former = temporary.with_name(f"{temporary.name}.former")
    for leftover in path.parent.glob(f"{TEMPORARY_PREFIX}*-{path.name}*"):
        process = leftover.name.removeprefix(TEMPORARY_PREFIX).split("-", 1)[0]
        if process.isdigit() and not _is_alive(int(process)):
            if leftover.suffix == former.suffix and not path.exists():
                os.replace(leftover, path)  # killed between the two renames
            shutil.rmtree(leftover, ignore_errors=True)
    with storage_errors(path), _unfinished(temporary):
        temporary.mkdir()
        try:
            yield temporary
            for file in temporary.rglob("*"):
                fsync(file)
            if path.exists():
                os.replace(path, former)
            os.replace(temporary, path)
            fsync(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            if former.exists() and not path.exists():
                os.replace(former, path)
            shutil.rmtree(former, ignore_errors=True)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder for temporary files, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="failmodes-") as name, _unfinished(Path(name)) as folder:
        yield folder


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    _UNFINISHED.add(path)
    try:
        yield path
    finally:
        if not path.is_dir():
            path.unlink(missing_ok=True)
        _UNFINISHED.discard(path)


def discard_temporaries() -> None:
    """Remove the temporary files and folders of this process, which is about to end without its cleanup."""
    for path in tuple(_UNFINISHED):
        shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            path.unlink(missing_ok=True)


def atomic_write_bytes(path: StorePath, content: bytes) -> None:
    """Write `content` to `path` completely or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def remove_stale_temporaries(folder: StorePath) -> int:
    """Remove temporary files of killed processes under a local `folder`.

    Returns:
        How many were removed; 0 for a remote folder, where the process of a file is unknown.
    """
    removed = 0
    for leftover in folder.rglob(f"{TEMPORARY_PREFIX}*") if isinstance(folder, Path) else ():
        process = leftover.name.removeprefix(TEMPORARY_PREFIX).split("-", 1)[0]
        if process.isdigit() and not _is_alive(int(process)) and leftover.is_file():
            leftover.unlink(missing_ok=True)
            removed += 1
    return removed


def reason_of(error: Exception) -> str:
    """The reason of the operating system, with the fix if known; libraries append it to their message."""
    if isinstance(error, OSError):
        return _REASONS.get(error.errno or 0, error.strerror or str(error))
    text = first_line(error)
    return next((words for number, words in _REASONS.items() if text.endswith(os.strerror(number))), text)


def storage_errors(path: Path) -> AbstractContextManager[None]:
    """Turn an operating system error while writing `path` into a StorageError with the fix."""
    return translated(OSError, lambda error: StorageError(f"cannot write {path}: {reason_of(error)}"))


def parsing_errors(path: object, damaged: Callable[[str], FailmodesError]) -> AbstractContextManager[None]:
    """Turn errors of reading and parsing a file into one line.

    Args:
        path: the file.
        damaged: the error for an invalid or missing file, by the reason. Where the system refuses to read a file,
            whatever its content, it is a StorageError.
    """

    def into(error: Exception) -> Exception:
        if isinstance(error, FailmodesError | MemoryError):  # Arrow's is of other classes too
            return error
        if isinstance(error, FileNotFoundError):
            return damaged("it is missing")
        is_refused = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)  # Arrow's have no number
        return _unreadable(path, error) if is_refused else damaged(first_line(error))

    return translated(Exception, into)  # the errors of parsers have no base in common


def _unreadable(path: object, error: Exception) -> Exception:
    return error if isinstance(error, FileNotFoundError) else StorageError(f"cannot read {path}: {reason_of(error)}")


def make_folder(path: Path) -> Path:
    """Create a folder and its parents, or raise a StorageError."""
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def fsync(path: Path) -> None:
    """Flush the content of a file, or the entries of a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _upload(source: Path, path: "UPath") -> None:
    """Upload the local file `source` to `path` atomically: by one put, or by put and rename."""
    fs = path.fs
    target = path.path
    with _driver_errors("write", path, missing="no such bucket or folder: create it, or correct the URL"):
        if path.protocol in _WHOLE_PUTS:
            fs.put_file(str(source), target)
            return
        staged = (path.parent / f"{TEMPORARY_PREFIX}{os.urandom(4).hex()}-{path.name}").path
        try:
            fs.makedirs(path.parent.path, exist_ok=True)
            fs.put_file(str(source), staged)
            fs.mv(staged, target)
        except BaseException:
            with suppress(Exception):  # the first error is the one to report
                fs.rm_file(staged)
            raise


@contextmanager
def _driver_errors(verb: str, path: StorePath, missing: str | None = None) -> Iterator[None]:
    """Turn any error of a driver into one line; FileNotFoundError only if `missing` describes it."""

    def into(error: Exception) -> Exception:
        if isinstance(error, FileNotFoundError):
            return error if missing is None else StorageError(f"cannot {verb} {path}: {missing}")
        is_denied = isinstance(error, PermissionError)
        reason = "access denied: check your credentials and permissions" if is_denied else first_line(error)
        return StorageError(f"cannot {verb} {path}: {reason}")

    with translated(Exception, into):  # the errors of drivers have no base in common
        if not isinstance(path, Path):
            path.fs.invalidate_cache()  # a cached listing of the driver misses other writers
        yield


def _is_alive(process: int) -> bool:
    """Whether a process may still write; zombies (Linux) do not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    with suppress(OSError):  # no /proc
        return not Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(") ")[2].startswith(("Z", "X"))
    return True
