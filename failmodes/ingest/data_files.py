"""Open untrusted arrays, JSON files and folders: only regular files, of the size they state, that fit into memory.

Images that must be decoded go through `failmodes.ingest.datasets.decoding`.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.runtime.errors import DataError, FailmodesError, LimitError, StorageError, first_line, shown, translated
from failmodes.runtime.process import machine_memory
from failmodes.runtime.storage.files import check_regular, kind_of, make_folder, read_regular, reason_of

MAX_JSON_BYTES = 16 << 20
MAX_NAME_LETTERS = 1000  # of a class or a file


class Entries(NamedTuple):
    """Sorted names in a folder: folders, files, and hidden entries, where folders end in a slash."""

    folders: list[str]
    files: list[str]
    hidden: list[str]


def data_errors(
    subject: object,
    problem: str,
    fix: str = "",
    *,
    missing_passes: bool = False,
    reason: Callable[[Exception], str] = first_line,
) -> AbstractContextManager[None]:
    """Turn any error of reading a file of a dataset into a DataError: "{subject} {problem} ({reason}){fix}".

    Args:
        subject: the file, in the error.
        problem: what is wrong with it.
        fix: how to fix it.
        missing_passes: leave a FileNotFoundError to the caller, who names the dataset.
        reason: the cause, by the error.
    """

    def into(error: Exception) -> Exception:
        if isinstance(error, StorageError):
            return DataError(f"{error}{fix}")
        is_missing = isinstance(error, FileNotFoundError)
        if isinstance(error, FailmodesError | MemoryError) or (missing_passes and is_missing):
            return error
        return DataError(f"{subject} is missing{fix}" if is_missing else f"{subject} {problem} ({reason(error)}){fix}")

    return translated(Exception, into)  # a malicious header raises ValueError, TokenError, KeyError, RecursionError …


def map_npy(path: Path, *, says: str = "is not a readable array", fix: str = "") -> NDArray[Any]:
    """Map the array of a `.npy` file: only its header is read, nothing is ever unpickled.

    Args:
        path: the file.
        says: text of the error for a file that is not an array.
        fix: how to fix it.

    Raises:
        FileNotFoundError: it does not exist.
        DataError: it is not a regular file or an array, holds Python objects, or its size differs from its header.
    """
    with data_errors(path, says, fix, missing_passes=True):
        size = check_regular(path)
        array = np.lib.format.open_memmap(path, mode="r")  # refuses Python objects
        if array.offset + array.nbytes != size:
            raise ValueError(f"it has {size:,} bytes, expected {array.offset + array.nbytes:,}")
    return array


def map_npy_if_whole(path: Path) -> NDArray[Any] | None:
    """Map the array of a `.npy` file; None if it is missing, damaged or truncated."""
    try:
        return map_npy(path)
    except (FileNotFoundError, DataError):
        return None


def write_npy(path: Path, shape: tuple[int, ...], blocks: Iterable[NDArray[np.uint8]]) -> None:
    """Write a `.npy` file block by block.

    As a file, not through a map: on a full disk a map would kill the process.

    Args:
        path: the file.
        shape: of the whole, uint8.
        blocks: its rows, some at a time.

    Raises:
        DataError: the number of rows differs from `shape`.
        OSError: the file cannot be written.
    """
    rows = 0
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for block in blocks:
            file.write(np.ascontiguousarray(block, np.uint8).data)
            rows += len(block)
    if rows != shape[0]:
        raise DataError(f"{rows:,} images were decoded, expected {shape[0]:,}: a source file changed meanwhile")


def read_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises:
        FileNotFoundError: it does not exist.
        DataError: it is not a regular file, larger than MAX_JSON_BYTES, or not valid JSON.
    """
    with data_errors(path, "is not valid JSON", missing_passes=True):
        return parse_json(read_regular(path, MAX_JSON_BYTES))


def parse_json(text: str | bytes) -> Any:
    """A value of JSON.

    Raises:
        ValueError: the text is not valid JSON, or holds an unpaired surrogate.
        RecursionError: it nests too deeply.
    """
    content = json.loads(text)
    json.dumps(content, ensure_ascii=False).encode()
    return content


def list_entries(folder: Path, fix: str = "") -> Entries:
    """List a folder.

    Raises:
        DataError: it cannot be read; `fix` says how to fix it.
    """
    entries = Entries([], [], [])
    try:
        with os.scandir(folder) as scanned:
            for entry in scanned:
                is_folder = _is_folder(entry)
                if entry.name.startswith("."):
                    entries.hidden.append(f"{entry.name}/" if is_folder else entry.name)
                else:
                    (entries.folders if is_folder else entries.files).append(entry.name)
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({reason_of(error)}){fix}") from error
    for names in entries:
        names.sort()
    return entries


def file_stamp(path: Path) -> list[object]:
    """Path, size and modification time of a regular file: another content gives another stamp.

    Raises:
        DataError: it is not a regular file, or cannot be read.
    """
    try:
        status = path.stat()
    except OSError as error:  # a broken or circular link
        raise DataError(f"{path} cannot be read ({reason_of(error)}): replace or remove it") from error
    if kind := kind_of(status.st_mode):
        raise DataError(f"{path} is not a regular file (it is a {kind}): replace or remove it")
    return [str(path.absolute()), status.st_size, status.st_mtime_ns]


def check_names(names: Sequence[str], location: str) -> None:
    """Check names for charts and tables.

    Raises:
        DataError: one is not valid UTF-8, holds a null character, or is longer than MAX_NAME_LETTERS.
    """
    for name in names:
        if "\0" in name:
            raise DataError(f"{location} has a name with a null character, {shown(name)}: rename it")
        if len(name) > MAX_NAME_LETTERS:
            raise DataError(f"{location} has a name of {len(name):,} characters: expected at most {MAX_NAME_LETTERS:,}")
    try:
        "\n".join(names).encode()
    except UnicodeEncodeError as error:
        wrong = next(name for name in names if any("\ud800" <= letter <= "\udfff" for letter in name))
        raise DataError(f"{location} has a name that is not valid UTF-8, {wrong!r}: rename it") from error


def check_memory(needed_bytes: int, subject: str) -> None:
    """Check that this machine has enough memory.

    Raises:
        LimitError: it does not.
    """
    if needed_bytes > machine_memory():
        raise LimitError(
            f"{subject} needs {needed_bytes / 1e9:,.1f} GB of memory, and this machine has"
            f" {machine_memory() / 1e9:,.1f} GB: use less data or a larger machine"
        )


def check_space(folder: Path, needed_bytes: int, subject: str, fix: str) -> None:
    """Check that the disk of a folder, which is created, has enough space.

    Raises:
        StorageError: it has not; `fix` says what to do besides freeing disk space.
    """
    free = shutil.disk_usage(make_folder(folder)).free
    if needed_bytes > free:
        raise StorageError(
            f"cannot write to {folder}: {subject} need {needed_bytes / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free:"
            f" free disk space, or {fix}"
        )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circular link
        return False
