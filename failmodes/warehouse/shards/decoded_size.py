"""How much memory the rows of a Parquet file take, known before they are decoded.

A few damaged or malicious kilobytes may say that they hold terabytes, or repeat a long text a million times. The sizes
are those of the pages' own headers, by which they are decoded: what the file says of its columns may be a lie.
"""

import mmap
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from failmodes.warehouse.shards.thrift import I32, I64, LIST, STRUCT, Data, Fields, read_struct

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them

_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12, "BYTE_ARRAY": 4}

# A file may decode to so many bytes, or to so many times its own size where that is more; ours decode to less than ten
# times theirs
LEAST_DECODED_BYTES, MOST_GROWTH = 128 << 20, 100
ROW_BYTES = 100  # of memory that a row takes beside its own columns, such as for nullable columns that the file lacks
MOST_ROW_GROUPS, MOST_PAGES = 10_000, 500_000


class GroupSize(NamedTuple):
    """A row group: how many rows it says it has, and bytes that its columns take in memory."""

    rows: int
    decoded_bytes: int


def check_decoded_size(metadata: pq.FileMetaData, data: Data) -> int:
    """Refuse a file whose rows would take far more memory than a file of its size rightly does.

    Args:
        metadata: of the Parquet file.
        data: the file.

    Returns:
        How many bytes its rows may take.

    Raises:
        ValueError: they take more, or its metadata is damaged.
    """
    if metadata.num_row_groups > MOST_ROW_GROUPS:
        raise ValueError(f"it has {metadata.num_row_groups:,} row groups")
    decoded = sum(group.decoded_bytes for group in group_sizes(metadata, data)) + metadata.num_rows * ROW_BYTES
    most = max(LEAST_DECODED_BYTES, MOST_GROWTH * len(data))
    if decoded > most:
        raise ValueError(
            f"its {len(data):,} bytes would become {metadata.num_rows:,} rows of {decoded / 1e6:,.0f} MB, "
            f"more than {most / 1e6:,.0f} MB"
        )
    return most


def group_sizes(metadata: pq.FileMetaData, data: Data, leaves: Collection[int] | None = None) -> Iterator[GroupSize]:
    """What each row group takes in memory; of texts that repeat, each counts once (see `text_leaves`).

    Args:
        metadata: of the Parquet file: its schema alone is used.
        data: the file.
        leaves: indices of the Parquet columns; all if not given.

    Raises:
        ValueError: its metadata is damaged.
    """
    try:
        yield from _group_sizes(metadata, data, leaves)
    except (LookupError, AttributeError, TypeError) as error:  # a value is missing, or of another type
        raise ValueError("its metadata is damaged") from error


def _group_sizes(metadata: pq.FileMetaData, data: Data, leaves: Collection[int] | None) -> Iterator[GroupSize]:
    columns = [metadata.schema.column(leaf) for leaf in range(metadata.num_columns)]
    widths = [_WIDTHS.get(column.physical_type) or column.length for column in columns]
    length = int.from_bytes(bytes(data[-8:-4]), "little")
    footer, _ = read_struct(data, len(data) - 8 - length)
    for group in footer.get((4, LIST), []):
        chunks = group.get((1, LIST), [])
        if len(chunks) != len(widths):
            raise ValueError(f"a row group has {len(chunks)} of its {len(widths)} columns")
        chosen = range(len(chunks)) if leaves is None else leaves
        taken = sum(_chunk_bytes(chunks[leaf].get((3, STRUCT), {}), widths[leaf], data) for leaf in chosen)
        yield GroupSize(group.get((3, I64), 0), taken)


def _chunk_bytes(chunk: Fields, width: int, data: Data) -> int:
    """What a column of a row group takes, page by page."""
    at, dictionary = chunk.get((9, I64), 0), chunk.get((11, I64), 0)
    if 0 < dictionary < at:
        at = dictionary
    end = at + chunk.get((7, I64), 0)
    if not 0 <= at <= end <= len(data):
        raise ValueError("its columns lie outside of it")
    total = 0
    for _ in range(MOST_PAGES):
        if at >= end:
            return total
        page, at = read_struct(data, at)
        unpacked, packed = page.get((2, I32), 0), page.get((3, I32), 0)
        values = max(page.get((kind, STRUCT), {}).get((1, I32), 0) for kind in (5, 7, 8))
        if min(unpacked, packed, values) < 0:
            raise ValueError("a page states a negative size")
        total += max(unpacked, values * width)
        at += packed
    raise ValueError(f"a column has more than {MOST_PAGES:,} pages")


@contextmanager
def mapped(path: Path) -> Iterator[Data]:
    """The bytes of a local file, without reading more of it than is asked for.

    Raises:
        OSError: it cannot be read.
        ValueError: it is empty.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def text_leaves(metadata: pq.FileMetaData) -> list[str]:
    """Paths of the columns of texts and bytes, to be read as dictionaries.

    A value that a file holds once and repeats in each row is then held once in memory too.
    """
    columns = (metadata.schema.column(number) for number in range(metadata.num_columns))
    return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]


def with_plain_texts(rows: pa.Table, most_bytes: int) -> pa.Table:
    """The rows, each text where it belongs instead of its number in a dictionary.

    Raises:
        ValueError: the texts take more than `most_bytes`.
    """
    for number, field in enumerate(rows.schema):
        plain = _plain_type(field.type)
        if plain == field.type:
            continue
        column = rows.column(number)
        size = sum(_text_bytes(chunk) for chunk in column.chunks)
        most_bytes -= size
        if most_bytes < 0:
            raise ValueError(f"the texts of its column {field.name} take {size / 1e6:,.0f} MB")
        rows = rows.set_column(number, field.with_type(plain), column.cast(plain))
    return rows


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return kind.value_type
    inner = _plain_type(kind.value_type) if pa.types.is_list(kind) else None
    return kind if inner is None or inner == kind.value_type else pa.list_(inner)


def _text_bytes(values: pa.Array) -> int:
    while pa.types.is_list(values.type):
        values = values.flatten()
    return pc.sum(pc.binary_length(values.dictionary).take(values.indices)).as_py() or 0
