"""Rows of recorded files, proven by their hash, as a stream: read in threads while DuckDB inserts what came before."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import islice
from pathlib import Path

import pyarrow as pa

from failmodes.warehouse.errors import DamagedShardError, StorageError
from failmodes.warehouse.schema import FACTS, PARTITIONS, SEVERITY, Table
from failmodes.warehouse.shards.format import read_verified
from failmodes.warehouse.shards.inventory import RecordFile

THREADS = min(8, os.cpu_count() or 1)

REMOTE_THREADS = 16  # a remote file is mostly waited for

LoadError = DamagedShardError | StorageError


def read_verified_rows(files: Sequence[RecordFile], errors: list[LoadError]) -> Iterator[pa.Table]:
    """Rows of each file, in order, with all columns of its table.

    What is wrong with a file (damaged, or a remote one that cannot be read) is added to `errors` and not raised, for
    DuckDB may be the one that drains this; from then on the other files are still verified, so that all damage is
    known, but no rows are given. Two files a thread are in memory at a time.
    """
    threads = THREADS if all(isinstance(file.path, Path) for file in files) else REMOTE_THREADS
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


def _read(file: RecordFile) -> pa.Table | LoadError:
    try:
        rows = read_verified(file.path).rows
        if file.table in FACTS:
            for name, value in zip(PARTITIONS, file.key[1:], strict=True):
                scalar = pa.scalar(Decimal(value), SEVERITY) if name == "severity" else pa.scalar(value)
                rows = rows.append_column(name, pa.repeat(scalar, rows.num_rows))
        return cast_to_table(rows, file.table, file.path)
    except (DamagedShardError, StorageError) as error:
        return error


def cast_to_table(rows: pa.Table, table: Table, subject: object) -> pa.Table:
    """Bring rows to the columns of `table`: nullable columns that are missing become null, unknown ones go.

    Raises:
        DamagedShardError: a column that may not be null is missing or holds nulls; `subject` names the file.
    """
    columns = []
    for column in table.columns:
        known = column.name in rows.column_names
        values = rows[column.name].cast(column.type) if known else pa.nulls(rows.num_rows, column.type)
        if values.null_count and not column.nullable:
            raise DamagedShardError(f"{subject} breaks the contract: {table.name}.{column.name} may not be null")
        columns.append(values)
    return pa.table(columns, schema=table.arrow())
