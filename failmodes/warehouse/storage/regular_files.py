"""Reading a local file that may be no file: opening a named pipe would wait, reading a device would never end."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from failmodes.warehouse.errors import StorageError, first_line
from failmodes.warehouse.storage.files import reason_of


def check_regular(path: Path) -> int:
    """Make sure that a local path is a file that can be read to its end: no folder, pipe, socket or device.

    Returns:
        Its size, bytes.

    Raises:
        FileNotFoundError: nothing is there.
        StorageError: something else is there, or it may not be read; one line says what.
    """
    with _reading(path) as handle:
        return os.fstat(handle).st_size


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Content of a local file of at most `most_bytes` bytes.

    Raises:
        FileNotFoundError: nothing is there.
        StorageError: it is larger, no regular file (see `check_regular`), or may not be read.
    """
    with _reading(path) as handle, os.fdopen(os.dup(handle), "rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise StorageError(
            f"cannot read {path}: it is larger than {most_bytes / 1e6:,.3g} MB, the most for such a file"
        )
    return content


@contextmanager
def _reading(path: Path) -> Iterator[int]:
    """The descriptor of an open regular file; opening one that is none does not wait, as it would for a pipe."""
    handle = None
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        if kind := kind_of(os.fstat(handle).st_mode):
            raise StorageError(f"cannot read {path}: it is a {kind}, expected a regular file")
        yield handle
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(f"cannot read {path}: {reason_of(error)}") from error
    except ValueError as error:  # a path that holds a null character
        raise StorageError(f"cannot read {path}: {first_line(error)}") from error
    finally:
        if handle is not None:
            os.close(handle)


def kind_of(mode: int) -> str | None:
    """What a file is that is no regular one, in words; None for a regular one."""
    kinds = {
        stat.S_IFDIR: "folder",
        stat.S_IFLNK: "symbolic link",
        stat.S_IFIFO: "named pipe",
        stat.S_IFSOCK: "socket",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
    }
    return None if stat.S_ISREG(mode) else kinds.get(stat.S_IFMT(mode), "special file")
