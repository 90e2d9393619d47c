"""Results: a folder of Parquet files, each published atomically, with its identity and content hash inside.

    <output>/results/prediction_facts/evaluation_id=…/corruption=fog/severity_text=2.000/rows.parquet     (a fact shard)
    <output>/results/models/<model_id>.parquet                                                      (a dimension)

The hash is of the rows (names, types, values), not of the file, so that two runs can be compared. It is recomputed
whenever a file is read; page checksums detect damage before damaged pages are decoded. `output` is a local or a remote
folder: layout, content and hashes are the same.

Results are untrusted input, and a hash proves only that a file is unchanged since its author wrote it. So all values
used from a footer are checked here: their types, and the path that they belong to.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from failmodes.runtime.errors import DamagedShardError
from failmodes.runtime.hashing import identity_of
from failmodes.runtime.storage.files import (
    StorePath,
    atomic_write,
    check_regular,
    exists,
    list_published,
    parsing_errors,
    read_bytes,
)
from failmodes.warehouse.database_schema import SHARDS
from failmodes.warehouse.schema import (
    ATTENTION,
    CLEAN,
    IMAGES,
    LOGITS,
    PARTITIONS,
    PREDICTION_FACTS,
    SCHEMA_VERSION,
    SHARDED,
    Table,
    images_with,
    metadata_problem,
    metadata_type,
    now_utc,
)

if TYPE_CHECKING:
    from upath import UPath

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them

RESULTS_FOLDER = "results"
SHARD_FILE = "rows.parquet"
FOOTER_KEY = b"failmodes"
FOOTER_HASH_KEY = b"failmodes.seal"  # hash of the footer's text, which protects facts like rows
FOOTER_BYTES = 64 * 1024  # requested at once from a remote file: more than the footer of any shard
ROW_GROUP_ROWS = 64 * 1024  # rows encoded at a time; any number gives the same rows and hash
HASHED_ROWS = 32 * 1024  # rows copied at a time for hashing

# Limits of a footer: ours have a thousand bytes of text, and a row group per ROW_GROUP_ROWS rows
MAX_TEXT_BYTES = 1 << 20
MAX_ITEMS = 100_000
# Rows may take this many bytes, or this multiple of the file's size if that is more; ours take less than ten times
MIN_DECODED_BYTES = 128 << 20
MAX_GROWTH = 100
ROW_BYTES = 100  # of memory per row besides its columns, such as for nullable columns that the file lacks

# Facts of a shard that a load stores, beside its time and versions
FACTS_KEPT = ("elapsed_s", "images_per_s", "device", "batch_size", "identity_error", "changed_predictions")
_SEVERITY = r"(?:0|[1-9][0-9]{0,2})\.[0-9]{3}"
# Of the PARTITIONS: DuckDB and pandas would read severity=2.000 as text, so the file holds the number
FOLDERS = ("evaluation_id", "corruption", "severity_text")
_CELL_FILE = re.compile(
    rf"/evaluation_id=[^/]+/corruption=(?P<corruption>[^/]+)/severity_text=(?P<severity>{_SEVERITY})/{SHARD_FILE}$"
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
        """The cell as text: "fog 2.5", or "clean"."""
        return "clean" if self.is_clean else f"{self.corruption} {float(self.severity):g}"


CLEAN_CELL = Cell(CLEAN, Decimal("0.000"))


@dataclass(frozen=True)
class ShardKey:
    """The key of a fact shard: one cell of one evaluation."""

    evaluation_id: str
    cell: Cell

    @property
    def identity(self) -> dict[str, str]:
        """The PARTITIONS as text, such as a severity of "2.000"."""
        values = (self.evaluation_id, self.cell.corruption, f"{self.cell.severity:.3f}")
        return dict(zip(PARTITIONS, values, strict=True))


class StoredTable(NamedTuple):
    """A verified file: its rows, identity, facts, and the hash of its rows."""

    rows: pa.Table
    identity: dict[str, str]
    facts: dict[str, Any]
    content_hash: str


def shard_path(output: StorePath, table: Table, key: ShardKey) -> StorePath:
    """Path of a fact shard."""
    return output.joinpath(RESULTS_FOLDER, table.name, *_shard_parts(key.identity))


def dimension_path(output: StorePath, table: Table, key: str) -> StorePath:
    """Path of a dimension's file; `key` is the identity that its rows share."""
    return output / RESULTS_FOLDER / table.name / f"{key}.parquet"


def write_shard(
    output: StorePath, table: Table, key: ShardKey, rows: pa.Table, facts: dict[str, Any] | None = None
) -> StorePath:
    """Publish the rows of one cell of a fact table.

    `rows` has the table's columns without the partition keys; of these the file holds the severity, as float64.
    """
    path = shard_path(output, table, key)
    names = [name for name in table.arrow(without=PARTITIONS).names if name in rows.column_names]
    severity = pa.repeat(pa.scalar(float(key.cell.severity)), len(rows))
    stored = rows.select(names).add_column(0, pa.field("severity", severity.type, nullable=False), severity)
    _write(path, table, stored, key.identity, facts or {})
    return path


def _shard_parts(identity: dict[str, str]) -> tuple[str, ...]:
    """The hive folders of a shard, such as evaluation_id=…, corruption=fog and severity_text=2.000, and its file."""
    folders = (f"{folder}={identity[name]}" for folder, name in zip(FOLDERS, PARTITIONS, strict=True))
    return (*folders, SHARD_FILE)


def write_dimension(output: StorePath, table: Table, key: str, rows: list[dict[str, Any]] | pa.Table) -> StorePath:
    """Publish the rows of a dimension under `key`, unless exactly these rows are published."""
    path = dimension_path(output, table, key)
    written = pa.Table.from_pylist(rows, schema=table.arrow()) if isinstance(rows, list) else rows
    columns = (table_of(written) if table is IMAGES else table).arrow()
    rows = written.select(columns.names).cast(columns)
    with suppress(DamagedShardError):  # missing or damaged: written again
        if (not isinstance(path, Path) or exists(path)) and read_verified(path).content_hash == content_hash(rows):
            return path
    _write(path, table, rows, {"key": key}, {})
    return path


def table_of(images: pa.Table) -> Table:
    """The table `images` with the further columns of these rows.

    Raises:
        ValueError: the name of one is invalid, or its type is not one of metadata.
    """
    known = {column.name for column in IMAGES.columns}
    fields = [field for field in images.schema if field.name not in known]
    if problem := metadata_problem([field.name for field in fields]):
        raise ValueError(f"it has {problem}")
    types = {field.name: metadata_type(field.type) for field in fields}
    if wrong := [name for name, kind in types.items() if kind is None]:
        raise ValueError(f"{IMAGES.name}.{wrong[0]} is {images.schema.field(wrong[0]).type}")
    return images_with({name: kind for name, kind in types.items() if kind is not None})


def published_cells(output: StorePath, evaluation_id: str, *, attention: bool, logits: bool = False) -> set[Cell]:
    """Cells of an evaluation whose rows are published, by one listing per table; other files are ignored.

    Predictions are written last: they commit the cell.

    Raises:
        StorageError: a remote file system does not respond.
    """
    folder = f"evaluation_id={evaluation_id}"
    cells = []
    for table in [PREDICTION_FACTS, *[ATTENTION] * attention, *[LOGITS] * logits]:
        files = list_published(output / RESULTS_FOLDER / table.name / folder, SHARD_FILE)
        matches = (_CELL_FILE.search("/".join(path.parts)) for path in files)
        cells.append({Cell(match["corruption"], Decimal(match["severity"])) for match in matches if match})
    return set.intersection(*cells)


def list_results_files(output: StorePath, table: Table) -> Iterator[StorePath]:
    """Published files of a table, in path order, from one listing, without temporary files.

    Raises:
        StorageError: a remote file system does not respond.
    """
    return iter(list_published(output / RESULTS_FOLDER / table.name, ".parquet"))


def damage_of(path: object) -> AbstractContextManager[None]:
    """Turn errors of reading or parsing a file into a DamagedShardError, unless the system refused to read it.

    Raises:
        DamagedShardError: the file is missing or invalid.
        StorageError: it could not be read, whatever its content.
        MemoryError: unchanged.
    """
    return parsing_errors(path, lambda reason: DamagedShardError(f"{path} is damaged and cannot be read ({reason})"))


def read_verified(path: StorePath) -> StoredTable:
    """Read a file and verify its rows by their hash.

    Raises:
        DamagedShardError: it is missing, cannot be parsed, has no identity, belongs elsewhere, states far more rows
            than its size allows, or its rows do not match its hash.
        StorageError: it cannot be read, or a remote file system does not respond.
    """
    with damage_of(path):
        source, size = (path, check_regular(path)) if isinstance(path, Path) else _fetched(path)
        with _opened(source) as file:
            footer = _unseal(file.metadata, path)
            _check_size(file.metadata, size)
            rows = file.read(use_threads=False).replace_schema_metadata(None)
            if rows.num_rows != file.metadata.num_rows:
                raise ValueError(f"it states {file.metadata.num_rows:,} rows and has {rows.num_rows:,}")
        if content_hash(rows) != footer["content_hash"]:
            raise DamagedShardError(f"{path} is damaged: its rows do not match the hash in its footer")
    return StoredTable(rows, footer["identity"], footer["facts"], footer["content_hash"])


def read_footer(path: StorePath) -> dict[str, Any]:
    """The footer of a file, without reading its rows: table, identity, content_hash, facts, row count.

    Raises:
        DamagedShardError: it is missing, cannot be parsed, belongs elsewhere, or its footer does not match its seal.
        StorageError: it cannot be read, or a remote file system does not respond.
    """
    with damage_of(path):
        if isinstance(path, Path):
            check_regular(path)
        source = path if isinstance(path, Path) else pa.BufferReader(_read_tail(path))
        with _opened(source) as file:
            return {**_unseal(file.metadata, path), "row_count": file.metadata.num_rows}


def _opened(source: Any) -> pq.ParquetFile:
    """A Parquet file with limits for its footer and checksums for its pages."""
    return pq.ParquetFile(
        source,
        thrift_string_size_limit=MAX_TEXT_BYTES,
        thrift_container_size_limit=MAX_ITEMS,
        page_checksum_verification=True,
    )


def _fetched(path: "UPath") -> tuple[pa.BufferReader, int]:
    """A remote file, and its size in bytes."""
    content = read_bytes(path)
    return pa.BufferReader(content), len(content)


def _check_size(metadata: pq.FileMetaData, file_bytes: int) -> None:
    """Refuse a file whose stated rows would take far more memory than a file of its size should.

    From row groups, not columns: Arrow aborts the process if the metadata of a column are damaged.
    """
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    decoded = sum(group.total_byte_size for group in groups) + metadata.num_rows * ROW_BYTES
    most = max(MIN_DECODED_BYTES, MAX_GROWTH * file_bytes)
    if decoded > most:
        raise ValueError(
            f"its {file_bytes:,} bytes would become {metadata.num_rows:,} rows of {decoded / 1e6:,.0f} MB, "
            f"more than {most / 1e6:,.0f} MB"
        )


def seal(footer: dict[str, Any]) -> dict[bytes, bytes]:
    """A footer as metadata of a Parquet file."""
    text = json.dumps(footer)
    return {FOOTER_KEY: text.encode(), FOOTER_HASH_KEY: identity_of(text).encode()}


def _unseal(metadata: pq.FileMetaData, path: StorePath) -> dict[str, Any]:
    """The footer of the file at `path`: table, schema_version, identity, content_hash, facts.

    A footer of another version is returned unchecked.

    Raises:
        DamagedShardError: the file belongs elsewhere.
        TypeError, ValueError, KeyError: its footer is invalid.
    """
    pairs = metadata.metadata or {}
    if FOOTER_KEY not in pairs:
        raise ValueError("it has no footer of failmodes")
    text = pairs[FOOTER_KEY].decode()
    if pairs.get(FOOTER_HASH_KEY, b"").decode() != identity_of(text):
        raise ValueError("its footer does not match its seal")
    footer: dict[str, Any] = json.loads(text)
    if _text(footer["schema_version"]) == SCHEMA_VERSION:
        _check_footer(footer, path)
    return footer


def _check_footer(footer: dict[str, Any], path: StorePath) -> None:
    identity = footer["identity"]
    facts = footer["facts"]
    for value in (footer["table"], footer["content_hash"], *identity.values()):
        _text(value)
    if footer["table"] in [table.name for table in SHARDED]:
        if not re.fullmatch(_SEVERITY, identity["severity"]):
            raise ValueError(f"its severity is {identity['severity']!r}")
        stored = SHARDS.arrow()
        for name in FACTS_KEPT:
            pa.array([facts.get(name)], stored.field(name).type)  # raises for another type
        datetime.fromisoformat(facts["created_at"]).astimezone(UTC)
        parts = _shard_parts(identity)
    else:
        parts = (f"{identity['key']}.parquet",)
    if path.parts[-len(parts) - 2 :] != (RESULTS_FOLDER, footer["table"], *parts):
        raise DamagedShardError(
            f"{path} does not belong here: its footer states {identity} of {footer['table']}, which belongs at "
            f"{RESULTS_FOLDER}/{footer['table']}/{'/'.join(parts)}; remove it"
        )


def _text(value: Any) -> str:
    """The value, if it is a string that can be stored as UTF-8."""
    if not isinstance(value, str):
        raise TypeError(f"its footer holds {str(value)[:40]!r} where a string is expected")
    value.encode()
    return value


def _read_tail(path: "UPath") -> bytes:
    """The end of a remote file that contains its footer, whose length is stored 8 bytes before the end."""
    tail = read_bytes(path, FOOTER_BYTES)
    needed = int.from_bytes(tail[-8:-4], "little") + 8
    return tail if needed <= len(tail) or len(tail) < FOOTER_BYTES else read_bytes(path, needed)


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
    """Columns of few distinct values: for others, such as measured values, a dictionary is larger than the values."""
    kinds = (pa.types.is_int16, pa.types.is_string)
    return [field.name for field in columns if field.name == "severity" or any(known(field.type) for known in kinds)]


def content_hash(rows: pa.Table) -> str:
    """Hash of the rows: column names and types, null positions and values, in order; chunking does not matter."""
    hasher = hashlib.sha256()
    for field in rows.schema:
        hasher.update(f"{field.name}:{_type_name(field.type)};".encode())
        _hash_values(hasher, rows.column(field.name))
    return hasher.hexdigest()[:32]


def _hash_values(hasher: Any, column: pa.ChunkedArray) -> None:
    """Hash a column part by part like one array, without copying it into one."""
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
    """The concatenated bytes of all strings that are not null."""
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
    # Parquet renames the values of a list from "item" to "element"; the hash ignores the name
    return f"list<{kind.value_type}>" if pa.types.is_list(kind) else str(kind)
