"""Rows of recorded files, proven by their hash, as a stream: read in threads while DuckDB inserts what came before."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

from failmodes.warehouse.errors import DamagedShardError, StorageError
from failmodes.warehouse.schema import FACTS, PARTITIONS, SEVERITY, Table
from failmodes.warehouse.shards.format import read_verified
from failmodes.warehouse.shards.inventory import RecordFile

THREADS = min(8, os.cpu_count() or 1)

REMOTE_THREADS = 16  # a remote file is mostly waited for

LoadError = DamagedShardError | StorageError


def read_verified_rows(items: Sequence[RecordFile], troubles: list[LoadError]) -> Iterator[pa.Table]:
    """Rows of each file, in order, with all columns of its table.

    What is wrong with a file (damaged, or a remote one that cannot be had) is added to `troubles` and not raised, for
    whoever drains this may be DuckDB; from then on the others are still verified, so that all damage is known, but no
    rows are given. Two files a thread are in memory at a time.
    """
    ahead: deque[Future[pa.Table | LoadError]] = deque()
    threads = THREADS if all(isinstance(item.path, Path) for item in items) else REMOTE_THREADS
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            ahead.append(pool.submit(_read, item))
            if len(ahead) > 2 * threads:
                yield from _sound(ahead.popleft().result(), troubles)
        while ahead:
            yield from _sound(ahead.popleft().result(), troubles)


def _sound(rows: pa.Table | LoadError, troubles: list[LoadError]) -> Iterator[pa.Table]:
    if isinstance(rows, LoadError):
        troubles.append(rows)
    elif not troubles:
        yield rows


def _read(item: RecordFile) -> pa.Table | LoadError:
    try:
        rows = read_verified(item.path).rows
        if item.table in FACTS:
            for name, value in zip(PARTITIONS, item.key[1:], strict=True):
                scalar = pa.scalar(Decimal(value), SEVERITY) if name == "severity" else pa.scalar(value)
                rows = rows.append_column(name, pa.repeat(scalar, rows.num_rows))
        return cast_to_table(rows, item.table, item.path)
    except (DamagedShardError, StorageError) as error:
        return error


def cast_to_table(rows: pa.Table, table: Table, where: object) -> pa.Table:
    """Bring rows to the columns of `table`: nullable columns that are missing become null, unknown ones go.

    Raises:
        DamagedShardError: a column that may not be null is missing or holds nulls; `where` names the file.
    """
    columns = []
    for column in table.columns:
        known = column.name in rows.column_names
        values = rows[column.name].cast(column.type) if known else pa.nulls(rows.num_rows, column.type)
        if values.null_count and not column.nullable:
            raise DamagedShardError(f"{where} breaks the contract: {table.name}.{column.name} may not be null")
        columns.append(values)
    return pa.table(columns, schema=table.arrow())
