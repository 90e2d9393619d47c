"""The content hash of rows: of names, types and values, not of a file, so that two runs can be compared.

Identities: short hashes of what a thing is, the same on every machine.

Every identity is a BLAKE2b digest of 8 bytes as 16 hexadecimal digits: at a million identities the chance that any
two collide is about 3e-8 (birthday bound n²/2⁶⁵).
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

HASHED_ROWS = 16 * 1024  # rows that are copied at a time to be hashed
DIGEST_BYTES = 8
BLOCK_ROWS = 4096  # rows hashed at a time, so that a memory-mapped array is never copied whole


def content_hash(rows: pa.Table) -> str:
    """Hash of the rows: column names and types, null positions and values, in order; chunking does not matter."""
    hasher = hashlib.sha256()
    for field in rows.schema:
        hasher.update(f"{field.name}:{_type_name(field.type)};".encode())
        _hash_values(hasher, rows.column(field.name))
    return hasher.hexdigest()[:32]


def _hash_values(hasher: Any, column: pa.ChunkedArray) -> None:
    """Hash a column part by part, as if it were one array, without making it one (that would copy it whole)."""
    kind = column.type
    parts = [chunk.slice(start, HASHED_ROWS) for chunk in column.chunks for start in range(0, len(chunk), HASHED_ROWS)]
    hasher.update(f"{len(column)};".encode())
    if column.null_count:
        nulls = [part.is_null().to_numpy(zero_copy_only=False) for part in parts]
        hasher.update(np.packbits(np.concatenate(nulls)).data)
    if pa.types.is_list(kind):
        _update(hasher, (_numbers(pc.list_value_length(part).fill_null(-1)) for part in parts))
        _hash_values(hasher, pa.chunked_array([part.flatten() for part in parts], kind.value_type))
    elif pa.types.is_string(kind) or pa.types.is_binary(kind):
        _update(hasher, (_numbers(pc.binary_length(part).fill_null(-1)) for part in parts))
        _update(hasher, (b"".join(part.cast(pa.binary()).drop_null().to_pylist()) for part in parts))
    elif pa.types.is_decimal(kind):
        hasher.update(",".join(str(value) for part in parts for value in part.to_pylist()).encode())
    else:
        _update(hasher, (_numbers(part.drop_null()) for part in parts))


def _update(hasher: Any, pieces: Iterable[Any]) -> None:
    for piece in pieces:
        hasher.update(piece)


def _numbers(values: pa.Array) -> np.ndarray:
    """Fixed-width values as bytes in this machine's order; booleans take a byte each."""
    return np.ascontiguousarray(values.to_numpy(zero_copy_only=False)).view(np.uint8)


def _type_name(kind: pa.DataType) -> str:
    # Parquet renames the values of a list from "item" to "element": the name is no part of the rows
    return f"list<{kind.value_type}>" if pa.types.is_list(kind) else str(kind)


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
