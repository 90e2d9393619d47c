"""Where the record lies: a local folder, or a URL of any file system that fsspec knows (s3://, gs://, memory:// …).

A local place is a `pathlib.Path` and read as before; a remote one is a `UPath`, and every request to it goes through
this file, so that whatever a driver raises becomes one line. Credentials and endpoints are the driver's own affair:
its environment variables, or fsspec's configuration (FSSPEC_S3_ENDPOINT_URL and the like).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from upath import UPath

from failmodes.warehouse.errors import StorageError

StorePath = Path | UPath

TEMPORARY_PREFIX = ".tmp-"

FOOTER_BYTES = 64 * 1024  # asked for at once: more than the footer of any shard needs

_LOCAL = ("file", "local")

# Object stores, where an object appears with its last byte; elsewhere a file grows while it is written.
_WHOLE_PUTS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")


def is_url(text: str) -> bool:
    """Whether `text` is meant as a URL, not as a path."""
    return "://" in text


def as_store_path(where: str, folder: Path | None = None) -> StorePath:
    """The place that a URL or a path means.

    Args:
        where: a URL, or a path; file:// is a path too.
        folder: what a relative path is relative to; the current folder if not given.

    Raises:
        StorageError: no such protocol, or its driver is not installed.
    """
    if not is_url(where):
        return (folder or Path()) / where
    from fsspec import get_filesystem_class

    try:
        get_filesystem_class(where.split("://", 1)[0])
        place = UPath(where)
    except ImportError as error:
        raise StorageError(f"cannot reach {where}: {_reason(error)}") from error
    except ValueError as error:
        raise StorageError(
            f"cannot reach {where}: {_reason(error)}; expected a path, or a URL such as s3://bucket/study"
        ) from error
    return Path(place.path) if place.protocol in _LOCAL else place


def exists(path: StorePath) -> bool:
    """Whether a file is published under `path`.

    Raises:
        StorageError: a remote file system does not answer.
    """
    if isinstance(path, Path):
        return path.exists()
    with _one_line("read", path):
        path.fs.invalidate_cache()  # a listing that the driver remembers knows nothing of other writers
        return path.fs.isfile(path.path)


def is_folder(path: StorePath) -> bool:
    """Whether `path` is a folder; of an object store, whether anything lies under it.

    Raises:
        StorageError: a remote file system does not answer.
    """
    if isinstance(path, Path):
        return path.is_dir()
    with _one_line("read", path):
        path.fs.invalidate_cache()
        return path.fs.isdir(path.path)


def delete(path: StorePath) -> None:
    """Remove a file; one that is not there is no error.

    Raises:
        StorageError: it cannot be removed.
    """
    with suppress(FileNotFoundError), _one_line("remove", path):
        if isinstance(path, Path):
            path.unlink()
        else:
            path.fs.rm_file(path.path)


def list_published(folder: StorePath, suffix: str) -> list[StorePath]:
    """Published files under `folder` whose names end in `suffix`, in path order; temporary ones are passed over.

    Raises:
        StorageError: a remote file system does not answer.
    """
    if isinstance(folder, Path):
        return sorted(path for path in folder.rglob(f"*{suffix}") if not path.name.startswith("."))
    with _one_line("read", folder):
        folder.fs.invalidate_cache()
        try:
            found = folder.fs.find(folder.path)
        except FileNotFoundError:
            return []
    names = sorted(name.removeprefix(folder.path).strip("/") for name in found if name.endswith(suffix))
    return [folder / name for name in names if not name.rsplit("/", 1)[-1].startswith(".")]


def read_bytes(path: UPath, last: int | None = None) -> bytes:
    """Content of a remote file, or only its `last` bytes, in one request.

    Raises:
        FileNotFoundError: it is not there.
        StorageError: the file system does not answer, which says nothing about the file: it is no damage.
    """
    with _one_line("read", path):
        return path.fs.cat_file(path.path, start=None if last is None else -last)


def read_footer_bytes(path: UPath) -> bytes:
    """The end of a remote Parquet file, long enough to hold its footer (whose length stands 8 bytes before the end).

    Raises:
        FileNotFoundError, StorageError: as `read_bytes`.
    """
    tail = read_bytes(path, FOOTER_BYTES)
    needed = int.from_bytes(tail[-8:-4], "little") + 8
    return tail if needed <= len(tail) or len(tail) < FOOTER_BYTES else read_bytes(path, needed)


def upload(source: Path, path: UPath) -> None:
    """Bring the local file `source` to `path`, where it appears whole: in one put, elsewhere by put and rename.

    Raises:
        StorageError: the driver's reason, in one line.
    """
    fs, target = path.fs, path.path
    with _one_line("write", path, missing="no such bucket or folder: make it, or correct the URL"):
        if path.protocol in _WHOLE_PUTS:
            fs.put_file(str(source), target)
            return
        staged = (path.parent / f"{TEMPORARY_PREFIX}{os.urandom(4).hex()}-{path.name}").path
        try:
            fs.makedirs(path.parent.path, exist_ok=True)
            fs.put_file(str(source), staged)
            fs.mv(staged, target)
        except BaseException:
            with suppress(Exception):  # what went wrong first is what the user should hear
                fs.rm_file(staged)
            raise


@contextmanager
def _one_line(verb: str, path: StorePath, missing: str | None = None) -> Iterator[None]:
    """Turn whatever a driver raises into one line; FileNotFoundError only where `missing` says what it means."""
    try:
        yield
    except FileNotFoundError as error:
        if missing is None:
            raise
        raise StorageError(f"cannot {verb} {path}: {missing}") from error
    except PermissionError as error:
        raise StorageError(f"cannot {verb} {path}: access denied, check your credentials and rights") from error
    except Exception as error:  # every driver has errors of its own libraries, with no base in common
        raise StorageError(f"cannot {verb} {path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
