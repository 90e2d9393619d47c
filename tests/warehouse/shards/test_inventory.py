"""A record at a URL is the record of a local folder: same files, same hashes, same rows, and no half file."""

from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from synthetic_record import Synthetic
from warehouse_files import FILES

from failmodes.warehouse import schema
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.shards.inventory import scan_record
from failmodes.warehouse.storage.files import as_store_path, list_published, remove_stale_temporaries


def test_an_inventory_asks_once_a_file(memory_record: Synthetic, monkeypatch) -> None:
    asked: dict[str, list[str]] = {name: [] for name in ("cat_file", "find", "info", "ls")}
    for name, paths in asked.items():
        original = getattr(MemoryFileSystem, name)

        def counted(self, path, *rest, _original=original, _paths=paths, **options):
            _paths.append(path)
            return _original(self, path, *rest, **options)

        monkeypatch.setattr(MemoryFileSystem, name, counted)
    inventory = scan_record([memory_record.output])
    assert (len(inventory.shards), inventory.damaged) == (22, [])
    assert len(asked["cat_file"]) == len(set(asked["cat_file"])) == FILES
    assert len(asked["find"]) == len(schema.FACTS) + len(schema.DIMENSIONS)
    assert len(asked["info"]) + len(asked["ls"]) <= 2  # whether there is a record at all


def test_an_empty_place_holds_no_record(memory_url: str, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match=f"{memory_url} holds no record"):
        load([as_store_path(memory_url)], tmp_path / "w.duckdb")
    assert list_published(as_store_path(memory_url), ".parquet") == []
    assert remove_stale_temporaries(as_store_path(memory_url)) == 0
