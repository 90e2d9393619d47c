"""What lies in the record, as the footers of its files say: what a load compares with what the warehouse holds."""

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


class RecordFile(NamedTuple):
    """One file of a record, as its footer describes it."""

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
        shards = _scan(output, FACTS, inventory.damaged)
        for key, file in shards.items():
            if file.table is not ATTENTION or (PREDICTIONS.name, *key[1:]) in shards:
                inventory.shards[key] = file
        inventory.dimensions.update(_scan(output, DIMENSIONS, inventory.damaged))
    return inventory


def _scan(output: StorePath, tables: Iterable[Table], damaged: list[DamagedShardError]) -> dict[FileKey, RecordFile]:
    def describe(table: Table, path: StorePath) -> RecordFile | DamagedShardError:
        try:
            footer = read_footer(path)
        except DamagedShardError as error:
            return error
        check_version(footer["schema_version"], path, "make it again with `failmodes evaluate STUDY`")
        names = [footer["identity"][name] for name in PARTITIONS] if table in FACTS else [path.stem]
        key = (table.name, *names)
        return RecordFile(output, path, table, key, footer["content_hash"], footer["row_count"], footer["facts"])

    paths = [(table, path) for table in tables for path in list_record_files(output, table)]
    with ThreadPoolExecutor(FOOTERS_AT_ONCE if isinstance(output, Path) else REQUESTS_AT_ONCE) as pool:
        found = list(pool.map(describe, *zip(*paths, strict=True))) if paths else []
    damaged.extend(file for file in found if isinstance(file, DamagedShardError))
    return {file.key: file for file in found if isinstance(file, RecordFile)}
