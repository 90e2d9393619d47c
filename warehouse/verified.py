"""Rows of recorded files, proven by their hash, as a stream: read in threads while DuckDB inserts what came before."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal

import pyarrow as pa

from warehouse.errors import DamagedShardError
from warehouse.inventory import Item
from warehouse.record import read_stored
from warehouse.schema import FACTS, PARTITIONS, SEVERITY
from warehouse.tables import conform

THREADS = min(8, os.cpu_count() or 1)
READ_AHEAD = 2 * THREADS  # files in memory at a time


def verified_rows(items: Iterable[Item], damaged: list[DamagedShardError]) -> Iterator[pa.Table]:
    """Rows of each file, in order, with all columns of its table.

    A damaged file is added to `damaged`; from then on the others are still verified, so that all damage is known, but
    no rows are given.
    """
    ahead: deque[Future[pa.Table | DamagedShardError]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for item in items:
            ahead.append(pool.submit(_read, item))
            if len(ahead) > READ_AHEAD:
                yield from _sound(ahead.popleft().result(), damaged)
        while ahead:
            yield from _sound(ahead.popleft().result(), damaged)


def _sound(rows: pa.Table | DamagedShardError, damaged: list[DamagedShardError]) -> Iterator[pa.Table]:
    if isinstance(rows, DamagedShardError):
        damaged.append(rows)
    elif not damaged:
        yield rows


def _read(item: Item) -> pa.Table | DamagedShardError:
    try:
        rows = read_stored(item.path).rows
        if item.table in FACTS:
            for name, value in zip(PARTITIONS, item.key[1:], strict=True):
                scalar = pa.scalar(Decimal(value), SEVERITY) if name == "severity" else pa.scalar(value)
                rows = rows.append_column(name, pa.repeat(scalar, rows.num_rows))
        return conform(rows, item.table, item.path)
    except DamagedShardError as error:
        return error
