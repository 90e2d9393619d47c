"""What a load asks of a record: each file once, and no row of a damaged one."""

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from synthetic_results import Synthetic
from warehouse_files import FILES

from failmodes.runtime.errors import DamagedShardError, WarehouseError
from failmodes.runtime.storage.files import as_store_path, list_published, remove_stale_temporaries
from failmodes.warehouse import schema
from failmodes.warehouse.database.load import load
from failmodes.warehouse.shards.format import Cell, ShardKey, read_verified, shard_path, write_shard
from failmodes.warehouse.shards.inventory import png_size, scan_results

FOG, CONTRAST = (Cell(corruption, Decimal("3.000")) for corruption in ("fog", "contrast"))


def test_a_scan_requests_each_file_once(memory_results: Synthetic, monkeypatch) -> None:
    requests: dict[str, list[str]] = {name: [] for name in ("cat_file", "find", "info", "ls")}
    asked = False  # a request may be made of others: `find` of an older fsspec lists folder by folder
    for name, paths in requests.items():
        original = getattr(MemoryFileSystem, name)

        def counted(self, path, *rest, _original=original, _paths=paths, **options):
            nonlocal asked
            if asked:
                return _original(self, path, *rest, **options)
            _paths.append(path)
            asked = True
            try:
                return _original(self, path, *rest, **options)
            finally:
                asked = False

        monkeypatch.setattr(MemoryFileSystem, name, counted)
    files, damaged = scan_results([memory_results.output])
    assert (sum(file.table in schema.FACTS for file in files.values()), damaged) == (22, [])
    assert len(requests["cat_file"]) == len(set(requests["cat_file"])) == FILES
    assert len(requests["find"]) == len(schema.FACTS) + len(schema.DIMENSIONS)
    assert len(requests["info"]) + len(requests["ls"]) <= 2  # whether there is a record at all


def test_attention_without_its_predictions_is_left_out(results: Synthetic) -> None:
    shard_path(results.output, schema.PREDICTION_FACTS, ShardKey(results.evaluations["Alpha"], FOG)).unlink()
    files, damaged = scan_results([results.output])
    assert (sum(file.table in schema.FACTS for file in files.values()), damaged) == (20, [])


def test_an_empty_remote_folder_holds_no_results(memory_url: str, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match=f"{memory_url} holds no results"):
        load([as_store_path(memory_url)], tmp_path / "w.duckdb")
    assert list_published(as_store_path(memory_url), ".parquet") == []
    assert remove_stale_temporaries(as_store_path(memory_url)) == 0


def test_every_damaged_file_is_named_and_nothing_is_loaded(results: Synthetic, tmp_path: Path) -> None:
    evaluation_id = results.evaluations["Alpha"]
    page, footer = (
        shard_path(results.output, schema.PREDICTION_FACTS, ShardKey(evaluation_id, cell)) for cell in (FOG, CONTRAST)
    )
    files = [page, footer, next((results.output / "results" / "models").iterdir())]
    for damaged in files:
        content = bytearray(damaged.read_bytes())
        content[len(content) // 3 if damaged is page else -6] ^= 0x55
        damaged.write_bytes(bytes(content))
    with pytest.raises(DamagedShardError, match="--redo-damaged") as caught:
        load([results.output], tmp_path / "w.duckdb")
    assert all(str(damaged) in str(caught.value) for damaged in files)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*w.duckdb"))


def test_null_in_a_column_that_may_not_be_null_is_damage(results: Synthetic, tmp_path: Path) -> None:
    shard = ShardKey(results.evaluations["Alpha"], FOG)
    rows = read_verified(shard_path(results.output, schema.PREDICTION_FACTS, shard)).rows
    rows = rows.set_column(rows.column_names.index("label"), "label", pa.nulls(40, pa.int16()))
    write_shard(results.output, schema.PREDICTION_FACTS, shard, rows)
    with pytest.raises(DamagedShardError, match=r"prediction_facts\.label may not be null"):
        load([results.output], tmp_path / "w.duckdb")


def test_the_size_of_a_picture_is_read_from_its_header() -> None:
    header = (
        b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + b"IHDR" + (640).to_bytes(4, "big") + (48).to_bytes(4, "big")
    )
    assert png_size(header) == (48, 640)
    assert (png_size(header[:-1]), png_size(b"GIF89a" + header[6:])) == (None, None)
