"""Image files of one folder of class folders: their list, and hashes of their content."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ingest.datasets.folder import SUFFIXES
from ingest.layouts import FETCH_AGAIN
from warehouse.errors import DataError
from warehouse.identity import DIGEST_BYTES

WORKERS = min(32, os.cpu_count() or 1)  # reading, hashing and (de)coding leave Python's lock, so threads help


def list_files(cell: Path) -> list[str]:
    """`class/image` of every image of one corruption and severity, by class folder, then by file name."""
    return [
        f"{folder}/{entry}"
        for folder in entries(cell, folders=True)
        for entry in entries(cell / folder, folders=False)
        if Path(entry).suffix.lower() in SUFFIXES
    ]


def fingerprint_of_files(folder: Path, files: Sequence[str]) -> str:
    """Hash of files' names and bytes, in their order.

    Args:
        folder: where they lie.
        files: their paths within it.

    Returns:
        16 hexadecimal digits.
    """
    hasher = hashlib.blake2b(digest_size=DIGEST_BYTES)
    with ThreadPoolExecutor(WORKERS) as pool:
        for file, digest in zip(files, pool.map(_digest, [folder / file for file in files]), strict=True):
            hasher.update(len(os.fsencode(file)).to_bytes(4, "little") + os.fsencode(file) + digest)
    return hasher.hexdigest()


def stamp_of_files(cell: Path, files: list[str]) -> list[list[object]]:
    """Name, size and time of change of every file."""
    with _reading(cell):
        statuses = [(cell / file).stat() for file in files]
    return [[file, status.st_size, status.st_mtime_ns] for file, status in zip(files, statuses, strict=True)]


def entries(folder: Path, *, folders: bool) -> list[str]:
    """Names of the folders, or else of the files, in a folder, sorted; hidden ones are passed over."""
    with _reading(folder), os.scandir(folder) as found:
        return sorted(entry.name for entry in found if not entry.name.startswith(".") and entry.is_dir() == folders)


def _digest(path: Path) -> bytes:
    with _reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=DIGEST_BYTES)).digest()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{error.filename or path} cannot be read ({error.strerror}): {FETCH_AGAIN}") from error
