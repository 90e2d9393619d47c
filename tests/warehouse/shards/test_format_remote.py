"""A record at a URL is the record of a local folder: same files, same hashes, same rows."""

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import FILES, SMALL_RECORD, failing

from failmodes.warehouse import schema
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import DamagedShardError, StorageError
from failmodes.warehouse.shards.format import (
    CLEAN_CELL,
    Cell,
    ShardKey,
    dimension_path,
    list_results_files,
    published_cells,
    read_footer,
    read_verified,
    shard_path,
    write_dimension,
)
from failmodes.warehouse.storage.files import StorePath, as_store_path, delete, exists


def contents(output: StorePath) -> dict[str, tuple[str, dict[str, str], int]]:
    """Content hash, identity and row count of every recorded file by its path within the record, read in full."""
    tables = (*schema.FACTS, *schema.DIMENSIONS, schema.CLEAN_MAPS)
    paths = [path for table in tables for path in list_results_files(output, table)]
    stored = {"/".join(path.parts[len(output.parts) :]): read_verified(path) for path in paths}
    return {name: (s.content_hash, s.identity, s.rows.num_rows) for name, s in stored.items()}


@pytest.mark.parametrize("options", [{}, {"paired": False, "seed": 3}], ids=["paired", "unpaired"])
def test_remote_results_hold_what_local_ones_hold(tmp_path: Path, memory_url: str, options: dict) -> None:
    local = write_synthetic(tmp_path, **SMALL_RECORD, **options).output
    remote = write_synthetic(as_store_path(memory_url), **SMALL_RECORD, **options).output
    expected = contents(local)
    assert len(expected) == FILES
    assert contents(remote) == expected
    assert len(MemoryFileSystem().find(remote.path)) == FILES  # no temporary is left


def test_footers_are_read_without_rows_however_long_they_are(memory_results: Synthetic, monkeypatch) -> None:
    paths = list(list_results_files(memory_results.output, schema.PREDICTION_FACTS))
    short = [read_footer(path) for path in paths]
    monkeypatch.setattr("failmodes.warehouse.shards.format.FOOTER_BYTES", 64)  # no footer fits
    assert [read_footer(path) for path in paths] == short
    assert {footer["row_count"] for footer in short} == {40}


def test_published_cells_are_those_whose_shards_exist(
    local_results: Synthetic, memory_results: Synthetic, tmp_path: Path
) -> None:
    evaluation_id = memory_results.evaluations["Alpha"]
    fog = Cell("fog", Decimal("2.000"))
    delete(shard_path(memory_results.output, schema.ATTENTION, ShardKey(evaluation_id, fog)))
    for output, missing in ((local_results.output, set()), (memory_results.output, {fog})):
        everything = published_cells(output, evaluation_id, attention=False)
        assert len(everything) == 11
        assert CLEAN_CELL in everything
        assert published_cells(output, evaluation_id, attention=True) == everything - missing
        paths = {cell: shard_path(output, schema.ATTENTION, ShardKey(evaluation_id, cell)) for cell in everything}
        assert {cell for cell, path in paths.items() if not exists(path)} == missing
    assert published_cells(memory_results.output, "nobody", attention=True) == set()


def test_a_missing_remote_file_is_damage_and_a_changed_dimension_is_written_again(memory_results: Synthetic) -> None:
    path = next(list_results_files(memory_results.output, schema.MODELS))
    row = read_verified(path).rows.to_pylist()[0]
    before = path.stat().st_mtime
    write_dimension(memory_results.output, schema.MODELS, row["model_id"], [row])
    assert path.stat().st_mtime == before  # exactly these rows were there
    write_dimension(memory_results.output, schema.MODELS, row["model_id"], [{**row, "model_label": "Renamed"}])
    assert read_verified(path).rows["model_label"].to_pylist() == ["Renamed"]
    delete(path)
    delete(path)  # gone already: no error
    with pytest.raises(DamagedShardError, match="is missing"):
        read_verified(path)
    assert dimension_path(memory_results.output, schema.MODELS, row["model_id"]) == path


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


def test_rows_of_any_chunking_are_stored_alike(tmp_path: Path, memory_url: str) -> None:
    rows = [{"dataset_id": "d", "class_index": i, "class_name": f"class {i}"} for i in range(300)]
    whole = pa.Table.from_pylist(rows, schema=schema.CLASSES.arrow())
    pieces = pa.concat_tables([whole.slice(i, 7) for i in range(0, 300, 7)])
    paths = [
        write_dimension(output, schema.CLASSES, key, table)
        for output in (tmp_path, as_store_path(memory_url))
        for key, table in (("whole", whole), ("pieces", pieces))
    ]
    assert len({read_verified(path).content_hash for path in paths}) == 1
