"""Identities: short hashes of content, the same on every machine.

Every identity is a BLAKE2b digest of 8 bytes as 16 hexadecimal digits: at a million identities the chance that any
two collide is about 3e-8 (birthday bound n²/2⁶⁵).
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 8
BLOCK_BYTES = 1 << 25  # of an array hashed at a time, so that one on disk is never in memory as a whole


def identity_of(facts: Any) -> str:
    """Hash JSON-like facts, in canonical form (sorted keys, no white space).

    Args:
        facts: nested dicts, lists, strings, finite numbers, booleans and None.

    Returns:
        16 hexadecimal digits.

    Raises:
        TypeError, ValueError: for anything JSON cannot express (an array, NaN).
    """
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def fingerprint_of(arrays: Iterable[Any]) -> str:
    """Hash array-likes by dtype, shape and values, in order, block of rows by block of rows.

    Args:
        arrays: objects with `dtype`, `shape` and slicing along the first axis; a memory map is read once.

    Returns:
        16 hexadecimal digits.
    """
    hasher = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for array in arrays:
        hasher.update(_header(array))
        for block in _blocks(array):
            hasher.update(block.data)
    return hasher.hexdigest()


def fingerprint_with_rows(
    first: Any, *others: Any, on_block: Callable[[NDArray[Any]], None] = lambda _: None
) -> tuple[str, NDArray[np.uint64]]:
    """The result of `fingerprint_of`, and the hash of each row of the first array, in one pass.

    Args:
        first: an array-like, as for `fingerprint_of`.
        others: the same.
        on_block: called with each block of rows of the first array, before it is hashed.

    Returns:
        16 hexadecimal digits; and (N,) uint64, equal for rows of equal bytes; see `identity_text`.
    """
    hasher = hashlib.blake2b(digest_size=DIGEST_BYTES)
    hasher.update(_header(first))
    hashes: list[bytes] = []
    for block in _blocks(first):
        on_block(block)
        hasher.update(block.data)
        hashes.extend(hashlib.blake2b(row.data, digest_size=DIGEST_BYTES).digest() for row in block)
    for array in others:
        hasher.update(_header(array))
        for block in _blocks(array):
            hasher.update(block.data)
    return hasher.hexdigest(), np.frombuffer(b"".join(hashes), ">u8").astype(np.uint64)


def file_digest(path: Path) -> bytes:
    """BLAKE2b digest of a file's bytes, 8 bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=DIGEST_BYTES)).digest()


def identity_text(number: int) -> str:
    """A hash of 8 bytes as 16 hexadecimal digits."""
    return f"{number:016x}"


def _header(array: Any) -> bytes:
    """Dtype and shape of an array-like."""
    return f"{np.dtype(array.dtype).str}{tuple(int(n) for n in array.shape)}".encode()


def _blocks(array: Any) -> Iterator[NDArray[Any]]:
    """The rows of an array-like, contiguous, BLOCK_BYTES at a time."""
    row_bytes = np.dtype(array.dtype).itemsize * math.prod(array.shape[1:])
    step = max(1, BLOCK_BYTES // max(1, row_bytes))
    for start in range(0, array.shape[0], step):
        yield np.ascontiguousarray(array[start : start + step])


@cache
def source_hash(*packages: str) -> str:
    """Hash of the source of packages, without subpackages: results of other code are recomputed."""
    files = (file for name in packages for file in resources.files(name).iterdir() if file.name.endswith(".py"))
    return identity_of(sorted(file.read_text(encoding="utf-8") for file in files))
