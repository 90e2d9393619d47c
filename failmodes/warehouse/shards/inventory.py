"""The inventory of results for a load: files by their footers, and rows verified by their hash."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from failmodes.runtime.errors import DamagedShardError, StorageError, WarehouseError
from failmodes.runtime.storage.files import StorePath
from failmodes.warehouse.schema import (
    ATTENTION,
    DIMENSIONS,
    EVALUATIONS,
    FACTS,
    IMAGES,
    PARTITIONS,
    PREDICTION_FACTS,
    SHARDED,
    Table,
    check_version,
)
from failmodes.warehouse.shards.format import (
    RESULTS_FOLDER,
    damage_of,
    list_results_files,
    read_footer,
    read_verified,
    table_of,
)

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them

# A shard's key is (table, evaluation_id, corruption, severity as text), a dimension file's is (table, file name).
FileKey = tuple[str, ...]
LoadError = DamagedShardError | StorageError

# Threads for local results, and for remote ones, which mostly wait; one core is left to the consumer of local rows,
# since more threads would only wait for each other.
FOOTER_THREADS = 4
REMOTE_FOOTER_THREADS = 32
ROW_THREADS = min(8, max(1, (os.cpu_count() or 1) - 1))
REMOTE_ROW_THREADS = 16


HEADER_BYTES = 24  # of a PNG, which contain its size
MAX_STORED_PIXELS = 2**24  # of one stored picture, 4,096 squared
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class ResultsFile(NamedTuple):
    """One file of results, described by its footer."""

    output: StorePath
    path: StorePath
    table: Table
    key: FileKey
    content_hash: str
    row_count: int
    facts: dict[str, Any]


def png_size(header: bytes) -> tuple[int, int] | None:
    """Height and width from the first HEADER_BYTES of a PNG, pixels, without decoding; None if it is not a PNG."""
    if len(header) < HEADER_BYTES or not header.startswith(_PNG_SIGNATURE) or header[12:16] != b"IHDR":
        return None
    return int.from_bytes(header[20:24], "big"), int.from_bytes(header[16:20], "big")


def has_results(output: StorePath) -> bool:
    """Whether an output folder holds results of an evaluation: a seal alone is none.

    Raises:
        StorageError: a remote file system does not respond.
    """
    return next(iter(list_results_files(output, EVALUATIONS)), None) is not None


def stored_columns(output: Path, table: Table) -> set[str]:
    """Columns of the files of a table in local results; for a table with one file per cell, one file per evaluation.

    Files of one table may differ: a column that only some need is missing in the others.

    Returns:
        Names that all these files have, including the keys in their paths; empty without files.

    Raises:
        DamagedShardError: a file cannot be parsed.
    """
    files = {path.parts[-4] if table in SHARDED else path.name: path for path in list_results_files(output, table)}
    columns: list[set[str]] = []
    for path in files.values():
        with damage_of(path):
            columns.append(set(pq.read_schema(path).names))
    partitions = set(PARTITIONS) if columns and table in SHARDED else set()
    return partitions.union(set.intersection(*columns) if columns else ())


def scan_results(outputs: Sequence[StorePath]) -> tuple[dict[FileKey, ResultsFile], list[DamagedShardError]]:
    """Read the footer of every results file of `outputs`; of two files with one key, the later folder's is used.

    An attention shard without its predictions is skipped: predictions are written last, they commit a cell.

    Returns:
        The files by key, and an error for each file whose footer is damaged.

    Raises:
        WarehouseError: a folder holds no results, or results of another schema version.
        StorageError: a remote file system does not respond.
    """
    files: dict[FileKey, ResultsFile] = {}
    damaged: list[DamagedShardError] = []
    for output in outputs:
        read = _read_footers(output)
        if not any(isinstance(file, DamagedShardError) or file.table is EVALUATIONS for file in read):
            raise WarehouseError(f"{output} holds no results: {_where_it_is(output)}")
        damaged.extend(file for file in read if isinstance(file, DamagedShardError))
        readable = {file.key: file for file in read if isinstance(file, ResultsFile)}
        for key, file in readable.items():
            if file.table is not ATTENTION or (PREDICTION_FACTS.name, *key[1:]) in readable:
                files[key] = file
    return files, damaged


def _where_it_is(output: StorePath) -> str:
    """The fix for a folder without results."""
    if output.name == RESULTS_FOLDER and has_results(output.parent):
        return f"it is a results folder itself; name its parent, {output.parent}"
    return "run `failmodes evaluate STUDY`; if the study has `results` elsewhere, name the study file"


def _read_footers(output: StorePath) -> list[ResultsFile | DamagedShardError]:
    def describe(table: Table, path: StorePath) -> ResultsFile | DamagedShardError:
        try:
            footer = read_footer(path)
        except DamagedShardError as error:
            return error
        fix = f"remove {output / RESULTS_FOLDER}, then run `failmodes run STUDY`"
        check_version(footer["schema_version"], path, fix)
        names = [footer["identity"][name] for name in PARTITIONS] if table in FACTS else [path.stem]
        key = (table.name, *names)
        return ResultsFile(output, path, table, key, footer["content_hash"], footer["row_count"], footer["facts"])

    paths = [(table, path) for table in (*FACTS, *DIMENSIONS) for path in list_results_files(output, table)]
    with ThreadPoolExecutor(FOOTER_THREADS if isinstance(output, Path) else REMOTE_FOOTER_THREADS) as pool:
        return list(pool.map(lambda pair: describe(*pair), paths))


def read_verified_rows(files: Sequence[ResultsFile], errors: list[LoadError]) -> Iterator[pa.Table]:
    """Rows of each file, in order, with all columns of its table; threads read ahead of the consumer.

    Errors of a file (damaged, or a remote one that cannot be read) are added to `errors` and not raised, since DuckDB
    may be the consumer; the other files are then still verified, to report all damage, but yield no rows. Two files per
    thread are in memory at a time.
    """
    local = all(isinstance(file.path, Path) for file in files)
    threads = ROW_THREADS if local else REMOTE_ROW_THREADS
    with ThreadPoolExecutor(threads) as pool:
        started = (pool.submit(_read, file) for file in files)
        ahead = deque(islice(started, 2 * threads))
        while ahead:
            rows = ahead.popleft().result()
            ahead.extend(islice(started, 1))
            if isinstance(rows, LoadError):
                errors.append(rows)
            elif not errors:
                yield rows


def _read(file: ResultsFile) -> pa.Table | LoadError:
    try:
        rows = read_rows(file.path, file.table)
        if file.table not in FACTS:
            return rows
        columns: dict[str, Any] = dict(zip(rows.column_names, rows.columns, strict=True))
        schema = file.table.arrow()
        for name, value in zip(PARTITIONS, file.key[1:], strict=True):
            partition = Decimal(value) if name == "severity" else value
            columns[name] = pa.repeat(pa.scalar(partition, schema.field(name).type), len(rows))
        return pa.table([columns[name] for name in schema.names], schema=schema)
    except (DamagedShardError, StorageError) as error:
        return error


def read_rows(path: StorePath, table: Table) -> pa.Table:
    """Verified rows of a file with the columns of `table`, without those in the path of a shard.

    Missing nullable columns become null, unknown ones are dropped; further columns of `images` are kept.

    Raises:
        DamagedShardError: as `read_verified`; or a column has another type, a required one is missing or has nulls, or
            a text is too long.
        StorageError: it cannot be read.
    """
    rows = read_verified(path).rows
    with damage_of(path):
        table = table_of(rows) if table is IMAGES else table
        schema = table.arrow(without=PARTITIONS if table in SHARDED else ())
        names = set(rows.column_names)
        columns = [
            _cast_column(rows[field.name] if field.name in names else None, len(rows), field, table) for field in schema
        ]
        if table not in SHARDED:
            _check_lengths(dict(zip(schema.names, columns, strict=True)), table)
    return pa.table(columns, schema=schema)


def _check_lengths(columns: dict[str, pa.ChunkedArray | pa.Array], table: Table) -> None:
    for column in table.columns:
        if column.name in columns and (most := column.most_letters):
            values = columns[column.name]
            texts = pc.list_flatten(values) if pa.types.is_list(values.type) else values
            longest = pc.max(pc.utf8_length(texts)).as_py()
            if longest is not None and longest > most:
                raise ValueError(
                    f"{table.name}.{column.name} has a text of {longest:,} characters, expected at most {most:,}"
                )


def _cast_column(
    values: pa.ChunkedArray | None, count: int, field: pa.Field, table: Table
) -> pa.ChunkedArray | pa.Array:
    name = f"{table.name}.{field.name}"
    if values is None and field.nullable:
        return pa.nulls(count, field.type)
    if values is None:
        raise ValueError(f"it has no {name}")
    cast: pa.ChunkedArray = values if values.type == field.type else values.cast(field.type)
    if not pa.types.is_primitive(field.type):
        cast.validate(full=True)  # strings may be invalid UTF-8
    if cast.null_count and not field.nullable:
        raise ValueError(f"{name} may not be null")
    return cast
