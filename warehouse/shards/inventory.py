"""What lies in the record and what the warehouse holds already: the difference is what a load has to do."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from failmodes.warehouse.errors import DamagedShardError, WarehouseError
from failmodes.warehouse.schema import ATTENTION, DIMENSIONS, FACTS, PARTITIONS, PREDICTIONS, Table
from failmodes.warehouse.shards.format import RECORD_FOLDER, check_version, list_record_files, read_footer
from failmodes.warehouse.storage.files import StorePath, is_folder

# A shard's key is (table, evaluation_id, corruption, severity as text), a dimension file's is (table, file name).
FileKey = tuple[str, ...]

FOOTERS_AT_ONCE = 4

REQUESTS_AT_ONCE = 32  # of a remote record: its footers are waited for, not worked on

_REBUILD = "make it anew with `failmodes load STUDY --rebuild`"


class RecordFile(NamedTuple):
    """One file of a record, as its footer states it."""

    output: StorePath
    path: StorePath
    table: Table
    key: FileKey
    content_hash: str
    row_count: int
    facts: dict[str, Any]


class Inventory(NamedTuple):
    """The files of several records, one for each key, and the errors of those whose footer is damaged."""

    shards: dict[FileKey, RecordFile]
    dimensions: dict[FileKey, RecordFile]
    damaged: list[DamagedShardError]


def scan_record(outputs: Sequence[StorePath]) -> Inventory:
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


def _items(output: StorePath, tables: Iterable[Table], damaged: list[DamagedShardError]) -> list[RecordFile]:
    paths = [(table, path) for table in tables for path in list_record_files(output, table)]
    with ThreadPoolExecutor(FOOTERS_AT_ONCE if isinstance(output, Path) else REQUESTS_AT_ONCE) as pool:
        found = list(pool.map(lambda pair: _item(output, *pair), paths))
    damaged.extend(item for item in found if isinstance(item, DamagedShardError))
    return [item for item in found if isinstance(item, RecordFile)]


def _item(output: StorePath, table: Table, path: StorePath) -> RecordFile | DamagedShardError:
    try:
        footer = read_footer(path)
    except DamagedShardError as error:
        return error
    check_version(footer["schema_version"], path, "make it again with `failmodes evaluate STUDY`")
    if table in FACTS:
        key = (table.name, *(footer["identity"][name] for name in PARTITIONS))
    else:
        key = (table.name, path.stem)
    return RecordFile(output, path, table, key, footer["content_hash"], footer["row_count"], footer["facts"])
