"""The content hash of rows: of names, types and values, not of a file, so that two runs can be compared."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

HASHED_ROWS = 16 * 1024  # rows that are copied at a time to be hashed


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
