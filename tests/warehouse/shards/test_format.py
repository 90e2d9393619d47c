"""The record, local or at a URL: what is written is read back, damage is found, and hashes are of rows alone."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import FILES, SMALL_RECORD, failing

from failmodes.runtime.errors import DamagedShardError, StorageError
from failmodes.runtime.storage.files import StorePath, as_store_path, delete
from failmodes.warehouse import schema
from failmodes.warehouse.database.load import load
from failmodes.warehouse.shards.format import (
    Cell,
    ShardKey,
    content_hash,
    list_results_files,
    published_cells,
    read_footer,
    read_verified,
    shard_path,
    write_dimension,
    write_shard,
)

FOG = Cell("fog", Decimal("2.000"))


def files_of(output: StorePath) -> list[StorePath]:
    tables = (*schema.FACTS, *schema.DIMENSIONS, schema.CLEAN_MAPS)
    return [path for table in tables for path in list_results_files(output, table)]


@pytest.fixture
def path(results: Synthetic) -> Path:
    """A shard of a small record that a test may damage."""
    found = next(list_results_files(results.output, schema.PREDICTION_FACTS))
    assert isinstance(found, Path)
    return found


@pytest.mark.parametrize("options", [{}, {"paired": False, "seed": 3}], ids=["paired", "unpaired"])
def test_remote_results_hold_what_local_ones_hold(tmp_path: Path, memory_url: str, options: dict) -> None:
    local, remote = (
        write_synthetic(output, **SMALL_RECORD, **options).output for output in (tmp_path, as_store_path(memory_url))
    )
    stored = [
        {path.parts[len(output.parts) :]: read_verified(path)._replace(facts={}) for path in files_of(output)}
        for output in (local, remote)
    ]
    assert stored[0] == stored[1]
    assert all(one.content_hash == content_hash(one.rows) for one in stored[0].values())
    assert len(stored[0]) == FILES == len(MemoryFileSystem().find(remote.path))  # no temporary is left


def test_flipped_bytes_never_change_rows_unseen(path: Path) -> None:
    intact, expected, found = path.read_bytes(), read_verified(path), 0
    positions = range(5, len(intact), len(intact) // 60)
    for position in positions:
        content = bytearray(intact)
        content[position] ^= 0x10
        path.write_bytes(bytes(content))
        try:
            assert read_verified(path) == expected  # a byte that no row depends on, such as a page's statistics
        except DamagedShardError:
            found += 1
    assert found > len(positions) / 2


def test_changed_truncated_and_misplaced_files_are_found(path: Path) -> None:
    content = path.read_bytes()
    assert b'"device": "cpu"' in content
    for damaged, text in ((content.replace(b'"device": "cpu"', b'"device": "gpu"'), "seal"), (content[:-20], "cannot")):
        path.write_bytes(damaged)
        with pytest.raises(DamagedShardError, match=text):
            read_verified(path)
    misplaced = path.parents[1] / "severity_text=3.000" / path.name
    misplaced.parent.mkdir(exist_ok=True)
    misplaced.write_bytes(content)
    with pytest.raises(DamagedShardError, match="does not belong here"):
        read_verified(misplaced)


def test_rows_of_any_chunks_and_row_groups_are_stored_alike(tmp_path: Path, memory_url: str, monkeypatch) -> None:
    rows = [{"dataset_id": "d", "class_index": i, "class_name": f"class {i}"} for i in range(300)]
    whole = pa.Table.from_pylist(rows, schema=schema.CLASSES.arrow())
    written = []
    for output in (tmp_path, as_store_path(memory_url)):
        for size in (300, 7):
            monkeypatch.setattr("failmodes.warehouse.shards.format.ROW_GROUP_ROWS", size)
            pieces = pa.concat_tables([whole.slice(start, size) for start in range(0, 300, size)])
            written.append(read_verified(write_dimension(output, schema.CLASSES, f"of {size}", pieces)))
    assert all((one.content_hash, one.rows) == (written[0].content_hash, whole) for one in written)


def test_footers_are_read_without_rows_however_long_they_are(memory_results: Synthetic, monkeypatch) -> None:
    paths = list(list_results_files(memory_results.output, schema.PREDICTION_FACTS))
    short = [read_footer(path) for path in paths]
    monkeypatch.setattr("failmodes.warehouse.shards.format.FOOTER_BYTES", 64)  # no footer fits
    assert [read_footer(path) for path in paths] == short
    assert {footer["row_count"] for footer in short} == {40}


def test_a_file_without_rows_is_read(tmp_path: Path) -> None:
    columns = schema.PREDICTION_FACTS.arrow(without=schema.PARTITIONS)
    path = write_shard(tmp_path, schema.PREDICTION_FACTS, ShardKey("e" * 16, FOG), columns.empty_table())
    assert read_verified(path).rows.drop_columns("severity") == columns.empty_table()
    assert read_footer(path)["row_count"] == 0


def test_published_cells_are_those_all_of_whose_shards_stand_where_they_belong(
    results: Synthetic, memory_results: Synthetic
) -> None:
    evaluation_id = results.evaluations["Alpha"]
    for output in (results.output, memory_results.output):
        everything = published_cells(output, evaluation_id, attention=False)
        assert len(everything) == 11
        delete(shard_path(output, schema.ATTENTION, ShardKey(evaluation_id, FOG)))
        assert published_cells(output, evaluation_id, attention=True) == everything - {FOG}
        assert published_cells(output, evaluation_id, attention=False) == everything
        assert published_cells(output, "nobody", attention=True) == set()
    folder = shard_path(results.output, schema.PREDICTION_FACTS, ShardKey(evaluation_id, FOG)).parents[2]
    for parts in (("corruption=fog", "severity_text=x"), ("corruption=fog", "severity=1e3"), ("severity=9.000",), ()):
        stray = folder.joinpath(*parts, "rows.parquet")
        stray.parent.mkdir(parents=True, exist_ok=True)
        stray.write_text("stray")
    assert published_cells(results.output, evaluation_id, attention=False) == everything


def test_a_missing_file_is_damage_and_a_changed_dimension_is_written_again(memory_results: Synthetic) -> None:
    path = next(list_results_files(memory_results.output, schema.MODELS))
    row = read_verified(path).rows.to_pylist()[0]
    before = path.stat().st_mtime
    write_dimension(memory_results.output, schema.MODELS, row["model_id"], [row])
    assert path.stat().st_mtime == before  # exactly these rows were there
    write_dimension(memory_results.output, schema.MODELS, row["model_id"], [{**row, "model_label": "Renamed"}])
    assert read_verified(path).rows["model_label"].to_pylist() == ["Renamed"]
    for _ in range(2):
        delete(path)  # gone already: no error
    with pytest.raises(DamagedShardError, match="is missing"):
        read_verified(path)


def test_silence_of_a_file_system_is_never_taken_for_damage(
    memory_results: Synthetic, tmp_path: Path, monkeypatch
) -> None:
    path = next(list_results_files(memory_results.output, schema.PREDICTION_FACTS))
    cat_file = MemoryFileSystem.cat_file

    def footers_only(self: MemoryFileSystem, name: str, start: int | None = None, **options: object) -> bytes:
        if start is None:
            raise ConnectionError("reset by peer")
        return cat_file(self, name, start=start, **options)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", footers_only)
    for attempt in (lambda: read_verified(path), lambda: load([memory_results.output], tmp_path / "w.duckdb")):
        with pytest.raises(StorageError, match="^cannot read memory://.*: reset by peer$"):
            attempt()
    assert list(tmp_path.glob("*.duckdb")) == []
    monkeypatch.setattr(MemoryFileSystem, "find", failing)
    with pytest.raises(StorageError, match="^cannot read memory://.*: access denied"):
        published_cells(memory_results.output, "x", attention=False)


def test_hash_ignores_chunks_and_minds_values_nulls_and_names() -> None:
    whole = pa.table({"a": pa.array([1, None, 3]), "b": pa.array([[1.0], None, [2.0, 3.0]])})
    others = [
        pa.table({"a": pa.array([1, 0, 3]), "b": whole["b"]}),
        pa.table({"a": pa.array([1, 3, None]), "b": whole["b"]}),
        pa.table({"a": whole["a"], "b": pa.array([[1.0, 2.0], None, [3.0]])}),
        whole.rename_columns(["a", "c"]),
    ]
    assert content_hash(pa.concat_tables([whole.slice(0, 1), whole.slice(1)])) == content_hash(whole)
    assert len({content_hash(t) for t in (whole, *others)}) == 5


def every_type(rows: int) -> pa.Table:
    """A column of each type that the record or the warehouse holds, every seventh value null."""

    def gaps(values: Iterable[Any]) -> list[Any]:
        return [None if i % 7 == 0 else value for i, value in enumerate(values)]

    numbers = range(rows)
    moments = [datetime(2026, 1, 1, i % 24, tzinfo=UTC) for i in numbers]
    return pa.table({
        "whole": pa.array(numbers, pa.int32()),
        "small": pa.array(gaps(i % 5 for i in numbers), pa.int16()),
        "real": pa.array(gaps(i / 8 for i in numbers), pa.float32()),
        "flag": pa.array(gaps(i % 3 == 0 for i in numbers)),
        "text": pa.array(gaps("é" * (i % 4) for i in numbers)),
        "bytes": pa.array(gaps(bytes([i]) * (i % 3) for i in numbers)),
        "list": pa.array(gaps([float(j) for j in range(i % 4)] for i in numbers), pa.list_(pa.float32())),
        "gaps": pa.array([[1, None, i] for i in numbers], pa.list_(pa.int16())),
        "words": pa.array(gaps(["a", None, "bc" * i] for i in numbers), pa.list_(pa.string())),
        "level": pa.array(gaps(Decimal(i) / 8 for i in numbers), pa.decimal128(7, 3)),
        "moment": pa.array(moments, pa.timestamp("s", tz="UTC")),
        "nothing": pa.nulls(rows, pa.float32()),
    })  # fmt: skip


@pytest.mark.parametrize("hashed_rows", [1, 64, 16384])
def test_hashes_are_those_of_results_written_before(monkeypatch, hashed_rows: int) -> None:
    monkeypatch.setattr("failmodes.warehouse.shards.format.HASHED_ROWS", hashed_rows)
    rows = every_type(100)
    pieces = pa.concat_tables([rows.slice(0, 0), rows.slice(0, 40), rows.slice(40, 1), rows.slice(41)])
    # the values that failmodes 0.1.0 stored: another would make every record "damaged"
    assert content_hash(rows) == content_hash(pieces) == "cd7cde7f85b52118209b1bfececdbacd"
    assert content_hash(rows.slice(13, 40)) == "0c86b81aa3d71ba7e779d698dca6261f"
    assert content_hash(rows.slice(0, 0)) == "0593a57e75ac5d0e33709aea0b91cc97"


def read_by_duckdb(folder: Path) -> pl.DataFrame:
    return duckdb.sql(f"from read_parquet('{folder}/**/*.parquet', hive_partitioning = true)").pl()


def read_by_pandas(folder: Path) -> pl.DataFrame:
    return pl.from_pandas(pytest.importorskip("pandas").read_parquet(folder, engine="pyarrow"))


def read_by_polars(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "**/*.parquet", hive_partitioning=True)


@pytest.mark.parametrize(
    "read", [read_by_duckdb, pytest.param(read_by_pandas, marks=pytest.mark.test_all), read_by_polars]
)
def test_other_tools_read_severities_as_numbers(tmp_path: Path, read: Callable[[Path], pl.DataFrame]) -> None:
    write_synthetic(tmp_path, images=20, models=("Alpha",), corruptions=("fog", "contrast"), severities=(1, 2.5))
    for table in schema.FACTS:
        rows = read(tmp_path / "results" / table.name)
        assert rows.schema["severity"] == pl.Float64
        cells = rows.select(pl.col("corruption").cast(pl.String), "severity").unique().sort(pl.all()).rows()
        assert cells == [("contrast", 1), ("contrast", 2.5), ("fog", 1), ("fog", 2.5), ("none", 0)]
