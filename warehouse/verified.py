"""Rows of recorded files, proven by their hash, as a stream: read in threads while DuckDB inserts what came before."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

from warehouse.errors import DamagedShardError, StorageError
from warehouse.inventory import Item
from warehouse.record import read_stored
from warehouse.schema import FACTS, PARTITIONS, SEVERITY
from warehouse.tables import conform

THREADS = min(8, os.cpu_count() or 1)
REMOTE_THREADS = 16  # a remote file is mostly waited for

Trouble = DamagedShardError | StorageError


def verified_rows(items: Sequence[Item], troubles: list[Trouble]) -> Iterator[pa.Table]:
    """Rows of each file, in order, with all columns of its table.

    What is wrong with a file (damaged, or a remote one that cannot be had) is added to `troubles` and not raised, for
    whoever drains this may be DuckDB; from then on the others are still verified, so that all damage is known, but no
    rows are given. Two files a thread are in memory at a time.
    """
    ahead: deque[Future[pa.Table | Trouble]] = deque()
    threads = THREADS if all(isinstance(item.path, Path) for item in items) else REMOTE_THREADS
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            ahead.append(pool.submit(_read, item))
            if len(ahead) > 2 * threads:
                yield from _sound(ahead.popleft().result(), troubles)
        while ahead:
            yield from _sound(ahead.popleft().result(), troubles)


def _sound(rows: pa.Table | Trouble, troubles: list[Trouble]) -> Iterator[pa.Table]:
    if isinstance(rows, Trouble):
        troubles.append(rows)
    elif not troubles:
        yield rows


def _read(item: Item) -> pa.Table | Trouble:
    try:
        rows = read_stored(item.path).rows
        if item.table in FACTS:
            for name, value in zip(PARTITIONS, item.key[1:], strict=True):
                scalar = pa.scalar(Decimal(value), SEVERITY) if name == "severity" else pa.scalar(value)
                rows = rows.append_column(name, pa.repeat(scalar, rows.num_rows))
        return conform(rows, item.table, item.path)
    except (DamagedShardError, StorageError) as error:
        return error
