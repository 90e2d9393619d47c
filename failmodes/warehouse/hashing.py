"""Identities: short hashes of what a thing is, the same on every machine.

Every identity is a BLAKE2b digest of 8 bytes as 16 hexadecimal digits: at a million identities the chance that any
two collide is about 3e-8 (birthday bound n²/2⁶⁵).
"""

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

DIGEST_BYTES = 8
BLOCK_ROWS = 4096  # rows hashed at a time, so that a memory-mapped array is never copied whole


def identity_of(facts: Any) -> str:
    """Hash JSON-like facts, in canonical form (sorted keys, no white space).

    Args:
        facts: nested dicts, lists, strings, finite numbers, booleans and None.

    Returns:
        16 hexadecimal digits.

    Raises:
        TypeError, ValueError: for anything JSON cannot say (an array, NaN).
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
        hasher.update(f"{np.dtype(array.dtype).str}{tuple(int(n) for n in array.shape)}".encode())
        for start in range(0, array.shape[0], BLOCK_ROWS):
            hasher.update(np.ascontiguousarray(array[start : start + BLOCK_ROWS]).data)
    return hasher.hexdigest()


@cache
def source_hash(*packages: str) -> str:
    """Hash of the source of packages, without those within them: what other code has made is computed again."""
    files = (file for name in packages for file in resources.files(name).iterdir() if file.name.endswith(".py"))
    return identity_of(sorted(file.read_text(encoding="utf-8") for file in files))
