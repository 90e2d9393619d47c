"""The record: a folder of Parquet files, each published whole, with its identity and content hash inside.

    <output>/results/prediction_facts/evaluation_id=…/corruption=fog/severity=2.000/rows.parquet     (a fact shard)
    <output>/results/models/<model_id>.parquet                                                 (a dimension)

The hash is of the rows (names, types, values), not of the file, so that two runs can be compared. It is computed again
whenever a file is read; page checksums find damage before damaged pages are decoded. `output` is a local or a remote
folder: layout, content and hashes are the same.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from failmodes.warehouse.errors import DamagedShardError
from failmodes.warehouse.provenance import now_utc
from failmodes.warehouse.schema import ATTENTION, CLEAN, LOGITS, PARTITIONS, PREDICTION_FACTS, SCHEMA_VERSION, Table
from failmodes.warehouse.shards.decoded_size import check_decoded_size, mapped, text_leaves, with_plain_texts
from failmodes.warehouse.shards.footer import RESULTS_FOLDER, SEVERITY_PATTERN, SHARD_FILE, damage_of, seal, unseal
from failmodes.warehouse.shards.thrift import Data
from failmodes.warehouse.storage.files import StorePath, atomic_write, exists, list_published, read_bytes
from failmodes.warehouse.storage.regular_files import check_regular

if TYPE_CHECKING:
    from upath import UPath

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them

FOOTER_BYTES = 64 * 1024  # asked for at once from a remote file: more than the footer of any shard needs
ROW_GROUP_ROWS = 64 * 1024  # rows that are encoded at a time; any number gives the same rows and hash
HASHED_ROWS = 32 * 1024  # rows that are copied at a time to be hashed

_CELL_FILE = re.compile(
    rf"/evaluation_id=[^/]+/corruption=(?P<corruption>[^/]+)/severity=(?P<severity>{SEVERITY_PATTERN})/{SHARD_FILE}$"
)


@dataclass(frozen=True)
class Cell:
    """One corruption at one severity; the clean images are a cell too."""

    corruption: str
    severity: Decimal

    @property
    def is_clean(self) -> bool:
        """Whether this is the clean cell."""
        return self.corruption == CLEAN

    def __str__(self) -> str:
        """The cell as a reader calls it: "fog 2.5", or "clean"."""
        return "clean" if self.is_clean else f"{self.corruption} {float(self.severity):g}"


CLEAN_CELL = Cell(CLEAN, Decimal("0.000"))


@dataclass(frozen=True)
class ShardKey:
    """What a fact shard holds: one cell of one evaluation."""

    evaluation_id: str
    cell: Cell

    @property
    def partition(self) -> Path:
        """The hive path of the shard, such as evaluation_id=…/corruption=fog/severity=2.000."""
        corruption, severity = self.cell.corruption, self.cell.severity
        return Path(f"evaluation_id={self.evaluation_id}", f"corruption={corruption}", f"severity={severity:.3f}")


class StoredTable(NamedTuple):
    """A verified file: its rows, its identity, the facts beside it, the hash of its rows."""

    rows: pa.Table
    identity: dict[str, str]
    facts: dict[str, Any]
    content_hash: str


def shard_path(output: StorePath, table: Table, key: ShardKey) -> StorePath:
    """Path of a fact shard."""
    return output / RESULTS_FOLDER / table.name / key.partition / SHARD_FILE


def dimension_path(output: StorePath, table: Table, key: str) -> StorePath:
    """Path of a dimension's file; `key` is the identity that its rows share."""
    return output / RESULTS_FOLDER / table.name / f"{key}.parquet"


def write_shard(
    output: StorePath, table: Table, key: ShardKey, rows: pa.Table, facts: dict[str, Any] | None = None
) -> StorePath:
    """Publish the rows of one cell of a fact table; `rows` has the table's columns without the partition keys."""
    path = shard_path(output, table, key)
    identity = dict(part.split("=", 1) for part in key.partition.parts)
    names = [name for name in table.arrow(without=PARTITIONS).names if name in rows.column_names]
    _write(path, table, rows.select(names), identity, facts or {})
    return path


def write_dimension(output: StorePath, table: Table, key: str, rows: list[dict[str, Any]] | pa.Table) -> StorePath:
    """Publish the rows of a dimension under `key`, unless exactly these rows are there already."""
    path = dimension_path(output, table, key)
    given = pa.Table.from_pylist(rows, schema=table.arrow()) if isinstance(rows, list) else rows
    rows = given.select(table.arrow().names).cast(table.arrow())
    with suppress(DamagedShardError):  # missing, damaged, or no file at all: written again
        if (not isinstance(path, Path) or exists(path)) and _holds(read_verified(path), rows):
            return path
    _write(path, table, rows, {"key": key}, {})
    return path


def published_cells(output: StorePath, evaluation_id: str, *, attention: bool, logits: bool = False) -> set[Cell]:
    """Cells of an evaluation whose rows are published, by one listing a table; other files are passed over.

    Predictions are written last: they are the commit.

    Raises:
        StorageError: a remote file system does not answer.
    """
    folder = f"evaluation_id={evaluation_id}"
    cells = []
    for table in [PREDICTION_FACTS, *[ATTENTION] * attention, *[LOGITS] * logits]:
        files = list_published(output / RESULTS_FOLDER / table.name / folder, SHARD_FILE)
        found = (_CELL_FILE.search("/".join(path.parts)) for path in files)
        cells.append({Cell(match["corruption"], Decimal(match["severity"])) for match in found if match})
    return set.intersection(*cells)


def list_results_files(output: StorePath, table: Table) -> Iterator[StorePath]:
    """Published files of a table, in path order, from one listing; temporary files are passed over.

    Raises:
        StorageError: a remote file system does not answer.
    """
    return iter(list_published(output / RESULTS_FOLDER / table.name, ".parquet"))


def read_verified(path: StorePath) -> StoredTable:
    """Read a file and prove that its rows are those that were written.

    Raises:
        DamagedShardError: it is missing, cannot be parsed, carries no identity, belongs elsewhere, says that it holds
            far more than its size allows, or its rows do not match its hash.
        StorageError: it cannot be read, or a remote file system does not answer.
    """
    with damage_of(path), _opened(path) as (source, data):
        metadata = pq.read_metadata(source)
        footer = unseal(metadata, path)
        most_bytes = check_decoded_size(metadata, data)
        rows = _read_rows(source, metadata, most_bytes)
        if content_hash(rows) != footer["content_hash"]:
            raise DamagedShardError(f"{path} is damaged: its rows do not match the hash in its footer")
    return StoredTable(rows, footer["identity"], footer["facts"], footer["content_hash"])


def read_footer(path: StorePath) -> dict[str, Any]:
    """The footer of a file, without reading its rows: table, identity, content_hash, facts, row count.

    Raises:
        DamagedShardError: it is missing, cannot be parsed, belongs elsewhere, or its footer does not match its seal.
        StorageError: it cannot be read, or a remote file system does not answer.
    """
    with damage_of(path):
        if isinstance(path, Path):
            check_regular(path)
        metadata = pq.read_metadata(path if isinstance(path, Path) else pa.BufferReader(_read_tail(path)))
        return {**unseal(metadata, path), "row_count": metadata.num_rows}


@contextmanager
def _opened(path: StorePath) -> Iterator[tuple[Any, Data]]:
    """What Arrow opens, any number of times, and the bytes of it."""
    if isinstance(path, Path):
        check_regular(path)
        with mapped(path) as data:
            yield path, data
    else:
        content = read_bytes(path)
        yield pa.BufferReader(content), content


def _read_rows(source: Any, metadata: pq.FileMetaData, most_bytes: int) -> pa.Table:
    """All rows; what a text that repeats takes is known before it is repeated.

    Raises:
        ValueError: texts take more than `most_bytes`, or there are other rows than the file says.
    """
    with pq.ParquetFile(
        source, metadata=metadata, read_dictionary=text_leaves(metadata), page_checksum_verification=True
    ) as file:
        rows = file.read(use_threads=False).replace_schema_metadata(None)
    if rows.num_rows != metadata.num_rows:
        raise ValueError(f"it says that it holds {metadata.num_rows:,} rows, and holds {rows.num_rows:,}")
    return with_plain_texts(rows, most_bytes)


def _read_tail(path: "UPath") -> bytes:
    """The end of a remote file, long enough to hold its footer, whose length stands 8 bytes before the end."""
    tail = read_bytes(path, FOOTER_BYTES)
    needed = int.from_bytes(tail[-8:-4], "little") + 8
    return tail if needed <= len(tail) or len(tail) < FOOTER_BYTES else read_bytes(path, needed)


def _holds(stored: StoredTable, rows: pa.Table) -> bool:
    """Whether a file holds just these rows."""
    return stored.content_hash == content_hash(rows)


def _write(path: StorePath, table: Table, rows: pa.Table, identity: dict[str, str], facts: dict[str, Any]) -> None:
    footer = {
        "schema_version": SCHEMA_VERSION,
        "table": table.name,
        "identity": identity,
        "content_hash": content_hash(rows),
        "facts": {"created_at": now_utc().isoformat(), **facts},
    }
    stamped = rows.replace_schema_metadata(seal(footer))
    with atomic_write(path) as temporary:
        pq.write_table(
            stamped,
            temporary,
            row_group_size=ROW_GROUP_ROWS,
            use_dictionary=_repeating(rows.schema),  # pyright: ignore[reportArgumentType] (names of columns too)
            compression="zstd",
            write_page_checksum=True,
        )


def _repeating(columns: pa.Schema) -> list[str]:
    """Columns of few distinct values: of others, such as measured figures, a dictionary is larger than the values."""
    return [field.name for field in columns if pa.types.is_int16(field.type) or pa.types.is_string(field.type)]


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
        _update(hasher, (_joined_bytes(part) for part in parts))
    elif pa.types.is_decimal(kind):
        hasher.update(",".join(str(value) for part in parts for value in part.to_pylist()).encode())
    else:
        _update(hasher, (_numbers(part.drop_null() if column.null_count else part) for part in parts))


def _update(hasher: Any, pieces: Iterable[Any]) -> None:
    for piece in pieces:
        hasher.update(piece)


def _joined_bytes(values: pa.Array) -> bytes | memoryview:
    """The bytes of all texts that are not null, one after another."""
    values = values.drop_null().cast(pa.binary())
    _, offsets, content = values.buffers()
    if content is None:
        return b""
    bounds = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    return memoryview(content)[int(bounds[0]) : int(bounds[-1])]


def _numbers(values: pa.Array) -> np.ndarray:
    """Fixed-width values as bytes in this machine's order; booleans take a byte each."""
    return np.ascontiguousarray(values.to_numpy(zero_copy_only=False)).view(np.uint8)


def _type_name(kind: pa.DataType) -> str:
    # Parquet renames the values of a list from "item" to "element": the name is no part of the rows
    return f"list<{kind.value_type}>" if pa.types.is_list(kind) else str(kind)
