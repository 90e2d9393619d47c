"""What a load asks of a record: each file once, and no row of a damaged one."""

import shutil
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from synthetic_results import Synthetic
from warehouse_files import FILES

from failmodes.warehouse import schema
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import DamagedShardError, WarehouseError
from failmodes.warehouse.shards.format import (
    CLEAN_CELL,
    Cell,
    ShardKey,
    list_results_files,
    published_cells,
    read_footer,
    read_verified,
    shard_path,
    write_dimension,
    write_shard,
)
from failmodes.warehouse.shards.inventory import read_rows, scan_results
from failmodes.warehouse.storage.files import as_store_path, list_published, remove_stale_temporaries


def test_a_scan_requests_each_file_once(memory_results: Synthetic, monkeypatch) -> None:
    requests: dict[str, list[str]] = {name: [] for name in ("cat_file", "find", "info", "ls")}
    asked = (
        False  # a request may be made of others: before fsspec 2026 `find` of this file system lists folder by folder
    )
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


def test_an_empty_remote_folder_holds_no_results(memory_url: str, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match=f"{memory_url} holds no record"):
        load([as_store_path(memory_url)], tmp_path / "w.duckdb")
    assert list_published(as_store_path(memory_url), ".parquet") == []
    assert remove_stale_temporaries(as_store_path(memory_url)) == 0


def test_every_damaged_file_is_named_and_nothing_is_loaded(results: Synthetic, tmp_path: Path) -> None:
    path, evaluation_id = tmp_path / "w.duckdb", results.evaluations["Alpha"]
    cells = [Cell(corruption, Decimal("3.000")) for corruption in ("fog", "contrast")]
    page, footer = (
        shard_path(results.output, schema.PREDICTION_FACTS, ShardKey(evaluation_id, cell)) for cell in cells
    )
    model = next((results.output / "results" / "models").iterdir())
    for damaged in (page, footer, model):
        content = bytearray(damaged.read_bytes())
        content[len(content) // 3 if damaged is page else -6] ^= 0x55
        damaged.write_bytes(bytes(content))
    with pytest.raises(DamagedShardError, match="--redo-damaged") as caught:
        load([results.output], path)
    for damaged in (page, footer, model):
        assert str(damaged) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not path.exists()
    assert not list(tmp_path.glob(".tmp-*"))


def test_null_in_a_column_that_may_not_be_null_is_damage(results: Synthetic, tmp_path: Path) -> None:
    cell = ShardKey(results.evaluations["Alpha"], Cell("fog", Decimal("3.000")))
    rows = read_verified(shard_path(results.output, schema.PREDICTION_FACTS, cell)).rows
    rows = rows.set_column(rows.column_names.index("label"), "label", pa.nulls(40, pa.int16()))
    loose = schema.PREDICTION_FACTS._replace(
        columns=tuple(c._replace(nullable=True) for c in schema.PREDICTION_FACTS.columns)
    )
    write_shard(results.output, loose, cell, rows)
    with pytest.raises(DamagedShardError, match=r"prediction_facts\.label may not be null"):
        load([results.output], tmp_path / "w.duckdb")


def test_only_shards_where_they_belong_are_published_cells(results: Synthetic) -> None:
    shard = next(
        path for path in list_results_files(results.output, schema.PREDICTION_FACTS) if "corruption=none" in str(path)
    )
    evaluation_id = shard.parents[2].name.removeprefix("evaluation_id=")
    before = published_cells(results.output, evaluation_id, attention=False)
    for parts in (("corruption=fog", "severity=x"), ("corruption=fog", "severity=1e3"), ("severity=9.000",), ()):
        stray = shard.parents[2].joinpath(*parts, "rows.parquet")
        stray.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shard, stray)
    assert published_cells(results.output, evaluation_id, attention=False) == before
    assert CLEAN_CELL in before


def test_a_file_without_rows_is_read(tmp_path: Path) -> None:
    columns = schema.PREDICTION_FACTS.arrow(without=schema.PARTITIONS)
    key = ShardKey("e" * 16, Cell("fog", Decimal("3.000")))
    path = write_shard(tmp_path, schema.PREDICTION_FACTS, key, columns.empty_table())
    assert read_rows(path, schema.PREDICTION_FACTS) == columns.empty_table()
    assert read_footer(path)["row_count"] == 0
    path = write_dimension(tmp_path, schema.CLASSES, "d", [])
    assert read_rows(path, schema.CLASSES) == schema.CLASSES.arrow().empty_table()
