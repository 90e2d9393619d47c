"""What lies in the record and what the warehouse holds already: the difference is what a load has to do."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from warehouse.connect import attached, warehouse_row
from warehouse.errors import DamagedShardError, WarehouseError
from warehouse.place import Place, is_folder
from warehouse.record import RECORD_FOLDER, footer_facts, recorded_files
from warehouse.schema import ATTENTION, DIMENSIONS, FACTS, PARTITIONS, PREDICTIONS, Table
from warehouse.tables import check_version

# A shard's key is (table, evaluation_id, corruption, severity as text), a dimension file's is (table, file name).
Key = tuple[str, ...]
FOOTERS_AT_ONCE = 4
REQUESTS_AT_ONCE = 32  # of a remote record: its footers are waited for, not worked on
_REBUILD = "make it anew with `failmodes load STUDY --rebuild`"


class Held(NamedTuple):
    """What a warehouse holds: hashes of shards and of dimension files by key, and which views are installed."""

    shards: dict[Key, str]
    dimensions: dict[Key, str]
    views_fingerprint: str


class Item(NamedTuple):
    """One file of a record, as its footer states it."""

    output: Place
    path: Place
    table: Table
    key: Key
    content_hash: str
    row_count: int
    facts: dict[str, Any]


class Inventory(NamedTuple):
    """The files of several records, one for each key, and the errors of those whose footer is damaged."""

    shards: dict[Key, Item]
    dimensions: dict[Key, Item]
    damaged: list[DamagedShardError]


NOTHING = Held({}, {}, "")


def held_by(warehouse: Path) -> Held:
    """What the file `warehouse` holds; a file that does not exist holds nothing.

    Raises:
        WarehouseError: it is no warehouse, or of another schema version.
    """
    if not warehouse.exists():
        return NOTHING
    with attached(warehouse) as con:
        info = warehouse_row(con, warehouse)
        check_version(info["schema_version"], warehouse, _REBUILD)
        keys = ", ".join(f"{name}::varchar" for name in PARTITIONS)
        shards = con.execute(f"select table_name, {keys}, content_hash from shards").fetchall()
        files = con.execute("select table_name, file_key, content_hash from loaded_dimensions").fetchall()
    return Held(_by_key(shards), _by_key(files), info["views_fingerprint"])


def take_inventory(outputs: Sequence[Place]) -> Inventory:
    """Read the footer of every file in the records of `outputs`; of two files with one key, the later folder's counts.

    An attention shard without its predictions is left out: predictions are written last, they commit a cell.

    Raises:
        WarehouseError: a folder holds no record, or one of another schema version.
        StorageError: a remote file system does not answer.
    """
    inventory = Inventory({}, {}, [])
    for output in outputs:
        if not is_folder(output / RECORD_FOLDER):
            raise WarehouseError(
                f"{output} holds no record: make one with `failmodes evaluate STUDY`; where a study's `record` lies "
                "elsewhere, name the study file"
            )
        shards = _items(output, FACTS, inventory.damaged)
        committed = {item.key[1:] for item in shards if item.table is PREDICTIONS}
        inventory.shards.update(
            {item.key: item for item in shards if item.table is not ATTENTION or item.key[1:] in committed}
        )
        inventory.dimensions.update({item.key: item for item in _items(output, DIMENSIONS, inventory.damaged)})
    return inventory


def _items(output: Place, tables: Iterable[Table], damaged: list[DamagedShardError]) -> list[Item]:
    paths = [(table, path) for table in tables for path in recorded_files(output, table)]
    with ThreadPoolExecutor(FOOTERS_AT_ONCE if isinstance(output, Path) else REQUESTS_AT_ONCE) as pool:
        found = list(pool.map(lambda pair: _item(output, *pair), paths))
    damaged.extend(item for item in found if isinstance(item, DamagedShardError))
    return [item for item in found if isinstance(item, Item)]


def _item(output: Place, table: Table, path: Place) -> Item | DamagedShardError:
    try:
        footer = footer_facts(path)
    except DamagedShardError as error:
        return error
    check_version(footer["schema_version"], path, "make it again with `failmodes evaluate STUDY`")
    if table in FACTS:
        key = (table.name, *(footer["identity"][name] for name in PARTITIONS))
    else:
        key = (table.name, path.stem)
    return Item(output, path, table, key, footer["content_hash"], footer["row_count"], footer["facts"])


def _by_key(rows: list[tuple[str, ...]]) -> dict[Key, str]:
    return {row[:-1]: row[-1] for row in rows}
