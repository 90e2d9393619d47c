"""Loading: verified rows of one or several records become a DuckDB file, beside the old one, then in its place.

What a load does is decided by keys and hashes: a shard that the warehouse lacks is added, one whose hash differs
replaces its rows, one that it holds is not read again. Of two folders with the same key the later one counts. Rows
whose shard has vanished from the record stay, for the warehouse is whole without the record; `rebuild` starts from
nothing and holds exactly what the given folders hold.
"""

import json
import time
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from failmodes.warehouse.database.connection import attach_read_only, info_row, read_info
from failmodes.warehouse.database.tables import (
    LOADED_DIMENSIONS,
    SHARDS,
    create_tables,
    insert_rows,
    upsert,
    write_info,
)
from failmodes.warehouse.database.updates import staged_database, writer_lock
from failmodes.warehouse.database.views import views_fingerprint
from failmodes.warehouse.errors import DamagedShardError, StorageError
from failmodes.warehouse.schema import DIMENSIONS, EXEMPLARS, FACTS, PARTITIONS, Table
from failmodes.warehouse.shards.format import check_version, is_readable_version
from failmodes.warehouse.shards.inventory import _REBUILD, FileKey, RecordFile, scan_record
from failmodes.warehouse.shards.verification import LoadError, read_verified_rows
from failmodes.warehouse.storage.files import StorePath

# A set of exemplars is chosen anew as a whole; other dimensions are a union of rows.
_REPLACED_BY = {EXEMPLARS.name: ("evaluation_id", "corruption")}

_FACTS_KEPT = ("elapsed_s", "images_per_s", "device", "batch_size", "identity_error", "changed_predictions")


class LoadedState(NamedTuple):
    """What a warehouse holds: hashes of shards and of dimension files by key, and which views are installed."""

    shards: dict[FileKey, str]
    dimensions: dict[FileKey, str]
    views_fingerprint: str


EMPTY_STATE = LoadedState({}, {}, "")


class LoadReport(NamedTuple):
    """What a load did: shards by outcome, fact rows inserted, whether the file was replaced, and seconds."""

    new_shards: int
    replaced_shards: int
    kept_shards: int
    dropped_shards: int
    row_count: int
    swapped: bool
    elapsed_s: float


def load(outputs: Sequence[StorePath], warehouse: Path, *, rebuild: bool = False) -> LoadReport:
    """Load the records of `outputs` into `warehouse`; nothing new leaves the file as it is.

    Args:
        outputs: folders that hold a record, local or remote; of two shards with one key, the later folder's counts.
        warehouse: the DuckDB file, made where it is missing.
        rebuild: start from an empty file; derived tables are then empty, and what only other folders hold is gone.

    Raises:
        DamagedShardError: files do not match their hash; all are named, nothing is loaded.
        WarehouseError: no record in a folder, another schema version, or another load under way.
        StorageError: the new file cannot be written, or a remote record cannot be read.
    """
    start = time.monotonic()
    with writer_lock(warehouse):
        former = _former(warehouse, rebuild)
        held = EMPTY_STATE if rebuild else former
        inventory = scan_record(outputs)
        shards, dimensions = _todo(inventory.shards, held.shards), _todo(inventory.dimensions, held.dimensions)
        current = held.views_fingerprint == views_fingerprint()
        swap = bool(shards or dimensions or inventory.damaged) or not current
        if swap:
            with staged_database(warehouse, anew=rebuild or not warehouse.exists()) as con:
                _fill(con, shards, dimensions, held, inventory.damaged)
    replaced = sum(item.key in held.shards for item in shards)
    return LoadReport(
        new_shards=len(shards) - replaced,
        replaced_shards=replaced,
        kept_shards=len(inventory.shards) - len(shards),
        dropped_shards=len(former.shards.keys() - inventory.shards.keys()) if rebuild else 0,
        row_count=sum(item.row_count for item in shards),
        swapped=swap,
        elapsed_s=time.monotonic() - start,
    )


def _former(warehouse: Path, rebuild: bool) -> LoadedState:
    if rebuild and warehouse.exists() and not is_readable_version(read_info(warehouse)["schema_version"]):
        return EMPTY_STATE
    return read_loaded_state(warehouse)


def _todo(found: dict[FileKey, RecordFile], held: dict[FileKey, str]) -> list[RecordFile]:
    return [found[key] for key in sorted(found) if held.get(key) != found[key].content_hash]


def _fill(
    con: duckdb.DuckDBPyConnection,
    shards: list[RecordFile],
    dimensions: list[RecordFile],
    held: LoadedState,
    damaged: list[DamagedShardError],
) -> None:
    create_tables(con)
    _remove_shards(con, [item for item in shards if item.key in held.shards])
    troubles: list[LoadError] = [*damaged]
    for table in FACTS:
        _insert_shards(con, table, [item for item in shards if item.table is table], troubles)
    for table in DIMENSIONS:
        _insert_dimension(con, table, [item for item in dimensions if item.table is table], troubles)
    _raise_if_any(troubles)
    write_info(con)


def _raise_if_any(troubles: list[LoadError]) -> None:
    for trouble in troubles:
        if isinstance(trouble, StorageError):  # a file that cannot be had is not known to be damaged
            raise trouble
    if troubles:
        files = "; ".join(str(error) for error in troubles)
        mend = "`failmodes evaluate STUDY --redo-damaged` makes them again (`failmodes import`, what was imported)"
        raise DamagedShardError(f"{len(troubles)} damaged file(s), so nothing was loaded; {mend}: {files}")


def _insert_shards(
    con: duckdb.DuckDBPyConnection, table: Table, items: list[RecordFile], troubles: list[LoadError]
) -> None:
    batches = (batch for rows in read_verified_rows(items, troubles) for batch in rows.to_batches())
    insert_rows(con, table, pa.RecordBatchReader.from_batches(table.arrow(), batches))
    insert_rows(con, SHARDS, pa.Table.from_pylist([_shard_row(item) for item in items], schema=SHARDS.arrow()))


def _insert_dimension(
    con: duckdb.DuckDBPyConnection, table: Table, items: list[RecordFile], troubles: list[LoadError]
) -> None:
    rows = list(read_verified_rows(items, troubles))
    if rows:
        upsert(con, table, pa.concat_tables(rows), _REPLACED_BY.get(table.name, table.key))
        files = [{"table_name": i.key[0], "file_key": i.key[1], "content_hash": i.content_hash} for i in items]
        upsert(con, LOADED_DIMENSIONS, pa.Table.from_pylist(files, schema=LOADED_DIMENSIONS.arrow()))


def _shard_row(item: RecordFile) -> dict[str, Any]:
    facts = item.facts
    versions = facts.get("versions")
    return {
        **dict(zip(("table_name", *PARTITIONS[:2]), item.key, strict=False)),
        "severity": Decimal(item.key[3]),
        "row_count": item.row_count,
        "content_hash": item.content_hash,
        "path": "/".join(item.path.parts[len(item.output.parts) :]),
        "created_at": datetime.fromisoformat(facts["created_at"]),
        **{name: facts.get(name) for name in _FACTS_KEPT},
        "versions": None if versions is None else json.dumps(versions, sort_keys=True),
    }


def _remove_shards(con: duckdb.DuckDBPyConnection, items: list[RecordFile]) -> None:
    for table in FACTS:
        keys = [_shard_row(item) for item in items if item.table is table]
        if keys:
            con.register("stale", pa.Table.from_pylist(keys, schema=SHARDS.arrow()))
            same = " and ".join(f"{{0}}.{name} = stale.{name}" for name in PARTITIONS)
            con.execute(f"delete from {table.name} using stale where {same.format(table.name)}")
            con.execute(
                f"delete from shards using stale where {same.format('shards')} and shards.table_name = stale.table_name"
            )
            con.unregister("stale")


def read_loaded_state(warehouse: Path) -> LoadedState:
    """What the file `warehouse` holds; a file that does not exist holds nothing.

    Raises:
        WarehouseError: it is no warehouse, or of another schema version.
    """
    if not warehouse.exists():
        return EMPTY_STATE
    with attach_read_only(warehouse) as con:
        info = info_row(con, warehouse)
        check_version(info["schema_version"], warehouse, _REBUILD)
        keys = ", ".join(f"{name}::varchar" for name in PARTITIONS)
        shards = con.execute(f"select table_name, {keys}, content_hash from shards").fetchall()
        files = con.execute("select table_name, file_key, content_hash from loaded_dimensions").fetchall()
    return LoadedState(_by_key(shards), _by_key(files), info["views_fingerprint"])


def _by_key(rows: list[tuple[str, ...]]) -> dict[FileKey, str]:
    return {row[:-1]: row[-1] for row in rows}
