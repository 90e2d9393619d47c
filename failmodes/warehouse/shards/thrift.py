"""Thrift's compact protocol, as far as the metadata of Parquet needs it.

Arrow reads that metadata too, but its Python side ends the process where some of it is damaged, and what a page holds
it says only by decoding it. Specification: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

import mmap
from collections.abc import Callable
from typing import Any, TypeAlias

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT, UUID = range(1, 14)
BITS = {BYTE: 8, I16: 16, I32: 32, I64: 64}
DEEPEST = 20  # structs and lists in one another; those of Parquet are five deep

Data: TypeAlias = bytes | mmap.mmap
Fields: TypeAlias = dict[tuple[int, int], Any]  # by field id and type: a field of another type is another field


def read_struct(data: Data, at: int, depth: int = 0) -> tuple[Fields, int]:
    """The fields of a struct, and where it ends.

    Args:
        data: the bytes.
        at: where the struct begins.
        depth: how many others it is in.

    Raises:
        IndexError: the data end within it.
        ValueError: it breaks the protocol, or says one thing twice.
    """
    if depth > DEEPEST:
        raise ValueError("its metadata is nested too deeply")
    fields: Fields = {}
    number = 0
    while header := data[at]:
        at += 1
        kind = header & 15
        if header >> 4:
            number += header >> 4
        else:
            number, at = _zigzag(data, at)
        if not 0 < number < 1 << 15:
            raise ValueError(f"its metadata has a field {number}")
        key = number, kind
        if key in fields:
            raise ValueError(f"its metadata states field {number} twice")
        if BYTE <= kind <= I64 and (byte := data[at]) < 128:  # most are a number as short as this: no call for them
            fields[key] = byte >> 1 ^ -(byte & 1)
            at += 1
        elif kind == STRUCT:
            fields[key], at = read_struct(data, at, depth + 1)
        else:
            fields[key], at = _value(data, at, kind, depth)
    return fields, at + 1


def _value(data: Data, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in BITS:
        value, at = _zigzag(data, at)
        if not -(1 << BITS[kind] - 1) <= value < 1 << BITS[kind] - 1:
            raise ValueError("its metadata states a number beyond its type")
        return value, at
    if kind == BINARY:
        length, at = (data[at], at + 1) if data[at] < 128 else _varint(data, at)
        return _bytes(data, at, length)
    if kind == STRUCT:
        return read_struct(data, at, depth + 1)
    if kind in (LIST, SET):
        return _list(data, at, depth)
    fixed = {TRUE: 0, FALSE: 0, DOUBLE: 8, UUID: 16}
    if kind not in fixed:
        raise ValueError(f"its metadata has a value of type {kind}")  # maps are none of Parquet's
    return _bytes(data, at, fixed[kind])


def _list(data: Data, at: int, depth: int) -> tuple[list[Any], int]:
    size, kind = data[at] >> 4, data[at] & 15
    at += 1
    if size == 15:
        size, at = _varint(data, at)
    if size > len(data) - at:  # each takes a byte at least
        raise IndexError("its metadata ends within a list")
    read: Callable[..., tuple[Any, int]] = _value
    values = []
    for _ in range(size):
        value, at = _bytes(data, at, 1) if kind in (TRUE, FALSE) else read(data, at, kind, depth + 1)
        values.append(value)
    return values, at


def _bytes(data: Data, at: int, length: int) -> tuple[Any, int]:
    if length > len(data) - at:
        raise IndexError("its metadata ends within a value")
    return data[at : at + length], at + length


def _zigzag(data: Data, at: int) -> tuple[int, int]:
    value, at = (data[at], at + 1) if data[at] < 128 else _varint(data, at)
    return value >> 1 ^ -(value & 1), at


def _varint(data: Data, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("its metadata states a number of more than 64 bits")
